import { hash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { directoryStack, type TestStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run } from '../fixture/run.ts';
import { smallTmpfs } from '../fixture/small-tmpfs.ts';

const MB = 1_000_000;

async function snapshots(stack: TestStack): Promise<number> {
  const list: unknown = JSON.parse((await stack.holdfast('snapshots', '--json')).stdout);
  return Array.isArray(list) ? list.length : -1;
}

/** Files below a repository whose name says one thing and whose content another, and temporary ones. */
async function halfWritten(repository: string): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (const entry of await readdir(repository, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === 'config') continue;
    const path = join(entry.parentPath, entry.name);
    if (!/^[0-9a-f]{64}$/.test(entry.name) || hash('sha256', await readFile(path)) !== basename(path)) wrong.push(path);
  }
  return wrong;
}

describe('a full disk of the repository', () => {
  it('ends the backup with a clear error; when there is room again, the next one goes on from what was stored', async () => {
    await using disk = await smallTmpfs(40 * MB);
    const repository = join(disk.folder, 'repository');
    await using stack = await directoryStack(repository);
    await stack.holdfast('backup');
    for (let part = 0; part < 6; part++) await writeFile(stack.path(`files/large-${part}`), randomBytes(10 * MB));
    const says = /cannot write pack \w+ in .*: no space left on the device/;
    expectClearError(await stack.attempt(['backup']), { exit: 1, says });
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-full', says });
    expect(await halfWritten(repository)).toEqual([]);
    await run('mount', ['-o', `remount,size=${100 * MB}`, disk.folder]);
    expect(await snapshots(stack)).toBe(1);
    await stack.holdfast('check', '--read-data');
    const report: unknown = JSON.parse((await stack.holdfast('backup', '--json')).stdout);
    // Two packs and more had found room before.
    expect(report).toMatchObject({ state: 'ok', stores: [{ bytesStored: expect.toSatisfy((bytes: number) => bytes < 45 * MB) }] });
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
  });

  it('without a single file to spare does the same', async () => {
    await using disk = await smallTmpfs(40 * MB, 275);
    const repository = join(disk.folder, 'repository');
    await using stack = await directoryStack(repository);
    for (let n = 0; existsSync(disk.folder) && n < 400; n++) {
      try {
        await writeFile(join(disk.folder, `filler-${n}`), '');
      } catch {
        break;
      }
    }
    await rm(join(disk.folder, 'filler-0'));
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-full', says: /no space left/ });
    expect(await halfWritten(repository)).toEqual([]);
  });

  it('does not keep anybody from restoring', async () => {
    await using disk = await smallTmpfs(12 * MB);
    await using stack = await directoryStack(join(disk.folder, 'repository'));
    await stack.holdfast('backup');
    await run('sh', ['-c', `cat /dev/zero >${disk.folder}/filler 2>/dev/null`], { accept: [0, 1] });
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
    await stack.holdfast('check', '--read-data');
  });
});

describe('a repository that can only be read', () => {
  it('is listed, checked and restored, and a backup says why it cannot write', async () => {
    await using disk = await smallTmpfs(12 * MB);
    await using stack = await directoryStack(join(disk.folder, 'repository'));
    await stack.holdfast('backup');
    await run('mount', ['-o', 'remount,ro', disk.folder]);
    expect(await snapshots(stack)).toBe(1);
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-failed', says: /read-only/i });
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
    await stack.holdfast('check', '--read-data');
  });
});

describe('a full disk where a restore writes', () => {
  it('ends the restore elsewhere with a clear error, and leaves nothing that looks like a restored folder', async () => {
    await using disk = await smallTmpfs(8 * MB);
    await using stack = await directoryStack();
    for (let part = 0; part < 4; part++) await writeFile(stack.path(`files/large-${part}`), randomBytes(5 * MB));
    await stack.holdfast('backup');
    const target = join(disk.folder, 'out');
    expectClearError(await stack.attempt(['restore', 'files', '--into', target]), { exit: 1, says: /no space left where the restored files are written/ });
    expect(await readdir(disk.folder)).toEqual([]);
    expectClearError(await stack.attempt(['restore', 'files', '--into', target, '--json']), { exit: 1, code: 'target-full', says: /no space left/ });
    await run('mount', ['-o', `remount,size=${40 * MB}`, disk.folder]);
    await stack.holdfast('restore', 'files', '--into', target);
    expect(exactListing(target)).toEqual(exactListing(stack.path('files')));
  });

  it('ends the restore in place with a clear error, and leaves what stands there as it was', async () => {
    await using disk = await smallTmpfs(30 * MB);
    await using stack = await directoryStack();
    await mkdir(join(disk.folder, 'files'));
    await rm(stack.path('files'), { recursive: true });
    // The store's folder lies on the small disk, its parent too.
    await symlink(join(disk.folder, 'files'), stack.path('files'));
    await writeFile(stack.path('holdfast.yaml'), (await readFile(stack.path('holdfast.yaml'), 'utf8')).replace(/directory: .*/, `directory: ${join(disk.folder, 'files')}`));
    for (let part = 0; part < 4; part++) await writeFile(join(disk.folder, `files/large-${part}`), randomBytes(5 * MB));
    await stack.holdfast('backup');
    const before = exactListing(join(disk.folder, 'files'));
    expectClearError(await stack.attempt(['restore', '--yes', '--json']), { exit: 1, code: 'target-full', says: /no space left/ });
    expect(exactListing(join(disk.folder, 'files'))).toEqual(before);
    // The half-built one would keep the disk full.
    expect(await readdir(disk.folder)).toEqual(['files']);
  });
});
