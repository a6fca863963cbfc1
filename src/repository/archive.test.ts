import { describe, expect, it } from 'vitest';
import { MemoryStorage } from '../storage/memory.ts';
import type { FileEntry } from './entry.ts';
import { emptyRepository, readFile } from './fixture/filled.ts';
import { folder, metadata, streamed } from './fixture/memory-tree.ts';
import { noise, storeTree } from './fixture/store-tree.ts';

function kept(name: string, path: string, otherwise: Uint8Array, heard: string[]): FileEntry {
  return {
    type: 'file', name, metadata: metadata(0o100644),
    content: { from: 'previous', path, kept: () => void heard.push(name), otherwise: { from: 'bytes', bytes: otherwise } },
  };
}

describe('content that is kept from the previous snapshot', () => {
  it('is taken over without being read, under another name and in another folder, too', async () => {
    const repository = await (await emptyRepository(new MemoryStorage())).open();
    const bytes = noise('a', 3_000_000);
    const first = await storeTree(repository, [folder('data', [streamed('a', bytes), streamed('empty', Buffer.alloc(0))])]);
    const heard: string[] = [];
    const second = await storeTree(repository, [folder('other', [kept('b', '/data/a', Buffer.from('x'), heard), kept('none', '/data/empty', Buffer.from('x'), heard)])], { previous: first });
    expect(heard).toEqual(['b', 'none']);
    expect((await readFile(repository, second, '/other/b')).equals(bytes)).toBe(true);
    expect((await readFile(repository, second, '/other/none')).length).toBe(0);
  });

  it('is read anew when the previous snapshot has no such file, or there is no previous snapshot', async () => {
    const repository = await (await emptyRepository(new MemoryStorage())).open();
    const heard: string[] = [];
    const first = await storeTree(repository, [kept('a', '/a', Buffer.from('fresh'), heard)]);
    const second = await storeTree(repository, [kept('a', '/gone/a', Buffer.from('newer'), heard)], { previous: first });
    expect(heard).toEqual([]);
    expect((await readFile(repository, first, '/a')).toString()).toBe('fresh');
    expect((await readFile(repository, second, '/a')).toString()).toBe('newer');
  });
});
