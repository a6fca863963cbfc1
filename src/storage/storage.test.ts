import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
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
storageSuite('faulty without faults', () => Promise.resolve(faulty(new MemoryStorage())), { bulky: false });

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

  it('may be reached through a symbolic link', async () => {
    const { location } = await local();
    const link = path.join(scratch, `link-${next++}`);
    await fs.symlink(location, link);
    const storage = new LocalStorage(link);
    await storage.prepare();
    await storage.save({ kind: 'key', id: 'ef'.repeat(32) }, Buffer.from('x'));
    expect(await fs.readdir(path.join(location, 'keys'))).toEqual(['ef'.repeat(32)]);
    expect(storage.location).toBe(link);
  });

  it('saves what is new, and leaves what is there', async () => {
    const storage = await local();
    const key = { kind: 'key', id: 'ef'.repeat(32) } as const;
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => storage.saveNew(key, Buffer.from([i]))));
    expect(answers.filter((isNew) => isNew)).toHaveLength(1);
    expect([...(await storage.load(key))]).toEqual([answers.indexOf(true)]);
    expect(await fs.readdir(path.join(storage.location, 'keys'))).toHaveLength(1);
  });

  it('sweeps away what unfinished writes have left long ago, and nothing else', async () => {
    const storage = await local();
    const id = 'ab'.repeat(32);
    const at = (name: string): string => path.join(storage.location, name);
    await storage.save({ kind: 'pack', id }, Buffer.from('x'));
    const names = [`data/ab/${id}-tmp-12ab`, `snapshots/${id}-tmp-1234567`, 'config-tmp-00ff', 'data/ab/.nfs0000000001', 'notes-tmp-.txt'];
    for (const name of names) await fs.writeFile(at(name), '');
    for (const name of [...names, `data/ab/${id}`]) await fs.utimes(at(name), 1000, 1000);
    await fs.writeFile(at(`data/ab/${id}-tmp-young`), '');
    expect(await storage.sweep(new Date(2_000_000))).toBe(3);
    expect((await fs.readdir(at('data/ab'))).sort()).toEqual(['.nfs0000000001', id, `${id}-tmp-young`]);
    expect(await fs.readdir(storage.location)).toContain('notes-tmp-.txt');
    expect(await fs.readdir(at('snapshots'))).toEqual([]);
  });

  it('leaves nothing of a save that is given up in the middle', async () => {
    const storage = await local();
    const abort = new AbortController();
    const pack = { kind: 'pack', id: 'ab'.repeat(32) } as const;
    const saving = storage.save(pack, Buffer.alloc(5 << 20), { signal: abort.signal, moved: () => (abort.abort(new Error('given up')), undefined) });
    await expect(saving).rejects.toThrow('given up');
    expect(await fs.readdir(path.join(storage.location, 'data/ab'))).toEqual([]);
  });

  it('knows what time it is and what room there is', async () => {
    const storage = await local();
    expect(Math.abs((await storage.serverTime()).getTime() - systemClock.now().getTime())).toBeLessThan(60_000);
    expect(await storage.freeBytes()).toBeGreaterThan(0);
    expect(await fs.readdir(storage.location)).not.toContainEqual(expect.stringMatching(/tmp/));
  });
});

describe('a local storage whose disk is taken away', () => {
  const pack = { kind: 'pack', id: 'ab'.repeat(32) } as const;

  async function unplugged(): Promise<LocalStorage> {
    const storage = await local();
    await storage.save({ kind: 'config', id: '' }, Buffer.from('config'));
    // What is left of a mount point.
    await fs.rm(storage.location, { recursive: true });
    await fs.mkdir(storage.location);
    return storage;
  }

  it.each<[string, (storage: LocalStorage) => Promise<unknown>]>([
    ['saves', (storage) => storage.save(pack, Buffer.from('x'))],
    ['loads', (storage) => storage.load(pack)],
    ['lists', (storage) => storage.list('pack')[Symbol.asyncIterator]().next()],
    ['looks', (storage) => storage.size(pack)],
  ])('says so when it %s, and writes nothing in its place', async (_, call) => {
    const storage = await unplugged();
    await expect(call(storage)).rejects.toMatchObject({ code: 'storage-failed', message: expect.stringMatching(/has vanished/), hint: expect.stringMatching(/unplugged or unmounted/) });
    expect(await fs.readdir(storage.location)).toEqual([]);
  });

  it.each<[string, (at: string) => Promise<unknown>, RegExp]>([
    ['is not there', () => Promise.resolve(), /no such folder\. Is the disk mounted/],
    ['is empty', (at) => fs.mkdir(at), /folder is empty: is the disk mounted/],
    ['is the top of a fresh disk', (at) => fs.mkdir(path.join(at, 'lost+found'), { recursive: true }), /folder is empty/],
    ['is a file', (at) => fs.writeFile(at, ''), /is a file/],
    ['holds other things', (at) => fs.mkdir(path.join(at, 'photos'), { recursive: true }), /holds other things/],
    ['has lost its config', (at) => new LocalStorage(at).prepare(), /not its file `config`/],
  ])('or never was there says why a folder that %s is no repository', async (_, make, says) => {
    const at = path.join(scratch, String(next++));
    await make(at);
    await expect(new LocalStorage(at).load({ kind: 'config', id: '' })).rejects.toMatchObject({ code: 'file-missing', hint: expect.stringMatching(says) });
  });
});
