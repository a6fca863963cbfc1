import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { FileKind, Storage } from '../storage/storage.ts';
import { checkAll, filledRepository, idsOf, noise, readFile, storeFiles, type Filled } from './fixture/filled.ts';
import { loadIndex } from './index-loader.ts';
import type { Repair } from './repair.ts';
import { saveDocument } from './core.ts';
import { encodeIndex } from './format/index-file.ts';

const kept = { 'kept.bin': noise('kept', 1_200_000), 'a.txt': Buffer.from('a') };
const lost = { ...kept, 'lost.bin': noise('lost', 6_000_000) };

const filled = (): Promise<Filled> => filledRepository(new MemoryStorage(), kept, lost);

async function repair(place: Filled, through?: Storage): Promise<Repair> {
  return (await place.open(through)).repair({ signal: new AbortController().signal, step: () => undefined, progress: () => undefined });
}

async function everything(storage: Storage): Promise<readonly string[]> {
  return (await Promise.all((['pack', 'index', 'snapshot'] as const).map((kind) => idsOf(storage, kind)))).flat();
}

/** The pack that only the second snapshot needs, and holds data. */
async function secondDataPack(place: Filled): Promise<string> {
  const index = await loadIndex(await place.core());
  const [before, after] = [await idsOf(place.storage, 'snapshot'), index.packs];
  expect(before).toHaveLength(2);
  const sizes = await Promise.all(after.map(async (id) => ({ id, size: (await place.storage.size({ kind: 'pack', id })) ?? 0 })));
  const found = sizes.toSorted((a, b) => b.size - a.size)[0];
  if (!found) throw new Error('no pack');
  return found.id;
}

async function damage(storage: Storage, kind: FileKind, id: string, at: number): Promise<void> {
  const bytes = await storage.load({ kind, id });
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  await storage.save({ kind, id }, bytes);
}

async function errorsOf(place: Filled): Promise<readonly string[]> {
  return (await checkAll(await place.open())).errors.map(({ subject, message }) => `${subject} ${message}`);
}

function copyOf(storage: Storage, kinds: readonly FileKind[] = ['config', 'key', 'pack', 'index', 'snapshot']): Promise<MemoryStorage> {
  const copy = new MemoryStorage();
  return Promise.all(kinds.map(async (kind) => {
    const ids = kind === 'config' ? [''] : await idsOf(storage, kind);
    for (const id of ids) await copy.save({ kind, id }, await storage.load({ kind, id }));
  })).then(() => copy);
}

/** From the n-th write or removal on everything fails. */
function dying(storage: Storage, nth: number): Storage {
  let writes = 0;
  const write = (): void => {
    if (++writes >= nth) throw new HoldfastError('storage-failed', 'dead');
  };
  return {
    location: 'dying', load: (file, range) => storage.load(file, range), size: (file) => storage.size(file), list: (kind) => storage.list(kind),
    save: async (file, bytes) => { write(); await storage.save(file, bytes); },
    remove: async (file) => { write(); await storage.remove(file); },
  };
}

/** Lets the work die at every write, and runs it again after each death. */
async function atEveryWrite(original: Filled, work: (tools: Repair) => Promise<unknown>, after: (place: Filled) => Promise<void>): Promise<number> {
  for (let nth = 1; ; nth++) {
    const place = original.like(await copyOf(original.storage));
    const finished = await work(await repair(place, dying(place.storage, nth))).then(() => true, () => false);
    expect(await idsOf(place.storage, 'snapshot')).not.toEqual([]);
    await work(await repair(place));
    await after(place);
    if (finished) return nth;
  }
}

