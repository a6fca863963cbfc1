import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { EntryFeed, FedDirectoryEntry } from './entry.ts';
import { FedTree } from './fed-tree.ts';
import { folder, metadata } from './fixture/memory-tree.ts';
import { createRepository, type Repository } from './repository.ts';

const signal = new AbortController().signal;

async function archived(repository: Repository, feed: (into: EntryFeed) => Promise<void>): Promise<string> {
  const fed: FedDirectoryEntry = { type: 'fed-dir', name: 'fed', metadata: metadata(0o040700), feed };
  const archive = await repository.archive({
    root: folder('', [fed]), parallel: 1, previousTree: undefined, closing: () => Promise.resolve([]), compression: 'auto', signal, problem: () => undefined, progress: () => undefined,
  });
  return await repository.saveSnapshot({ at: new Date(0), parent: undefined, tree: archive.tree, paths: ['/fed'], hostname: 'h', username: 'u', uid: 0, gid: 0, tags: [], program: 'test', archived: archive });
}

test('files of many folders that come in any order are stored as one tree', async () => {
  const repository = await createRepository(new MemoryStorage(), new Secret('test'), systemClock);
  const large = Buffer.alloc(3_000_000, 'holdfast');
  const id = await archived(repository, async (into) => {
    into.folder('b', metadata(0o040700));
    into.folder('a', metadata(0o040700));
    into.folder('b/deep', metadata(0o040700));
    for (const [path, bytes] of [['b/z', Buffer.from('z')], ['a/large', large], ['b/deep/empty', Buffer.alloc(0)], ['b/a', Buffer.from('again')], ...Array.from({ length: 100 }, (_, i) => [`a/${i}`, Buffer.from(`small ${i}`)] as const)] as const) {
      const file = into.open(path, metadata(0o100600, bytes.length), 'by-length');
      for (let at = 0; at < bytes.length; at += 65_536) await file.write(bytes.subarray(at, at + 65_536));
      await file.end();
    }
    await into.add('b/link', { type: 'symlink', name: 'link', metadata: metadata(0o120777), target: '../a' });
  });
  const snapshot = (await repository.snapshots()).find((one) => one.id === id);
  if (snapshot === undefined) throw new Error('the snapshot is not listed');
  await using opened = await repository.files(snapshot);
  expect((await opened.files.list('/fed/b')).map(({ name, type }) => `${type} ${name}`)).toEqual(['file a', 'dir deep', 'symlink link', 'file z']);
  expect((await opened.files.bytes('/fed/a/large')).equals(large)).toBe(true);
  expect((await opened.files.bytes('/fed/a/73')).toString()).toBe('small 73');
  expect(await opened.files.bytes('/fed/b/deep/empty')).toHaveLength(0);
});

test('a feed that begins anew leaves nothing of what was before', async () => {
  const repository = await createRepository(new MemoryStorage(), new Secret('test'), systemClock);
  const id = await archived(repository, async (into) => {
    into.folder('a', metadata(0o040700));
    const before = into.open('a/one', metadata(0o100600), 'by-length');
    await before.write(Buffer.from('first'));
    await before.end();
    await into.add('a/two', { type: 'file', name: 'two', metadata: metadata(0o100600), content: { from: 'stream', cut: 'by-length', write: async (sink) => await sink.write(Buffer.from('second')) } });
    await into.restart();
    into.folder('a', metadata(0o040700));
    await into.add('a/one', { type: 'file', name: 'one', metadata: metadata(0o100600), content: { from: 'stream', cut: 'by-length', write: async (sink) => await sink.write(Buffer.alloc(2_500_000, 'x')) } });
  });
  const snapshot = (await repository.snapshots()).find((one) => one.id === id);
  if (snapshot === undefined) throw new Error('the snapshot is not listed');
  expect(snapshot.summary).toMatchObject({ total_files_processed: 1 });
  await using opened = await repository.files(snapshot);
  expect((await opened.files.list('/fed/a')).map(({ name, size }) => `${name} ${size}`)).toEqual(['one 2500000']);
  expect((await opened.files.bytes('/fed/a/one')).equals(Buffer.alloc(2_500_000, 'x'))).toBe(true);
});

test('a feed that fails fails the archive, and leaves no snapshot', async () => {
  const repository = await createRepository(new MemoryStorage(), new Secret('test'), systemClock);
  const failing = archived(repository, async (into) => {
    await into.open('one', metadata(0o100600), 'by-length').write(Buffer.from('half'));
    throw new Error('the server went away');
  });
  await expect(failing).rejects.toThrow('the server went away');
  expect(await repository.snapshots()).toEqual([]);
});

test.each(['', '../up', 'a/../b', '/a', 'a/', './a'])('the path "%s" is refused', (path) => {
  const tree = new FedTree();
  tree.addFolder('a', metadata(0o040700));
  expect(() => tree.add(path, 'node')).toThrow('is no path within the folder');
});

test('what comes before its folder, or twice, is refused', () => {
  const tree = new FedTree();
  expect(() => tree.add('a/b', 'node')).toThrow('before its folder');
  tree.add('a', 'node');
  expect(() => tree.addFolder('a', metadata(0o040700))).toThrow('twice');
});
