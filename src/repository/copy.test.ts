import { describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { faulty } from '../storage/faulty.ts';
import type { Storage } from '../storage/storage.ts';
import { folder, streamed } from './fixture/memory-tree.ts';
import { noise, storeTree } from './fixture/store-tree.ts';
import { createRepository, type CopyOutcome, type Repository, type Snapshot } from './repository.ts';

const signal = new AbortController().signal;
const [password, other] = [new Secret('one'), new Secret('two')];
const large = noise('large', 3_000_000);

/** Opening takes its time, on purpose: repositories are opened once. */
const create = (storage: Storage, secret = other, polynomial?: bigint): Promise<Repository> => createRepository(storage, secret, systemClock, polynomial);

/** Three snapshots that share most of their content. */
async function fill(repository: Repository): Promise<readonly Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for (const n of [1, 2, 3]) snapshots.push(await storeTree(repository, [folder('a', [streamed('large', large)]), streamed('n', noise(`n${n}`, 400_000 * n))], { at: `2026-11-0${n}T12:00:00Z`, tags: ['store:x', `n:${n}`] }));
  return snapshots;
}

const source = faulty(new MemoryStorage());
const from = await create(source, password);
const originals = await fill(from);

async function copy(from: Repository, to: Repository, snapshots?: readonly Snapshot[]): Promise<readonly CopyOutcome[]> {
  const outcomes: CopyOutcome[] = [];
  const { lock, snapshots: present } = await to.lockForWriting();
  await using _lock = lock;
  await to.copyFrom(from, present, { snapshots: snapshots ?? (await from.snapshots()), signal, step: () => undefined, progress: () => undefined, done: (outcome) => outcomes.push(outcome) });
  return outcomes;
}

const states = (outcomes: readonly CopyOutcome[]): string => outcomes.toSorted((a, b) => (a.snapshot.time < b.snapshot.time ? -1 : 1)).map(({ state }) => state).join(' ');

async function isSound(repository: Repository, data: 'all' | 'none' = 'all'): Promise<void> {
  const report = await repository.check({ readData: { kind: data }, signal, step: () => undefined, progress: () => undefined, random: () => 0 });
  expect(report.errors).toEqual([]);
}

async function stored(storage: Storage): Promise<number> {
  let bytes = 0;
  for await (const { size } of storage.list('pack')) bytes += size;
  return bytes;
}

describe('a copy', () => {
  it('has the same trees under another key, says what it is a copy of, and is made once', async () => {
    const to = new MemoryStorage();
    const target = await create(to);
    expect(states(await copy(from, target))).toBe('copied copied copied');
    const copies = await target.snapshots();
    expect(copies.map(({ tree, original, time, tags, parent }) => ({ tree, original, time, tags, parent }))).toEqual(originals.map(({ tree, id, time, tags }) => ({ tree, original: id, time, tags, parent: undefined })));
    await isSound(target);
    await using opened = await target.files(copies[1] ?? expect.unreachable());
    expect((await opened.files.bytes('/a/large')).equals(large)).toBe(true);
    const bytes = await stored(to);
    expect(states(await copy(from, target))).toBe('present present present');
    expect(await stored(to)).toBe(bytes);
    expect(bytes / (await stored(source))).toBeLessThan(1.01);
    // A copy of the copy is one of the first original, which knows it for its own.
    const last = await create(new MemoryStorage(), password);
    await copy(target, last);
    expect((await last.snapshots()).map(({ original }) => original)).toEqual(originals.map(({ id }) => id));
    expect(states(await copy(last, from))).toBe('present present present');
  });

  it('brings only what the other repository lacks', async () => {
    const to = new MemoryStorage();
    const target = await create(to, other, from.polynomial);
    await storeTree(target, [streamed('mine', large)]);
    const before = await stored(to);
    expect(states(await copy(from, target, originals.slice(0, 1)))).toBe('copied');
    expect((await stored(to)) - before).toBeLessThan(500_000);
    await isSound(target);
  });

  it('of a snapshot that is damaged fails for that one only, and by name', async () => {
    const target = await create(new MemoryStorage());
    // The data pack of the second snapshot holds its own file only.
    const own: string[] = [];
    for await (const { id, size } of source.list('pack')) if (size > 790_000 && size < 1_000_000) own.push(id);
    source.faults.corrupt(own[0] ?? '', 300_000);
    try {
      const outcomes = await copy(from, target);
      expect(states(outcomes)).toBe('copied failed copied');
      expect(outcomes.find(({ state }) => state === 'failed')).toMatchObject({ error: { code: 'repository-damaged', message: expect.stringContaining(`snapshot ${originals[1]?.id.slice(0, 8)} needs cannot be read`) } });
      await isSound(target);
    } finally {
      source.faults.corrupt(own[0] ?? '', -1);
    }
    expect(states(await copy(from, target))).toBe('present copied present');
  });

  it('that has lost packs gets them again', async () => {
    const to = new MemoryStorage();
    const target = await create(to);
    await copy(from, target);
    for await (const { id, size } of to.list('pack')) if (size > 1_000_000) await to.remove({ kind: 'pack', id });
    const { errors } = await target.check({ readData: { kind: 'none' }, signal, step: () => undefined, progress: () => undefined, random: () => 0 });
    expect(errors.length).toBeGreaterThan(0);
    expect(states(await copy(from, target))).toBe('present present present');
    const [first] = await target.snapshots();
    await target.lockForWriting().then(async ({ lock }) => await lock[Symbol.asyncDispose]());
    await using opened = await target.files(first ?? expect.unreachable());
    expect((await opened.files.bytes('/a/large')).equals(large)).toBe(true);
  });

  it('that is interrupted, at whichever write, leaves a sound repository, and the next run finishes with what is there', async () => {
    const to = faulty(new MemoryStorage());
    const target = await create(to);
    for (let nth = 1; ; nth++) {
      for (const kind of ['snapshot', 'index', 'pack'] as const) for await (const { id } of to.list(kind)) await to.remove({ kind, id });
      to.faults.failOn('save', nth);
      const ended = await copy(from, target).then(() => 'finished', () => 'failed');
      if (ended === 'finished') return expect(nth).toBeGreaterThan(6);
      await isSound(target, 'none');
      const packs = await stored(to);
      expect((await copy(from, target)).every(({ state }) => state !== 'failed')).toBe(true);
      await isSound(target);
      expect(await stored(to)).toBeLessThan(Math.max(packs, (await stored(source)) * 1.01) + 10_000);
    }
  });
});
