import { describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { faulty } from '../storage/faulty.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Storage } from '../storage/storage.ts';
import { saveDocument } from './core.ts';
import { checkAll, emptyRepository, filledRepository, idsOf, noise, readFile, storeFiles, type Filled, type Files } from './fixture/filled.ts';
import { loadIndex } from './index-loader.ts';
import { executePrune, type PruneReport } from './prune.ts';
import { planPrune, type PrunePlan } from './prune-plan.ts';
import type { Repository } from './repository.ts';

const DAY = 86_400_000;
const shared = { 'kept.bin': noise('kept', 1_500_000), 'a.txt': Buffer.from('a') };
const older: Files = { ...shared, 'old.bin': noise('old', 3_000_000) };
const newer: Files = { ...shared, 'new.bin': noise('new', 2_000_000) };

type Request = Partial<Parameters<Repository['prune']>[0]>;

const request = (options: Request): Parameters<Repository['prune']>[0] => ({
  maxUnused: { kind: 'bytes', bytes: 0 }, maxRepack: undefined, graceMs: 0, signal: new AbortController().signal, step: () => undefined, progress: () => undefined, ...options,
});

async function prune(filled: Filled, options: Request = {}, through?: Storage): Promise<{ readonly plan: PrunePlan; readonly report: PruneReport }> {
  const repository = await filled.open(through);
  await using _lock = await repository.lock(true);
  return await repository.prune(request(options));
}

async function forgetFirst(filled: Filled): Promise<void> {
  const [first] = await (await filled.open()).snapshots();
  await filled.storage.remove({ kind: 'snapshot', id: first?.id ?? '' });
}

/** Two snapshots of which the first is forgotten: its data shares a pack with what the second needs. */
async function halfForgotten(): Promise<Filled> {
  const filled = await filledRepository(new MemoryStorage(), older, newer);
  await forgetFirst(filled);
  return filled;
}

async function expectWhole(filled: Filled, files: Files): Promise<void> {
  const repository = await filled.open();
  expect((await checkAll(repository)).errors).toEqual([]);
  const snapshot = (await repository.snapshots()).at(-1);
  if (!snapshot) return expect.unreachable();
  for (const [name, bytes] of Object.entries(files)) expect((await readFile(repository, snapshot, `/data/${name}`)).equals(bytes)).toBe(true);
}

async function storedBytes(storage: Storage): Promise<number> {
  let bytes = 0;
  for await (const { size } of storage.list('pack')) bytes += size;
  return bytes;
}

async function expectNamedExactly(filled: Filled): Promise<void> {
  const core = await filled.core();
  const index = await loadIndex(core);
  expect([...index.packs].sort()).toEqual(await idsOf(filled.storage, 'pack'));
  expect(index.marks).toEqual([]);
  const ids = new Set<string>();
  for (let number = 0; number < index.count; number++) ids.add(index.blob(number).id);
  expect(ids.size).toBe(index.count);
}

async function copyOf(storage: Storage): Promise<MemoryStorage> {
  const copy = new MemoryStorage();
  for (const kind of ['pack', 'index', 'snapshot', 'key'] as const) for (const id of await idsOf(storage, kind)) await copy.save({ kind, id }, await storage.load({ kind, id }));
  await copy.save({ kind: 'config', id: '' }, await storage.load({ kind: 'config', id: '' }));
  return copy;
}

/** Every call fails from the n-th write or removal on: the process is dead. */
function dying(storage: Storage, nth: number): Storage & { readonly writes: () => number } {
  let writes = 0;
  const dead = (): never => {
    throw new HoldfastError('storage-failed', 'dead');
  };
  const alive = (): void => {
    if (writes >= nth) dead();
  };
  const write = (): void => {
    if (++writes >= nth) dead();
  };
  return {
    location: 'dying', writes: () => writes,
    save: async (file, bytes) => { write(); await storage.save(file, bytes); },
    remove: async (file) => { write(); await storage.remove(file); },
    load: async (file, range) => { alive(); return await storage.load(file, range); },
    size: async (file) => { alive(); return await storage.size(file); },
    list: (kind) => { alive(); return storage.list(kind); },
  };
}

describe('pruning', () => {
  it('moves what is needed out of packs with waste, and removes them', async () => {
    const filled = await halfForgotten();
    const before = await storedBytes(filled.storage);
    const { plan, report } = await prune(filled);
    expect(plan.unusedBytes).toBeGreaterThan(3_000_000);
    expect(report.bytesRemoved).toBeGreaterThan(3_000_000);
    expect(await storedBytes(filled.storage)).toBe(before - report.bytesRemoved + report.bytesWritten);
    expect(await storedBytes(filled.storage)).toBeLessThan(3_600_000);
    await expectNamedExactly(filled);
    await expectWhole(filled, newer);
    expect((await prune(filled)).plan.idle).toBe(true);
  });

  it('tolerates a share of waste, and moves no more than it may', async () => {
    const filled = await halfForgotten();
    const plan = async (options: Request): Promise<readonly string[]> => {
      const { packs } = await (await filled.open()).planPrune(request(options));
      return packs.map(({ action, reason }) => `${action}: ${reason}`).sort();
    };
    expect((await plan({})).filter((line) => line.startsWith('repack'))).toEqual([expect.stringMatching(/repack: \d\d % of it is not needed/)]);
    expect((await plan({ maxUnused: { kind: 'unlimited' } })).filter((line) => line.startsWith('repack'))).toEqual([]);
    expect((await plan({ maxUnused: { kind: 'percent', percent: 60 } })).some((line) => line === 'keep: little in it is not needed')).toBe(true);
    expect((await plan({ maxRepack: 1000 })).some((line) => line.endsWith('but more may not be moved at once'))).toBe(true);
  });

  it('plans without changing anything', async () => {
    const filled = await halfForgotten();
    const before = await Promise.all((['pack', 'index', 'snapshot', 'lock'] as const).map((kind) => idsOf(filled.storage, kind)));
    const plan = await (await filled.open()).planPrune(request({}));
    expect(plan).toMatchObject({ idle: false, snapshots: 1 });
    expect(await Promise.all((['pack', 'index', 'snapshot', 'lock'] as const).map((kind) => idsOf(filled.storage, kind)))).toEqual(before);
  });

  it('keeps packs for the grace time, which no writer takes up, and removes them after it', async () => {
    const storage = new MemoryStorage();
    let now = Date.UTC(2026, 10, 20);
    const clock: Clock = { now: () => new Date(now), elapsedMs: () => now };
    const filled = await emptyRepository(storage, clock);
    for (const [i, files] of [older, newer].entries()) await storeFiles(await filled.open(), files, undefined, new Date(i));
    await forgetFirst(filled);
    const first = await prune(filled, { graceMs: DAY });
    expect(first.report).toMatchObject({ packsRemoved: 0, bytesRemoved: 0 });
    expect(first.report.packsMarked).toBeGreaterThan(0);
    expect(first.plan.freesLater).toBeGreaterThan(2_900_000);
    const marked = (await loadIndex(await filled.core())).marks;
    expect(marked).toHaveLength(first.report.packsMarked);
    await expectWhole(filled, newer);
    expect((await checkAll(await filled.open())).hints[0]).toContain('wait to be deleted');
    // A backup relies on nothing that is marked.
    await storeFiles(await filled.open(), older);
    expect((await loadIndex(await filled.core())).marks).toEqual(marked);
    await expectWhole(filled, older);
    now += DAY / 2;
    expect((await prune(filled, { graceMs: DAY })).report).toMatchObject({ packsRemoved: 0 });
    now += DAY / 2;
    expect((await prune(filled, { graceMs: DAY })).report).toMatchObject({ packsRemoved: marked.length });
    await expectNamedExactly(filled);
    await expectWhole(filled, older);
  });

  it('leaves a marked pack alone that an index names again', async () => {
    const filled = await halfForgotten();
    const core = await filled.core();
    const before = await loadIndex(core);
    await saveDocument(core, 'index', `{"packs":[],"packs_to_delete":[${before.packs.map((id) => `{"id":"${id}","blobs":[],"time":"2020-01-01T00:00:00Z","size":1}`).join(',')}]}`);
    expect((await loadIndex(core)).marks).toEqual([]);
    await prune(filled, { maxUnused: { kind: 'unlimited' } });
    await expectNamedExactly(filled);
    await expectWhole(filled, newer);
  });

  it('survives dying at every write, and finishes when it is run again', async () => {
    const original = await halfForgotten();
    for (const graceMs of [0, DAY]) {
      for (let nth = 1, finished = false; !finished; nth++) {
        const filled = original.like(await copyOf(original.storage));
        finished = await prune(filled, { graceMs }, dying(filled.storage, nth)).then(() => true, () => false);
        // What the dead left of its lock.
        for (const id of await idsOf(filled.storage, 'lock')) await filled.storage.remove({ kind: 'lock', id });
        expect((await checkAll(await filled.open(), 'none')).errors).toEqual([]);
        await prune(filled);
        await expectNamedExactly(filled);
        expect((await checkAll(await filled.open(), 'none')).errors).toEqual([]);
        expect(await storedBytes(filled.storage)).toBeLessThan(3_600_000);
        if (finished || nth === 6) await expectWhole(filled, newer);
        if (finished) expect(nth).toBeGreaterThan(8);
      }
    }
  }, 240_000);

  it('keeps one copy of what is stored twice', async () => {
    const filled = await filledRepository(new MemoryStorage(), newer);
    const other = await emptyRepository(new MemoryStorage());
    // Without its index the second writer stores everything again.
    const indexes = await Promise.all((await idsOf(filled.storage, 'index')).map(async (id) => [id, await filled.storage.load({ kind: 'index', id })] as const));
    for (const [id] of indexes) await filled.storage.remove({ kind: 'index', id });
    const packs = await Promise.all((await idsOf(filled.storage, 'pack')).map(async (id) => [id, await filled.storage.load({ kind: 'pack', id })] as const));
    for (const [id] of packs) await filled.storage.remove({ kind: 'pack', id });
    await storeFiles(await filled.open(), newer);
    for (const [id, bytes] of indexes) await filled.storage.save({ kind: 'index', id }, bytes);
    for (const [id, bytes] of packs) await filled.storage.save({ kind: 'pack', id }, bytes);
    const { plan } = await prune(filled);
    expect(plan.duplicateBytes).toBeGreaterThan(3_500_000);
    expect(plan.repackBytes).toBe(0);
    await expectNamedExactly(filled);
    await expectWhole(filled, newer);
    expect(await idsOf(other.storage, 'pack')).toEqual([]);
  });

  it('takes up packs without an index that a snapshot needs, and removes the others', async () => {
    const filled = await filledRepository(new MemoryStorage(), older, newer);
    for (const id of await idsOf(filled.storage, 'index')) await filled.storage.remove({ kind: 'index', id });
    await forgetFirst(filled);
    const { plan } = await prune(filled, { maxUnused: { kind: 'unlimited' } });
    expect(plan.adopted.length).toBeGreaterThan(1);
    expect(plan.expired).toMatchObject([{ reason: 'no index names it, and nothing in it is needed' }]);
    await expectNamedExactly(filled);
    await expectWhole(filled, newer);
  });

  it('puts many small packs and index files together', async () => {
    const filled = await emptyRepository(new MemoryStorage());
    for (let i = 0; i < 21; i++) await storeFiles(await filled.open(), { [`${i}.bin`]: noise(String(i), 2000) });
    const { plan } = await prune(filled, { maxUnused: { kind: 'percent', percent: 5 } });
    expect(plan.packs.filter(({ reason }) => /is one of 21 small packs/.test(reason))).toHaveLength(42);
    expect(await idsOf(filled.storage, 'pack')).toHaveLength(2);
    expect((await idsOf(filled.storage, 'index')).length).toBeLessThan(3);
    await expectNamedExactly(filled);
    expect((await checkAll(await filled.open())).errors).toEqual([]);
    expect((await prune(filled)).plan.idle).toBe(true);
  }, 120_000);
});

describe('pruning removes nothing', () => {
  const everything = async (filled: Filled): Promise<unknown> => await Promise.all((['pack', 'index', 'snapshot'] as const).map((kind) => idsOf(filled.storage, kind)));

  it.each(['pack', 'index', 'snapshot'] as const)('when a %s is damaged or missing', async (kind) => {
    const filled = await halfForgotten();
    const [victim = ''] = await idsOf(filled.storage, kind);
    const broken = faulty(filled.storage);
    broken.faults.corrupt(victim, kind === 'pack' ? 30 : 40);
    const before = await everything(filled);
    const attempt = await prune(filled, {}, broken).then(({ plan }) => plan, (error: unknown) => error);
    // A pack that is not opened by the walk or by moving is not looked into.
    if (kind !== 'pack') expect(attempt).toMatchObject({ code: 'repository-damaged', hint: expect.stringContaining('holdfast repair') });
    if (attempt instanceof Error) expect(await everything(filled)).toEqual(before);
    if (kind === 'snapshot') return;
    const again = await halfForgotten();
    const needed = kind === 'pack' ? (await (await again.open()).planPrune(request({}))).packs.find(({ usedBlobs }) => usedBlobs > 0)?.id : undefined;
    await again.storage.remove({ kind, id: needed ?? (await idsOf(again.storage, kind))[0] ?? '' });
    if (kind === 'index') return;
    const packs = await everything(again);
    await expect(prune(again)).rejects.toMatchObject({ code: 'repository-damaged', hint: expect.stringContaining('Run a backup first') });
    expect(await everything(again)).toEqual(packs);
  });

  it('when a pack that must be moved is damaged', async () => {
    const filled = await halfForgotten();
    const { packs } = await (await filled.open()).planPrune(request({}));
    const repacked = packs.find(({ action }) => action === 'repack');
    if (!repacked) return expect.unreachable();
    const bytes = await filled.storage.load({ kind: 'pack', id: repacked.id });
    for (let at = 100; at < bytes.length - 1000; at += 100_000) bytes[at] = (bytes[at] ?? 0) ^ 1;
    await filled.storage.save({ kind: 'pack', id: repacked.id }, bytes);
    await expect(prune(filled)).rejects.toMatchObject({ code: 'repository-damaged' });
    for (const pack of packs) expect(await filled.storage.size({ kind: 'pack', id: pack.id })).toBe(pack.size);
  });

  it('with credentials that may only add, and says so before anything is moved', async () => {
    const filled = await halfForgotten();
    const before = await everything(filled);
    const denied = new HoldfastError('storage-denied', 'not with these');
    for (const appendOnly of [
      { ...plain(filled.storage), remove: () => Promise.reject(denied) },
      { ...plain(filled.storage), remove: async (file: Parameters<Storage['remove']>[0]) => {
        if (file.kind !== 'lock' && (await filled.storage.size(file)) !== undefined) throw denied;
      } },
    ]) {
      await expect(prune(filled, {}, appendOnly)).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringContaining('nothing was changed') });
      for (const id of await idsOf(filled.storage, 'lock')) await filled.storage.remove({ kind: 'lock', id });
    }
    expect((await idsOf(filled.storage, 'pack'))).toEqual((before as string[][])[0]);
    await expectWhole(filled, newer);
  });

  it('while a backup holds a lock, and no backup begins while it is at work', async () => {
    const filled = await halfForgotten();
    {
      await using _backup = (await (await filled.open()).lockForWriting()).lock;
      await expect(prune(filled)).rejects.toMatchObject({ code: 'repository-locked' });
    }
    await using _prune = await (await filled.open()).lock(true);
    await expect((await filled.open()).lockForWriting()).rejects.toMatchObject({ code: 'repository-locked' });
  });
});

