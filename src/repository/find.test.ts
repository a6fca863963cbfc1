import { expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { faulty } from '../storage/faulty.ts';
import type { Entry } from './entry.ts';
import { folder, metadata, streamed } from './fixture/memory-tree.ts';
import { noise, storeTree } from './fixture/store-tree.ts';
import { createRepository, openRepository, type Change, type Repository, type Snapshot, type Stats } from './repository.ts';

const signal = new AbortController().signal;
const storage = faulty(new MemoryStorage());
const password = new Secret('x');
const made = await createRepository(storage, password, systemClock);

const text = (name: string, content: string): Entry => streamed(name, Buffer.from(content));
const link = (name: string, target: string): Entry => ({ type: 'symlink', name, target, metadata: metadata(0o120777) });
const large = noise('large', 2_500_000);
const unchanged = folder('same', [text('deep', 'deep'), streamed('large', large)]);

/** Five snapshots of a store, a day apart. */
const trees: readonly (readonly Entry[])[] = [
  [unchanged, folder('a', [text('file', 'one'), link('link', 'x')])],
  [unchanged, folder('a', [text('file', 'one'), link('link', 'y')])],
  [unchanged, folder('a', [text('file', 'two'), text('new', 'new')])],
  [unchanged, text('a', 'a file now')],
  [unchanged, folder('a', [text('file', 'one'), streamed('copy', large)])],
];
const snapshots: Snapshot[] = [];
for (const [n, entries] of trees.entries()) snapshots.push(await storeTree(made, entries, { at: `2026-11-0${n + 1}T12:00:00Z` }));
const repository = await openRepository(storage, password, systemClock);
const nth = (n: number): Snapshot => snapshots[n] ?? expect.unreachable();
const [first, second, third, fourth] = [nth(0), nth(1), nth(2), nth(3)];

async function all<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function found(matches: (path: string, name: string) => boolean): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const { path, versions } of repository.find({ snapshots, matches, signal })) {
    lines.push(`${path} ${versions.map(({ type, from, to, snapshots: count }) => `${type} ${from.time.slice(9, 10)}-${to.time.slice(9, 10)} ${count}`).join(', ')}`);
  }
  return lines;
}

it('every path is found once, with the snapshots between which its content was the same', async () => {
  expect(await found((_, name) => name === 'file')).toEqual(['/a/file file 1-2 2, file 3-3 1, file 5-5 1']);
  expect(await found((_, name) => name === 'link')).toEqual(['/a/link symlink 1-1 1, symlink 2-2 1']);
  expect(await found((_, name) => name === 'a')).toEqual(['/a dir 1-3 3, file 4-4 1, dir 5-5 1']);
  expect(await found((path) => path.startsWith('/same'))).toEqual(['/same dir 1-5 5', '/same/deep file 1-5 5', '/same/large file 1-5 5']);
  expect(await found(() => false)).toEqual([]);
});

it('paths come in order, and a folder that all snapshots share is read once', async () => {
  const fresh = await openRepository(storage, password, systemClock);
  const paths: string[] = [];
  const before = storage.faults.calls.length;
  for await (const { path } of fresh.find({ snapshots, matches: () => true, signal })) paths.push(path);
  expect(paths).toEqual(['/a', '/a/copy', '/a/file', '/a/link', '/a/new', '/same', '/same/deep', '/same/large']);
  const loads = storage.faults.calls.slice(before).filter(({ call, file }) => call === 'load' && file.kind === 'pack');
  // Five roots, four folders a, and once the one that they share.
  expect(loads.length).toBeLessThanOrEqual(10);
});

it('what was last changed before or after a time is passed over', async () => {
  const at = (oldest: string, newest: string) => ({ snapshots: [first], matches: (_: string, name: string) => name === 'file', oldest: new Date(oldest), newest: new Date(newest), signal });
  const count = async (oldest: string, newest: string): Promise<number> => (await all(repository.find(at(oldest, newest)))).length;
  expect([await count('2023-01-01', '2024-01-01'), await count('2024-01-01', '2025-01-01'), await count('2020-01-01', '2023-01-01')]).toEqual([1, 0, 0]);
});

