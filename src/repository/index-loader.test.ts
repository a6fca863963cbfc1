import { expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Call, FileKind, Range, StoredFile } from '../storage/storage.ts';
import { checkAll, emptyRepository, idsOf, noise, readFile, storeFiles, type Files } from './fixture/filled.ts';
import { folder, streamed } from './fixture/memory-tree.ts';
import type { Repository } from './repository.ts';

/** Knows what was loaded of each kind. */
class CountingStorage extends MemoryStorage {
  readonly loaded: FileKind[] = [];

  override async load(file: StoredFile, range?: Range, call?: Call): Promise<Buffer> {
    // What was written is read back past all caches.
    if (call?.keep !== false) this.loaded.push(file.kind);
    return await super.load(file, range, call);
  }

  take(kind: FileKind): number {
    const count = this.loaded.filter((one) => one === kind).length;
    this.loaded.length = 0;
    return count;
  }
}

async function append(repository: Repository, files: Files): Promise<void> {
  await using _lock = await repository.lockForAppending();
  const archived = await repository.archive({
    root: folder('', [folder('data', Object.entries(files).map(([name, bytes]) => streamed(name, bytes)))]),
    parallel: 1, previousTree: undefined, closing: () => Promise.resolve([]), compression: 'auto', signal: new AbortController().signal, problem: ({ message }) => { throw new Error(message); }, progress: () => undefined,
  });
  await repository.saveSnapshot({ at: new Date(), parent: undefined, tree: archived.tree, paths: ['/data'], hostname: 'h', username: 'u', uid: 0, gid: 0, tags: ['store:a', 'state:ok'], program: 'test', archived });
}

it('a writer that adds a little again and again reads the index once, and then what others have added', async () => {
  const storage = new CountingStorage();
  const filled = await emptyRepository(storage);
  for (let i = 0; i < 5; i++) await storeFiles(await filled.open(), { file: noise(`before ${i}`, 1000) });
  const writer = await filled.open();
  storage.take('index');
  await append(writer, { file: noise('one', 1000) });
  expect(storage.take('index')).toBe(5);
  await append(writer, { file: noise('two', 1000) });
  expect(storage.take('index')).toBe(0);
  await storeFiles(await filled.open(), { file: noise('of another', 300_000) });
  storage.take('index');
  const packs = (await idsOf(storage, 'pack')).length;
  await append(writer, { file: noise('of another', 300_000) });
  expect(storage.take('index')).toBe(1);
  // What the other has stored is used: not even the tree is new.
  expect((await idsOf(storage, 'pack')).length).toBe(packs);
  expect((await checkAll(await filled.open())).errors).toEqual([]);
});

it('after a prune it relies on nothing that it knew before', async () => {
  const storage = new CountingStorage();
  const filled = await emptyRepository(storage);
  const writer = await filled.open();
  const gone = { file: noise('gone', 400_000) };
  await append(writer, gone);
  const other = await filled.open();
  for (const { id } of await other.snapshots()) await storage.remove({ kind: 'snapshot', id });
  {
    await using _lock = await other.lock(true);
    await other.prune({ maxUnused: { kind: 'bytes', bytes: 0 }, maxRepack: undefined, graceMs: 0, signal: new AbortController().signal, step: () => undefined, progress: () => undefined });
  }
  await append(writer, gone);
  const reader = await filled.open();
  const [snapshot] = await reader.snapshots();
  if (!snapshot) return expect.unreachable();
  expect((await readFile(reader, snapshot, '/data/file')).equals(gone.file)).toBe(true);
  expect((await checkAll(reader)).errors).toEqual([]);
});

it('snapshots that are taken back while they are listed are passed over, but not one that is there and cannot be had', async () => {
  const storage = new MemoryStorage();
  const filled = await emptyRepository(storage);
  await storeFiles(await filled.open(), { a: noise('a', 100) });
  const [kept = ''] = await idsOf(storage, 'snapshot');
  await storeFiles(await filled.open(), { b: noise('b', 100) });
  const through = (vanish: (file: StoredFile) => Promise<void>): MemoryStorage =>
    Object.assign(new MemoryStorage(), {
      list: (kind: FileKind) => storage.list(kind), size: (file: StoredFile) => storage.size(file),
      load: async (file: StoredFile, range?: Range) => {
        if (file.kind === 'snapshot' && file.id !== kept) await vanish(file);
        return await storage.load(file, range);
      },
    });
  const hidden = through(({ id }) => Promise.reject(new HoldfastError('file-missing', `${id} is missing`)));
  await expect((await filled.open(hidden)).snapshots()).rejects.toMatchObject({ code: 'file-missing' });
  const vanishing = through((file) => storage.remove(file));
  expect((await (await filled.open(vanishing)).snapshots()).map(({ id }) => id)).toEqual([kept]);
});