describe('repairing the index', () => {
  it('finds nothing to do where nothing is wrong', async () => {
    const place = await filled();
    const before = await everything(place.storage);
    for (const all of [false, true]) expect((await (await repair(place)).index(all)).plan).toMatchObject({ idle: true, added: [], missing: [], changed: [] });
    expect(await everything(place.storage)).toEqual(before);
  });

  it('makes it anew when all of it is gone, or one file cannot be read', async () => {
    const place = await filled();
    for (const id of await idsOf(place.storage, 'index')) await place.storage.remove({ kind: 'index', id });
    const { plan } = await (await repair(place)).index(false);
    expect(plan.added).toHaveLength((await idsOf(place.storage, 'pack')).length);
    expect(await errorsOf(place)).toEqual([]);

    const other = await filled();
    const [first = ''] = await idsOf(other.storage, 'index');
    await damage(other.storage, 'index', first, 50);
    const done = await (await repair(other)).index(false);
    expect(done.plan).toMatchObject({ damaged: [{ id: first }] });
    expect(await idsOf(other.storage, 'index')).not.toContain(first);
    expect(await errorsOf(other)).toEqual([]);
  });

  it('drops packs that are missing, and then a backup stores anew what they held', async () => {
    const place = await filled();
    const pack = await secondDataPack(place);
    await place.storage.remove({ kind: 'pack', id: pack });
    expect((await (await repair(place)).index(false)).plan).toMatchObject({ missing: [{ id: pack }], added: [] });
    expect((await loadIndex(await place.core())).packs).not.toContain(pack);
    expect((await errorsOf(place)).length).toBeGreaterThan(0);
    await storeFiles(await place.open(), lost);
    expect(await errorsOf(place)).toEqual([]);
  });

  it('believes headers more than the index with --all, and leaves marked packs alone without', async () => {
    const place = await filled();
    const core = await place.core();
    const pack = await secondDataPack(place);
    const index = await loadIndex(core);
    const entries = Array.from(index.entriesByPack().of(index.numberOfPack(pack)), (number) => index.blob(number));
    const others = index.packs.filter((id) => id !== pack).map((id) => ({ id, blobs: Array.from(index.entriesByPack().of(index.numberOfPack(id)), (number) => index.blob(number)) }));
    for (const id of await idsOf(place.storage, 'index')) await place.storage.remove({ kind: 'index', id });
    const { encodeIndexedPack } = await import('./format/index-file.ts');
    const wrong = entries.map((blob, i) => (i === 0 ? { ...blob, offset: blob.offset + 1 } : blob));
    await saveDocument(core, 'index', encodeIndex([...others, { id: pack, blobs: wrong }].map(encodeIndexedPack)));
    expect((await (await repair(place)).planIndex(false)).idle).toBe(true);
    expect((await (await repair(place)).index(true)).plan).toMatchObject({ changed: [pack], idle: false });
    expect(await errorsOf(place)).toEqual([]);

    for (const id of await idsOf(place.storage, 'index')) await place.storage.remove({ kind: 'index', id });
    await saveDocument(core, 'index', encodeIndex(others.map(encodeIndexedPack), [{ id: pack, time: '2026-11-20T00:00:00Z', size: 1 }]));
    expect((await (await repair(place)).planIndex(false)).idle).toBe(true);
    await (await repair(place)).index(true);
    expect((await loadIndex(core)).marks).toEqual([]);
    expect(await errorsOf(place)).toEqual([]);
  });

  it('may die at every write', async () => {
    const place = await filled();
    const [first = ''] = await idsOf(place.storage, 'index');
    await damage(place.storage, 'index', first, 50);
    expect(await atEveryWrite(place, (tools) => tools.index(false), async (mended) => expect(await errorsOf(mended)).toEqual([]))).toBeGreaterThan(2);
  });
});

describe('repairing packs', () => {
  it('saves what can be read, names what cannot, and what is lost is then known to be', async () => {
    const place = await filled();
    const pack = await secondDataPack(place);
    await damage(place.storage, 'pack', pack, 700_000);
    const before = await everything(place.storage);
    const plan = await (await repair(place)).planPacks([pack.slice(0, 10)]);
    expect(plan).toMatchObject([{ id: pack, sound: false, lost: [{ type: 'data' }] }]);
    expect(await everything(place.storage)).toEqual(before);
    const { report } = await (await repair(place)).packs([pack.slice(0, 10)]);
    expect(report).toMatchObject({ blobsSaved: plan[0]?.readable, leftAlone: [] });
    expect((await loadIndex(await place.core())).marks).toMatchObject([{ id: pack }]);
    expect(await place.storage.size({ kind: 'pack', id: pack })).toBeDefined();
    await storeFiles(await place.open(), lost);
    await storeFiles(await place.open(), kept);
    expect(await errorsOf(place)).toEqual([]);
  });

  it('leaves a sound pack alone, and refuses an id that no pack has', async () => {
    const place = await filled();
    const pack = await secondDataPack(place);
    const before = await everything(place.storage);
    expect(await (await repair(place)).packs([pack])).toMatchObject({ packs: [{ sound: true }], report: { leftAlone: [pack], packsWritten: 0 } });
    await expect((await repair(place)).packs(['0123456789'])).rejects.toMatchObject({ code: 'file-missing' });
    await expect((await repair(place)).packs(['../..'])).rejects.toMatchObject({ code: 'file-missing' });
    expect(await everything(place.storage)).toEqual(before);
  });

  it('takes what lies before a cut, and drops a pack that is missing', async () => {
    const place = await filled();
    const pack = await secondDataPack(place);
    const bytes = await place.storage.load({ kind: 'pack', id: pack });
    await place.storage.save({ kind: 'pack', id: pack }, bytes.subarray(0, bytes.length - 400));
    const { packs } = await (await repair(place)).packs([pack]);
    expect(packs[0]?.readable).toBeGreaterThan(0);
    const missing = await filled();
    const gone = await secondDataPack(missing);
    await missing.storage.remove({ kind: 'pack', id: gone });
    expect(await (await repair(missing)).packs([gone])).toMatchObject({ packs: [{ size: undefined, readable: 0 }] });
    expect((await loadIndex(await missing.core())).packs).not.toContain(gone);
  });

  it('may die at every write', async () => {
    const place = await filled();
    const pack = await secondDataPack(place);
    await damage(place.storage, 'pack', pack, 700_000);
    const salvaged = (await (await repair(place)).planPacks([pack]))[0]?.readable ?? 0;
    expect(salvaged).toBeGreaterThan(0);
    const wholeBefore = (await loadIndex(await place.core())).count;
    await atEveryWrite(place, (tools) => tools.packs([pack]).catch((error: unknown) => {
      if (!(error instanceof HoldfastError) || error.code !== 'file-missing') throw error;
    }), async (mended) => {
      const index = await loadIndex(await mended.core());
      expect(index.packs).not.toContain(pack);
      expect(new Set(Array.from({ length: index.count }, (_, number) => index.blob(number).id)).size).toBe(wholeBefore - 1);
    });
  });
});

