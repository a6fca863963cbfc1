import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { isHoldfastError } from '../base/errors.ts';
import { SEALED_PASSWORD, SealedTree } from './fixture/sealed-tree.ts';
import { openRepository, type Repository } from './repository.ts';

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-hostile-'));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

const isRoot = process.getuid?.() === 0;
const TIMES = { mtime: '2026-11-20T12:00:00Z', atime: '2026-11-20T12:00:00Z', ctime: '2026-11-20T12:00:00Z' };
const FACTS = { mode: 0o644, ...TIMES, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const FOLDER = { ...FACTS, type: 'dir', mode: 2 ** 31 + 0o755 };

let next = 0;

interface Attempt {
  readonly target: string;
  /** A folder beside the target that nothing may touch. */
  readonly outside: string;
  readonly error: unknown;
}

/** Restores the only snapshot of a repository into a folder beside one that must stay as it was. */
async function restore({ storage }: SealedTree, from = '/'): Promise<Attempt> {
  const place = path.join(scratch, String(next++));
  const [target, outside] = [path.join(place, 'target'), path.join(place, 'outside')];
  fs.mkdirSync(outside, { recursive: true });
  fs.writeFileSync(path.join(outside, 'precious'), 'precious');
  const repository = await openRepository(storage, SEALED_PASSWORD, systemClock);
  const error: unknown = await extract(repository, from, target).catch((caught: unknown) => caught);
  expect(fs.readdirSync(place).sort()).toEqual(error === undefined ? ['outside', 'target'] : ['outside']);
  expect(fs.readdirSync(outside)).toEqual(['precious']);
  expect(fs.readFileSync(path.join(outside, 'precious'), 'utf8')).toBe('precious');
  expect(fs.statSync(path.join(outside, 'precious')).mode & 0o777).toBe(0o644);
  return { target, outside, error };
}

async function extract(repository: Repository, from: string, target: string): Promise<undefined> {
  const [snapshot] = await repository.snapshots();
  if (!snapshot) throw new Error('no snapshot');
  await using opened = await repository.files(snapshot);
  await opened.files.extract(from, target, { signal: new AbortController().signal, progress: () => undefined });
}

/** A sentence, of the table, and no bug. */
function expectRefused({ error }: Attempt, says: RegExp): void {
  if (!isHoldfastError(error)) throw error ?? new Error('it was restored');
  expect(error.code).toBe('repository-damaged');
  expect(error.message).toMatch(says);
}

async function treeOf(make: (sealed: SealedTree, file: (name: string, content: string) => Promise<object>) => Promise<readonly object[]>): Promise<SealedTree> {
  const sealed = await SealedTree.open();
  const file = async (name: string, content: string): Promise<object> => ({ ...FACTS, name, type: 'file', size: content.length, content: [await sealed.data(Buffer.from(content))] });
  await sealed.snapshot(await sealed.tree(await make(sealed, file)));
  return sealed;
}

describe('a snapshot by one who means harm', () => {
  it.each(['../outside/evil', '..', '.', '', '/tmp/evil', 'a/../../outside/evil', 'a\0b', '\\x2e\\x2e', '\\x2e\\x2e\\x2foutside\\x2fevil', '\\u002e\\u002e', '\\057tmp'])('with the name %j writes nothing at all', async (name) => {
    const sealed = await treeOf(async (_, file) => [await file('aaa', 'harmless'), await file(name, 'evil')]);
    expectRefused(await restore(sealed), /impossible name/);
  });

  it('with a link and a folder of the same name does not write through the link', async () => {
    const sealed = await treeOf(async (own, file) => {
      const inside = await own.tree([await file('precious', 'evil')]);
      return [{ ...FACTS, name: 'way', type: 'symlink', linktarget: '../../outside' }, { ...FOLDER, name: 'way', subtree: inside }];
    });
    expectRefused(await restore(sealed), /same name/);
  });

  it.each([1, 3])('with a link and a file of %i chunks of the same name does not write through the link', async (chunks) => {
    const sealed = await treeOf(async (own) => {
      const content: string[] = [];
      for (let i = 0; i < chunks; i++) content.push(await own.data(Buffer.from(`evil ${i}`)));
      return [{ ...FACTS, name: 'way', type: 'symlink', linktarget: '../../outside/precious' }, { ...FACTS, name: '\\x77ay', type: 'file', size: 6 * chunks, content }];
    });
    expectRefused(await restore(sealed), /same name/);
  });

  it('with a link to elsewhere gives back the link, and changes nothing behind it', async () => {
    const sealed = await treeOf(() => Promise.resolve([{ ...FACTS, name: 'way', type: 'symlink', mode: 2 ** 27 + 0o777, linktarget: '../../outside/precious', extended_attributes: [] }]));
    const { target, error } = await restore(sealed);
    expect(error).toBeUndefined();
    expect(fs.readlinkSync(path.join(target, 'way'))).toBe('../../outside/precious');
  });

  it('with files that claim to be one and differ gives each its own content', async () => {
    const sealed = await treeOf(async (_, file) => [
      { ...(await file('a', 'one')), links: 2, inode: 7, device_id: 1 }, { ...(await file('b', 'two')), links: 2, inode: 7, device_id: 1 },
      // Inodes beyond 53 bits, which JSON cannot tell apart.
      { ...(await file('c', 'one')), links: 2, inode: 2 ** 62, device_id: 2 }, { ...(await file('d', 'six')), links: 2, inode: 2 ** 62, device_id: 2 },
    ]);
    const { target, error } = await restore(sealed);
    expect(error).toBeUndefined();
    expect(['a', 'b', 'c', 'd'].map((name) => fs.readFileSync(path.join(target, name), 'utf8'))).toEqual(['one', 'two', 'one', 'six']);
  });

  it.each([
    ['more than its blobs hold', 1_000_000], ['gigabytes', 2 ** 40], ['less than its blobs hold', 1],
  ])('with a file that claims to hold %s is refused', async (_, size) => {
    const sealed = await treeOf(async (__, file) => [{ ...(await file('a', 'content')), size }]);
    expectRefused(await restore(sealed), /its blobs have 7 bytes, but the snapshot says/);
  });

  it('with a folder that has no tree is refused, and does not come back as an empty folder', async () => {
    const sealed = await treeOf(() => Promise.resolve([{ ...FOLDER, name: 'lost' }]));
    expectRefused(await restore(sealed), /without a tree/);
  });

  it('with a tree that is a file, or is missing, is refused', async () => {
    const sealed = await treeOf(async (own) => [{ ...FOLDER, name: 'a', subtree: await own.data(Buffer.from('no tree')) }]);
    expectRefused(await restore(sealed), /in no index/);
    const other = await treeOf(async (own) => [{ ...FOLDER, name: 'a', subtree: (await own.blobs('tree', [Buffer.from('{"nodes":7}')]))[0] }]);
    expectRefused(await restore(other), /not understood: the nodes of a tree are no list/);
  });

  it('with folders a thousand deep ends with a sentence', async () => {
    const sealed = await SealedTree.open();
    const trees: Buffer[] = [Buffer.from('{"nodes":[]}\n')];
    const { sha256 } = await import('./core.ts');
    for (let depth = 0; depth < 1200; depth++) trees.push(Buffer.from(`${JSON.stringify({ nodes: [{ ...FOLDER, name: 'deep', subtree: sha256(trees.at(-1) ?? Buffer.alloc(0)) }] })}\n`));
    const ids = await sealed.blobs('tree', trees);
    await sealed.snapshot(ids.at(-1) ?? '');
    const { error } = await restore(sealed);
    if (!isHoldfastError(error)) throw error;
    expect(error).toMatchObject({ code: 'target-failed' });
    expect(error.message.length).toBeLessThan(6000);
  });

  it('with an index that claims gigabytes for a blob of seven bytes is refused before memory is asked for', async () => {
    const sealed = await SealedTree.open();
    const [id] = await sealed.blobs('data', [Buffer.from('content')], (blob) => ({ ...blob, uncompressedLength: 4_000_000_000 }));
    await sealed.snapshot(await sealed.tree([{ ...FACTS, name: 'a', type: 'file', size: 4_000_000_000, content: [id] }]));
    expectRefused(await restore(sealed), /larger than any/);
  });

  it('with an index that claims the most that is allowed for a blob of seven bytes is refused when it is opened', async () => {
    const sealed = await SealedTree.open();
    const [id] = await sealed.blobs('data', [Buffer.from('content')], (blob) => ({ ...blob, uncompressedLength: 128 << 20 }));
    await sealed.snapshot(await sealed.tree([{ ...FACTS, name: 'a', type: 'file', size: 128 << 20, content: [id] }]));
    expectRefused(await restore(sealed), /is damaged: zstd/);
  });

  it('with an index that calls one blob by the id of another is refused', async () => {
    const sealed = await SealedTree.open();
    const claimed = 'ab'.repeat(32);
    await sealed.blobs('data', [Buffer.from('content')], (blob) => ({ ...blob, id: claimed }));
    await sealed.snapshot(await sealed.tree([{ ...FACTS, name: 'a', type: 'file', size: 7, content: [claimed] }]));
    expectRefused(await restore(sealed), /its hash differs/);
  });

  it.runIf(isRoot)('with device nodes and setuid bits gives back what it holds, inside the target, as it is root who asks', async () => {
    const sealed = await treeOf(async (_, file) => [
      { ...FACTS, name: 'null', type: 'chardev', mode: 2 ** 26 + 2 ** 21 + 0o666, device: 259 },
      { ...(await file('program', 'x')), mode: 2 ** 23 + 0o755 },
      { ...FACTS, name: 'queue', type: 'fifo', mode: 2 ** 25 + 0o600 },
    ]);
    const { target, error } = await restore(sealed);
    expect(error).toBeUndefined();
    expect(fs.statSync(path.join(target, 'program')).mode & 0o7777).toBe(0o4755);
    expect(fs.statSync(path.join(target, 'null')).isCharacterDevice()).toBe(true);
  });

  it.each([
    [{ mtime: 'soon' }], [{ mode: -1 }], [{ uid: 'root' }], [{ uid: 2 ** 32 }], [{ content: 'abc' }], [{ content: ['abc'] }], [{ content: [null] }], [{ type: 'door' }], [{ size: -1 }], [{ extended_attributes: {} }],
    [{ extended_attributes: [{ name: 1 }] }], [{ linktarget_raw: 1 }], [{ subtree: '../..' }], [{ device: 1.5 }], [{ name: 7 }], [{ inode: '7' }],
  ])('with a node of %j is refused as a whole', async (change) => {
    const sealed = await treeOf(async (_, file) => [{ ...(await file('a', 'content')), ...change }]);
    expectRefused(await restore(sealed), /not understood/);
  });
});

describe('looking at such a snapshot', () => {
  it('ls and cat name what is wrong, and check finds it', async () => {
    const sealed = await treeOf(async (_, file) => [await file('..', 'evil')]);
    const repository = await openRepository(sealed.storage, SEALED_PASSWORD, systemClock);
    const [snapshot] = await repository.snapshots();
    if (!snapshot) return expect.unreachable();
    await using opened = await repository.files(snapshot);
    await expect(opened.files.details('/')).rejects.toMatchObject({ code: 'repository-damaged' });
    await expect(opened.files.bytes('/../x')).rejects.toMatchObject({ code: 'repository-damaged' });
    const report = await repository.check({ readData: { kind: 'none' }, signal: new AbortController().signal, step: () => undefined, progress: () => undefined, random: () => 0.5 });
    expect(report.errors.map(({ message }) => message).join()).toContain('impossible name');
  });

  it.each(['abc', 'g'.repeat(64), 'AB'.repeat(32), '', 'ab'.repeat(31)])('no blob answers to %j', async (id) => {
    const sealed = await treeOf(async (_, file) => [await file('a', 'content')]);
    const repository = await openRepository(sealed.storage, SEALED_PASSWORD, systemClock);
    await expect(repository.cat('blob', id)).rejects.toMatchObject({ code: 'usage' });
    await expect(repository.cat('tree', id)).rejects.toMatchObject({ code: 'usage' });
  });
});
