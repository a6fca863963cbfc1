import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { directoryStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run } from '../fixture/run.ts';
import { smallTmpfs } from '../fixture/small-tmpfs.ts';

describe('a store that is a mount point', () => {
  it('is backed up; a restore in place says that it cannot be replaced, leaves it as it is, and where the restored one stands', async () => {
    await using disk = await smallTmpfs(20_000_000);
    await using stack = await directoryStack();
    await writeFile(join(disk.folder, 'one'), '1');
    const config = await readFile(stack.path('holdfast.yaml'), 'utf8');
    await writeFile(stack.path('holdfast.yaml'), config.replace(/directory: .*/, `directory: ${disk.folder}`));
    await stack.holdfast('backup');
    const backedUp = exactListing(disk.folder);
    await writeFile(join(disk.folder, 'two'), '2');
    const present = exactListing(disk.folder);
    const result = await stack.attempt(['restore', '--yes', '--json']);
    expectClearError(result, { exit: 1, code: 'target-failed', says: /cannot be replaced: it is a mount point/ });
    expect(exactListing(disk.folder)).toEqual(present);
    const [, beside = ''] = /stands whole and compared at (\S+);/.exec(result.stderr) ?? [];
    expect(exactListing(beside)).toEqual(backedUp);
    await rm(beside, { recursive: true });
  });

  it('below which another file system hangs is backed up with it', async () => {
    await using disk = await smallTmpfs(20_000_000);
    await using stack = await directoryStack();
    await writeFile(join(disk.folder, 'mounted'), 'on another file system');
    await mkdir(stack.path('files/mount'));
    await run('mount', ['--bind', disk.folder, stack.path('files/mount')]);
    try {
      await stack.holdfast('backup');
    } finally {
      await run('umount', [stack.path('files/mount')]);
    }
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(await readdir(stack.path('out/mount'))).toEqual(['mounted']);
  });
});
