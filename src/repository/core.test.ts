import { expect, it } from 'vitest';
import { faulty, fromCall, onCall } from '../storage/faulty.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { loadChecked, sha256 } from './core.ts';

it('a file that is changed on its way only is loaded once more, and one that is damaged is named', async () => {
  const storage = new MemoryStorage();
  const bytes = Buffer.from('a snapshot');
  const id = sha256(bytes);
  await storage.save({ kind: 'snapshot', id }, bytes);
  for (const fault of [{ kind: 'flip' }, { kind: 'short' }] as const) {
    expect((await loadChecked(faulty(storage, onCall(1, fault)), 'snapshot', id)).equals(bytes)).toBe(true);
    await expect(loadChecked(faulty(storage, fromCall(1, fault)), 'snapshot', id)).rejects.toMatchObject({ code: 'repository-damaged' });
  }
});
