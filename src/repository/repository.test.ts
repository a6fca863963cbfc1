import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { faulty } from '../storage/faulty.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Storage } from '../storage/storage.ts';
import type { Problem } from './entry.ts';
import { quickRepository } from './fixture/filled.ts';
import { folder, streamed } from './fixture/memory-tree.ts';
import { createRepository, openRepository, type CheckReport, type Repository, type Snapshot } from './repository.ts';

const password = new Secret('correct horse');

/** Bytes that do not compress, the same each time. */
function noise(seed: string, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) parts.push(createHash('sha256').update(`${seed}${i}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}

async function store(repository: Repository, files: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const problems: Problem[] = [];
  await using _lock = await repository.lock(false);
  const archived = await repository.archive({
    root: folder('', [folder('data', Object.entries(files).map(([name, bytes]) => streamed(name, bytes)))]),
    parallel: 2, previousTree: undefined, closing: () => Promise.resolve([streamed('closing', Buffer.from('last'))]),
    compression: 'auto', signal: new AbortController().signal, problem: (problem) => problems.push(problem), progress: () => undefined,
  });
  expect(problems).toEqual([]);
  return await repository.saveSnapshot({
    at: new Date(1_700_000_000_000), parent: undefined, tree: archived.tree, paths: ['/data'], hostname: 'h', username: 'u', uid: 0, gid: 0, tags: ['store:a'], program: 'test', archived,
  });
}

async function read(repository: Repository, snapshot: Snapshot, path: string): Promise<Buffer> {
  await using opened = await repository.files(snapshot);
  return await opened.files.bytes(path);
}

async function checked(repository: Repository, readData = true): Promise<CheckReport> {
  return await repository.check({
    readData: { kind: readData ? 'all' : 'none' }, signal: new AbortController().signal, step: () => undefined, progress: () => undefined, random: () => 0.5,
  });
}

async function fresh(storage: Storage = new MemoryStorage()): Promise<Repository> {
  await quickRepository(storage, password);
  return await openRepository(storage, password, systemClock);
}

const files = { 'small.txt': Buffer.from('hello'), 'empty': Buffer.alloc(0), 'large.bin': noise('large', 3_000_000) };

describe('a repository', () => {
  it('gives back what was archived, large, small and empty', async () => {
    const repository = await fresh();
    const id = await store(repository, files);
    const [snapshot] = await repository.snapshots();
    expect(snapshot?.id).toBe(id);
    if (!snapshot) return;
    for (const [name, bytes] of Object.entries(files)) expect((await read(repository, snapshot, `/data/${name}`)).equals(bytes)).toBe(true);
    expect((await read(repository, snapshot, '/closing')).toString()).toBe('last');
    await expect(read(repository, snapshot, '/data/nothing')).rejects.toMatchObject({ code: 'path-missing' });
    expect(await checked(repository)).toMatchObject({ errors: [], hints: [], snapshots: 1 });
  });

  it('stores what it has already only once', async () => {
    const storage = new MemoryStorage();
    const repository = await fresh(storage);
    await store(repository, files);
    const packs = (await checked(repository)).packs;
    await store(repository, files);
    expect((await checked(repository)).packs).toBe(packs);
  });

  it('refuses a wrong password, a missing repository and a second one in the same place', async () => {
    const storage = new MemoryStorage();
    await createRepository(storage, password, systemClock);
    await expect(openRepository(storage, new Secret('wrong'), systemClock)).rejects.toMatchObject({ code: 'wrong-password', exitCode: 12 });
    await expect(openRepository(new MemoryStorage(), password, systemClock)).rejects.toMatchObject({ code: 'repository-missing', exitCode: 10 });
    await expect(createRepository(storage, password, systemClock)).rejects.toMatchObject({ code: 'repository-exists' });
  });

  it('refuses to start beside an eaten config', async () => {
    const storage = new MemoryStorage();
    await fresh(storage);
    await storage.remove({ kind: 'config', id: '' });
    await expect(createRepository(storage, password, systemClock)).rejects.toMatchObject({ code: 'repository-exists' });
  });

  it('opens with each of its passwords, and with none that was taken away', async () => {
    const storage = new MemoryStorage();
    const repository = await fresh(storage);
    await repository.addKey(new Secret('second'));
    const second = await openRepository(storage, new Secret('second'), systemClock);
    expect(await second.keys()).toHaveLength(2);
    const first = (await second.keys()).find(({ current }) => !current);
    await second.removeKey(first?.id.slice(0, 12) ?? '');
    await expect(openRepository(storage, password, systemClock)).rejects.toMatchObject({ code: 'wrong-password' });
    await second.changePassword(new Secret('third'));
    await expect(openRepository(storage, new Secret('second'), systemClock)).rejects.toMatchObject({ code: 'wrong-password' });
    const third = await openRepository(storage, new Secret('third'), systemClock);
    await expect(third.removeKey((await third.keys())[0]?.id ?? '')).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('a repository whose storage fails', () => {
  it('stays sound and keeps its snapshots, whichever write of a backup is the first to fail', async () => {
    for (let nth = 1; ; nth++) {
      const storage = new MemoryStorage();
      const repository = await fresh(storage);
      await store(repository, files);
      const broken = faulty(storage);
      broken.faults.failOn('save', nth);
      const attempt = store(await openRepository(broken, password, systemClock), { ...files, 'more.bin': noise('more', 2_500_000) });
      const outcome = await attempt.then(() => 'finished', () => 'failed');
      const report = await checked(repository);
      expect(report.errors).toEqual([]);
      expect(report.snapshots).toBe(outcome === 'finished' ? 2 : 1);
      if (outcome === 'finished') {
        expect(nth).toBeGreaterThan(4);
        return;
      }
      // The next backup takes up what was stored and finishes.
      await store(repository, { ...files, 'more.bin': noise('more', 2_500_000) });
      expect(await checked(repository)).toMatchObject({ errors: [], hints: [], snapshots: 2 });
    }
  });

  it('uses packs again that an interrupted backup has left without an index', async () => {
    const storage = new MemoryStorage();
    const repository = await fresh(storage);
    const broken = faulty(storage);
    broken.faults.failOn('save', 1, { kind: 'index' });
    await expect(store(await openRepository(broken, password, systemClock), files)).rejects.toThrow();
    const before = await packCount(storage);
    expect(before).toBeGreaterThan(0);
    expect((await checked(repository)).hints[0]).toContain('named in no index');
    await store(repository, files);
    expect(await packCount(storage)).toBe(before);
  });
});

async function packCount(storage: Storage): Promise<number> {
  let count = 0;
  for await (const _ of storage.list('pack')) count++;
  return count;
}

describe('damage', () => {
  it.each(['pack', 'index', 'snapshot', 'key'] as const)('to a %s is found by check', async (kind) => {
    const storage = new MemoryStorage();
    await store(await fresh(storage), files);
    const ids: { id: string; size: number }[] = [];
    for await (const file of storage.list(kind)) ids.push(file);
    const [victim] = ids;
    const broken = faulty(storage);
    const repository = await openRepository(broken, password, systemClock);
    broken.faults.corrupt(victim?.id ?? '', Math.floor((victim?.size ?? 0) / 2));
    expect((await checked(repository)).errors.length).toBeGreaterThan(0);
  });

  it('in the form of a missing pack is named with what it held', async () => {
    const storage = new MemoryStorage();
    const repository = await fresh(storage);
    await store(repository, files);
    for await (const { id } of storage.list('pack')) {
      await storage.remove({ kind: 'pack', id });
      break;
    }
    expect((await checked(repository, false)).errors[0]?.message).toMatch(/is missing; \d+ blobs are lost with it/);
  });

  it('in the form of a missing pack is mended for what the next backup meets again', async () => {
    const storage = new MemoryStorage();
    const repository = await fresh(storage);
    await store(repository, files);
    for await (const { id } of storage.list('pack')) await storage.remove({ kind: 'pack', id });
    const [lost] = await repository.snapshots();
    if (!lost) return expect.unreachable();
    const other = await openRepository(storage, password, systemClock);
    await expect(read(other, lost, '/data/large.bin')).rejects.toMatchObject({ code: 'repository-damaged' });
    await store(other, files);
    expect((await read(await openRepository(storage, password, systemClock), lost, '/data/large.bin')).equals(files['large.bin'])).toBe(true);
  });
});

describe('a reader', () => {
  it('finds what others have written since it has loaded its index', async () => {
    const storage = new MemoryStorage();
    const reader = await fresh(storage);
    const writer = await openRepository(storage, password, systemClock);
    await store(writer, { one: noise('one', 100_000) });
    const [first] = await reader.snapshots();
    if (!first) throw new Error('no snapshot');
    expect((await read(reader, first, '/data/one')).length).toBe(100_000);
    const id = await store(writer, { two: noise('two', 100_000) });
    const second = (await reader.snapshots()).find((snapshot) => snapshot.id === id);
    if (!second) throw new Error('no second snapshot');
    expect((await read(reader, second, '/data/two')).equals(noise('two', 100_000))).toBe(true);
  });
});