describe('repairing snapshots', () => {
  async function withLoss(): Promise<{ readonly place: Filled; readonly newest: string }> {
    const place = await filled();
    const pack = await secondDataPack(place);
    const newest = (await (await place.open()).snapshots()).at(-1)?.id ?? '';
    // The bytes of lost.bin: the second snapshot alone has them.
    const bytes = await place.storage.load({ kind: 'pack', id: pack });
    await damage(place.storage, 'pack', pack, Math.floor(bytes.length / 2));
    await (await repair(place)).packs([pack]);
    return { place, newest };
  }

  it('leaves out what is lost, names it, and keeps every other byte', async () => {
    const { place, newest } = await withLoss();
    const plan = await (await repair(place)).planSnapshots(undefined);
    expect(plan.broken).toMatchObject([{ snapshot: { id: newest }, lost: [{ path: '/data/lost.bin', folder: false }], outcome: 'repair' }]);
    const { report } = await (await repair(place)).snapshots(undefined, false);
    const repository = await place.open();
    const all = await repository.snapshots();
    expect(all).toHaveLength(3);
    const copy = all.find(({ id }) => id === report.repaired[0]?.to);
    if (!copy) return expect.unreachable();
    expect(copy).toMatchObject({ original: newest, tags: ['store:a', 'state:degraded', 'repaired'] });
    expect(copy.summary).toBeUndefined();
    expect((await readFile(repository, copy, '/data/kept.bin')).equals(kept['kept.bin'])).toBe(true);
    await expect(readFile(repository, copy, '/data/lost.bin')).rejects.toMatchObject({ code: 'path-missing' });
    // A second run makes no second copy; with forget the old one goes, and all is sound.
    expect((await (await repair(place)).snapshots(undefined, false)).plan.broken).toMatchObject([{ outcome: 'done', repaired: copy.id }]);
    expect((await (await place.open()).snapshots())).toHaveLength(3);
    await (await repair(place)).snapshots(undefined, true);
    expect((await (await place.open()).snapshots()).map(({ id }) => id)).not.toContain(newest);
    expect(await errorsOf(place)).toEqual([]);
  });

  it('puts an empty folder where a listing is lost, and says so', async () => {
    const place = await filled();
    const core = await place.core();
    const newest = (await (await place.open()).snapshots()).at(-1);
    const index = await loadIndex(core);
    // The tree of /data of the second snapshot, alone in a pack with its root: its blob is damaged, the root is not.
    const location = index.location(index.find(newest?.tree ?? '', 'tree'));
    const trees = Array.from(index.entriesByPack().of(index.numberOfPack(location.pack)), (number) => index.blob(number));
    const below = trees.find(({ id }) => id !== newest?.tree);
    await damage(place.storage, 'pack', location.pack, (below?.offset ?? 0) + 20);
    await (await repair(place)).packs([location.pack]);
    const { plan } = await (await repair(place)).snapshots(undefined, true);
    expect(plan.broken).toMatchObject([{ lost: [{ path: '/data', folder: true }] }]);
    const repository = await place.open();
    const copy = (await repository.snapshots()).at(-1);
    if (!copy) return expect.unreachable();
    await using opened = await repository.files(copy);
    expect(await opened.files.list('/')).toMatchObject([{ name: 'data', type: 'dir' }]);
    expect(await opened.files.list('/data')).toEqual([]);
    expect(await errorsOf(place)).toEqual([]);
  });

  it('makes no copy where nothing is left, and no copy of what a backup has mended', async () => {
    const place = await filled();
    const newest = (await (await place.open()).snapshots()).at(-1);
    const location = (await loadIndex(await place.core())).locate(newest?.tree ?? '', 'tree');
    await place.storage.remove({ kind: 'pack', id: location?.pack ?? '' });
    expect((await (await repair(place)).planSnapshots(undefined)).broken).toMatchObject([{ outcome: 'nothing-left' }]);
    await storeFiles(await place.open(), lost, undefined, new Date(1_700_000_100_000));
    expect((await (await repair(place)).planSnapshots(undefined)).broken).toEqual([]);
  });

  it('may die at every write, and makes one copy', async () => {
    const { place } = await withLoss();
    await atEveryWrite(place, (tools) => tools.snapshots(undefined, true), async (mended) => {
      expect(await idsOf(mended.storage, 'snapshot')).toHaveLength(2);
      expect((await checkAll(await mended.open(), 'none')).errors).toEqual([]);
    });
  });
});