it('blobs, trees and packs lead to the paths that need them', async () => {
  const objects = async (kind: 'blob' | 'tree' | 'pack', id: string): Promise<readonly string[]> =>
    (await all(repository.findObjects(snapshots, kind, [id], signal))).map(({ path, snapshot, type }) => `${type} ${path} ${snapshot.time.slice(9, 10)}`);
  expect(await objects('tree', first.tree.slice(0, 12))).toEqual(['tree / 1']);
  const [pack] = (await all(repository.findObjects(snapshots, 'tree', [first.tree], signal))).map((one) => one.pack);
  expect(await objects('pack', pack ?? '')).toContain('tree /same 1');
  const blob = JSON.parse((await repository.cat('tree', first.tree)).toString()) as { nodes: { subtree: string }[] };
  const same = JSON.parse((await repository.cat('tree', blob.nodes[1]?.subtree ?? '')).toString()) as { nodes: { content: string[] }[] };
  expect(await objects('blob', same.nodes[1]?.content[0] ?? '')).toEqual(['data /same/large 1', 'data /a/copy 5']);
  await expect(objects('blob', 'f'.repeat(20))).rejects.toThrow(HoldfastError);
});

async function differences(of: Repository, before: Snapshot, after: Snapshot): Promise<readonly string[]> {
  const entries: (readonly [Change, string])[] = [];
  for await (const { change, path } of of.diff(before, after, { folderTimes: false, signal })) entries.push([change, path]);
  return entries.map((entry) => entry.join(' '));
}

it('the difference of two snapshots names what was added, removed, changed and of another type', async () => {
  expect(await differences(repository, first, first)).toEqual([]);
  expect(await differences(repository, first, second)).toEqual(['M /a/link']);
  expect(await differences(repository, second, third)).toEqual(['M /a/file', '- /a/link', '+ /a/new']);
  expect(await differences(repository, third, fourth)).toEqual(['T /a', '- /a/file', '- /a/new']);
  expect(await differences(repository, fourth, third)).toEqual(['T /a', '+ /a/file', '+ /a/new']);
});

it('the difference tells metadata from content', async () => {
  const entry: Entry = { ...text('file', 'one'), metadata: metadata(0o100600, 3) } as Entry;
  const changed = await storeTree(made, [unchanged, folder('a', [entry, link('link', 'x')])]);
  expect(await differences(await openRepository(storage, password, systemClock), first, changed)).toEqual(['U /a/file']);
});

it('statistics say what each group needs, what only it needs, and what each snapshot added', async () => {
  const own = new MemoryStorage();
  const writer = await createRepository(own, password, systemClock);
  const shared = streamed('shared', large);
  const one = await storeTree(writer, [shared, text('a', 'aaaa')], { at: '2026-11-01T00:00:00Z' });
  const two = await storeTree(writer, [shared, text('a', 'bbbb'), text('twin', 'bbbb'), text('empty', '')], { at: '2026-11-02T00:00:00Z' });
  const other = await storeTree(writer, [shared, text('b', 'cc')], { at: '2026-11-03T00:00:00Z' });
  const lost = await storeTree(writer, [text('gone', noise('gone', 300_000).toString('hex'))]);
  await writer.remove('snapshot', lost.id);
  const stats = async (everything: boolean): Promise<Stats> => await (await openRepository(own, password, systemClock)).stats({ groups: [{ name: 'x', snapshots: [one, two] }, { name: 'y', snapshots: [other] }], all: everything, signal, step: () => undefined });
  const { groups, distinctFiles, distinctBytes, needed, unused } = await stats(true);
  expect(groups[0]).toMatchObject({ distinctFiles: 4, distinctBytes: large.length + 8, snapshots: [{ files: 2, bytes: large.length + 4 }, { files: 4, bytes: large.length + 8 }] });
  expect(groups[0]?.snapshots[1]?.added).toMatchObject({ blobs: 2 });
  expect(groups[0]?.exclusive.storedBytes).toBeLessThan(2000);
  expect(groups[1]?.needed.plainBytes).toBeGreaterThan(large.length);
  expect({ distinctFiles, distinctBytes }).toEqual({ distinctFiles: 5, distinctBytes: large.length + 10 });
  const sum = groups.reduce((total, group) => total + group.exclusive.blobs, 0);
  expect(needed.blobs - sum).toBe(groups.reduce((total, group) => total + group.needed.blobs, 0) - needed.blobs);
  expect(unused?.plainBytes).toBeGreaterThan(600_000);
  expect((await stats(false)).unused).toBeUndefined();
});
