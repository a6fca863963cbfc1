import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { openDirectory } from './directory.ts';
import { backUp, sourceSuite, type TestStore } from './suite.ts';

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-directory-'));
afterAll(async () => await fs.rm(scratch, { recursive: true, force: true }));

let next = 0;

async function listing(folder: string): Promise<string> {
  const lines: string[] = [];
  for (const name of (await fs.readdir(folder, { recursive: true, encoding: 'latin1' })).toSorted()) {
    const file = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
    const stats = await fs.lstat(file, { bigint: true });
    const content = stats.isFile() ? (await fs.readFile(file)).toString('base64') : stats.isSymbolicLink() ? await fs.readlink(file, 'latin1') : '';
    lines.push(`${name} ${stats.mode.toString(8)} ${stats.uid}:${stats.gid} ${stats.isDirectory() ? '' : stats.mtimeNs} ${stats.nlink} ${content}`);
  }
  return lines.join('\n');
}

async function open(exclude: readonly string[] = []): Promise<TestStore & { readonly folder: string }> {
  const folder = path.join(scratch, String(next++), 'store');
  await fs.mkdir(path.join(folder, 'a', 'b'), { recursive: true });
  await fs.writeFile(path.join(folder, 'a', 'one.txt'), 'one');
  await fs.writeFile(path.join(folder, 'a', 'b', 'large.bin'), Buffer.alloc(2_000_000, 'holdfast '));
  await fs.writeFile(path.join(folder, 'empty'), '');
  await fs.writeFile(Buffer.from(`${folder}/gr\xfc\xdfe "quoted" \\ \n`, 'latin1'), 'bytes that are no UTF-8');
  await fs.chmod(path.join(folder, 'a', 'one.txt'), 0o4711);
  await fs.symlink('nowhere', path.join(folder, 'dangling'));
  await fs.link(path.join(folder, 'a', 'one.txt'), path.join(folder, 'linked'));
  await fs.utimes(path.join(folder, 'empty'), 1_600_000_000.123, 1_600_000_000.456);
  return {
    folder,
    source: openDirectory({ path: folder, exclude, clock: systemClock }),
    elsewhere: path.join(folder, '..', 'elsewhere'),
    change: async () => await fs.writeFile(path.join(folder, 'a', 'one.txt'), 'two'),
    destroy: async () => await fs.rm(folder, { recursive: true }),
    content: async (place = folder) => await listing(place),
    [Symbol.asyncDispose]: async () => await fs.rm(path.dirname(folder), { recursive: true, force: true }),
  };
}

sourceSuite('directory', open);

describe('a directory', () => {
  const request = { signal: new AbortController().signal, step: () => undefined, progress: () => undefined };

  it('reads only what has changed since the snapshot before', async () => {
    await using store = await open();
    const { repository } = await backUp(store.source);
    const packs = async (): Promise<number> =>
      (await repository.check({ readData: { kind: 'none' }, signal: request.signal, step: () => undefined, progress: () => undefined, random: () => 0 })).packs;
    const before = await packs();
    await backUp(store.source, repository);
    expect(await packs()).toBe(before);
  });

  it('leaves out what is excluded, and says so', async () => {
    await using store = await open(['b', '/empty', '*.txt']);
    const { repository, snapshot, manifest } = await backUp(store.source);
    expect(manifest.leftOut.map(({ subject }) => path.basename(subject)).toSorted()).toEqual(['b', 'empty', 'one.txt']);
    await using opened = await repository.files(snapshot);
    const names = (await opened.files.list(`${store.folder}/a`)).map(({ name }) => name);
    expect(names).toEqual([]);
  });

  it('gives one file back, where it was or elsewhere', async () => {
    await using store = await open();
    const { repository, snapshot, manifest } = await backUp(store.source);
    await store.change();
    await using opened = await repository.files(snapshot);
    await store.source.restore(opened.files, manifest, { ...request, part: 'a/one.txt', into: store.elsewhere });
    expect(await fs.readFile(store.elsewhere, 'utf8')).toBe('one');
    const report = await store.source.restore(opened.files, manifest, { ...request, part: path.join(store.folder, 'a/one.txt') });
    expect(await fs.readFile(path.join(store.folder, 'a/one.txt'), 'utf8')).toBe('one');
    expect(await fs.readFile(report.kept ?? '', 'utf8')).toBe('two');
    await expect(store.source.restore(opened.files, manifest, { ...request, part: '/etc/passwd' })).rejects.toMatchObject({ code: 'path-missing' });
  });

  it('that is not there is refused by name', async () => {
    const source = openDirectory({ path: '/nowhere/at/all', exclude: [], clock: systemClock });
    await expect(async () => await source.check()).rejects.toMatchObject({ code: 'source-missing' });
  });

  it('names a file that vanishes between being found and being read', async () => {
    await using store = await open();
    const { source } = store;
    const gone = path.join(store.folder, 'a', 'b', 'large.bin');
    const vanishing: typeof source = {
      kind: source.kind, check: () => source.check(), restore: (...all) => source.restore(...all), compare: (...all) => source.compare(...all),
      capture: async (context) => {
        const capture = await source.capture(context);
        const root = firstFolder(capture.root, gone);
        return { ...capture, root };
      },
    };
    const { problems, snapshot } = await backUp(vanishing);
    expect(problems).toEqual([{ subject: gone, kind: 'vanished', message: 'was gone before it could be read' }]);
    expect(snapshot.id).toMatch(/^[0-9a-f]{64}$/);
  });
});

type Root = Awaited<ReturnType<ReturnType<typeof openDirectory>['capture']>>['root'];

/** The same tree, but the file is removed as soon as its folder was listed. */
function firstFolder(root: Root, gone: string): Root {
  return {
    ...root,
    children: async () => {
      const children = await root.children();
      for (const child of children) {
        if (child.type === 'file' && child.content.from === 'path' && child.content.path === gone) await fs.rm(gone);
      }
      return children.map((child) => (child.type === 'dir' ? firstFolder(child, gone) : child));
    },
  };
}
