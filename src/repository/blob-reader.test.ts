import { expect, it } from 'vitest';
import { faulty } from '../storage/faulty.ts';
import { BlobReader } from './blob-reader.ts';
import { SealedTree } from './fixture/sealed-tree.ts';
import { loadIndex } from './index-loader.ts';

it('a blob that is changed on its way only is read once more; one that is damaged or missing is named', async () => {
  const sealed = await SealedTree.open();
  const id = await sealed.data(Buffer.from('content'));
  const index = await loadIndex(sealed.core);
  const storage = faulty(sealed.storage);
  const reader = (): BlobReader => new BlobReader({ ...sealed.core, storage }, index);
  let flips = 1;
  // The first bit belongs to the blob; the middle of so small a pack is in its header.
  storage.faults.choose((call) => (call === 'load' && flips-- > 0 ? { kind: 'flip', bit: 3 } : undefined));
  expect((await reader().read(id, 'data')).toString()).toBe('content');
  flips = 2;
  await expect(reader().read(id, 'data')).rejects.toMatchObject({ code: 'repository-damaged' });
  storage.faults.choose(undefined);
  await sealed.storage.remove({ kind: 'pack', id: index.packs[0] ?? '' });
  await expect(reader().read(id, 'data')).rejects.toMatchObject({ code: 'repository-damaged', message: expect.stringContaining('is missing') });
});