function plain(storage: Storage): Storage {
  return {
    location: storage.location, save: (file, bytes) => storage.save(file, bytes), load: (file, range) => storage.load(file, range),
    list: (kind) => storage.list(kind), size: (file) => storage.size(file), remove: (file) => storage.remove(file),
  };
}

describe('an object lock', () => {
  it('that keeps files is no failure: packs stay marked, and those that an index still names stay', async () => {
    const filled = await halfForgotten();
    const kept = new HoldfastError('storage-kept', 'until tomorrow');
    const locked: Storage = { ...plain(filled.storage), keepDays: 30, remove: async (file) => {
      if (file.kind === 'pack' && (await filled.storage.size(file)) !== undefined) throw kept;
      await filled.storage.remove(file);
    } };
    const { report } = await prune(filled, {}, locked);
    expect(report.packsRemoved).toBe(0);
    expect(report.kept.map(({ kind, message }) => `${kind} ${message}`)).toContain('pack until tomorrow');
    expect((await loadIndex(await filled.core())).marks).toHaveLength(report.kept.length);
    await prune(filled);
    await expectNamedExactly(filled);
    await expectWhole(filled, newer);

    const other = await halfForgotten();
    const stuck: Storage = { ...plain(other.storage), keepDays: 30, remove: async (file) => {
      if (file.kind === 'index' && (await other.storage.size(file)) !== undefined) throw kept;
      await other.storage.remove(file);
    } };
    expect((await prune(other, {}, stuck)).report).toMatchObject({ packsRemoved: 0 });
    await expectWhole(other, newer);
    await prune(other);
    await expectNamedExactly(other);
    await expectWhole(other, newer);
  });
});

it('what is planned is what is done: a plan carries its own time', async () => {
  const filled = await halfForgotten();
  const core = await filled.core();
  const options = { ...request({ graceMs: DAY }), clock: systemClock };
  const planned = await planPrune(core, options);
  const report = await executePrune(core, planned, options);
  expect(report.packsMarked).toBe(planned.plan.waiting.length + planned.plan.packs.filter(({ action }) => action === 'repack').length);
});
