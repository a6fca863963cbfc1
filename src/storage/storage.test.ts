import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { faulty } from './faulty.ts';
import { LocalStorage } from './local.ts';
import { MemoryStorage } from './memory.ts';
import { storageSuite } from './suite.ts';

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-storage-'));
afterAll(async () => await fs.rm(scratch, { recursive: true, force: true }));

let next = 0;
async function local(): Promise<LocalStorage> {
  const storage = new LocalStorage(path.join(scratch, String(next++)));
  await storage.prepare();
  return storage;
}

storageSuite('memory', () => Promise.resolve(new MemoryStorage()));
storageSuite('local', local);
storageSuite('faulty without faults', () => Promise.resolve(faulty(new MemoryStorage())));

describe('the local storage', () => {
  it('leaves files that nobody can change, in folders that nobody else can read', async () => {
    const storage = await local();
    const pack = { kind: 'pack', id: 'ab'.repeat(32) } as const;
    await storage.save(pack, Buffer.from('x'));
    expect((await fs.stat(storage.localPath(pack))).mode & 0o777).toBe(0o400);
    expect((await fs.stat(path.join(storage.location, 'data', 'ab'))).mode & 0o777).toBe(0o700);
  });

  it('does not list what was left half written', async () => {
    const storage = await local();
    await fs.writeFile(path.join(storage.location, 'snapshots', `${'cd'.repeat(32)}-tmp-12ab`), 'half');
    for await (const file of storage.list('snapshot')) expect.unreachable(file.id);
  });

  it('makes a folder again that somebody has tidied away', async () => {
    const storage = await local();
    await fs.rm(path.join(storage.location, 'data'), { recursive: true });
    await storage.save({ kind: 'pack', id: 'ef'.repeat(32) }, Buffer.from('x'));
    expect(await storage.size({ kind: 'pack', id: 'ef'.repeat(32) })).toBe(1);
  });
});
