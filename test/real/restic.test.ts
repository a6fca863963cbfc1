import { mkdir, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { expectSameContent, fillHardTree, listing } from '../fixture/hard-tree.ts';
import { directoryStack, type TestStack } from '../fixture/holdfast.ts';
import { run } from '../fixture/run.ts';

async function filledStack(): Promise<TestStack> {
  const stack = await directoryStack();
  await fillHardTree(stack.path('files'));
  return stack;
}

/** Bytes in the repository. */
async function stored(stack: TestStack): Promise<number> {
  return Number((await run('du', ['-sb', stack.path('repository')])).stdout.split('\t')[0]);
}

async function makeResticRepository(stack: TestStack): Promise<void> {
  await run('rm', ['-rf', stack.path('repository')]);
  await stack.restic('init', '--repository-version', '2');
}

describe('what Holdfast backed up', () => {
  it('is sound for restic, and restic gives back the same tree', async () => {
    await using stack = await filledStack();
    await stack.holdfast('backup');
    await stack.restic('check', '--read-data');
    await stack.restic('restore', 'latest', '--target', stack.path('out'));
    const restored = stack.path('out', stack.path('files'));
    // The comparison sees what it should see.
    for (const sign of ['setuid|f|6755', 'owned|f|640|12345:54321', 'user.holdfast=0xfffefd00', 'posix_acl_access']) {
      expect(await listing(restored)).toContain(sign);
    }
    await expectSameContent(stack.path('files'), restored);
    expect(await listing(restored)).toBe(await listing(stack.path('files')));
  });

  it('comes back the same from Holdfast, in place and elsewhere', async () => {
    await using stack = await filledStack();
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    await expectSameContent(stack.path('files'), stack.path('out'));
    expect((await stat(stack.path('out/sparse'))).blocks * 512).toBeLessThan(4_000_000);
    expect(await listing(stack.path('out'))).toBe(await listing(stack.path('files')));
    const before = await listing(stack.path('files'));
    await run('rm', ['-rf', stack.path('files')]);
    await stack.holdfast('restore', 'files', '--yes');
    expect(await listing(stack.path('files'))).toBe(before);
  });

  it('is known to restic: backing up the same tree adds under 1 %', async () => {
    await using stack = await filledStack();
    await stack.holdfast('backup');
    const before = await stored(stack);
    await stack.restic('backup', stack.path('files'));
    expect((await stored(stack)) / before - 1).toBeLessThan(0.01);
    await stack.holdfast('check', '--read-data');
  });
});

describe('what restic backed up', () => {
  it('is checked and restored by Holdfast', async () => {
    await using stack = await filledStack();
    await makeResticRepository(stack);
    await stack.restic('backup', stack.path('files'));
    await stack.holdfast('check', '--read-data');
    await stack.holdfast('restore', '--snapshot', 'latest', '--into', 'out');
    const restored = stack.path('out', stack.path('files'));
    await expectSameContent(stack.path('files'), restored);
    expect(await listing(restored)).toBe(await listing(stack.path('files')));
  });

  it('is known to Holdfast: backing up the same tree adds under 1 %', async () => {
    await using stack = await filledStack();
    await makeResticRepository(stack);
    await stack.restic('backup', stack.path('files'));
    const before = await stored(stack);
    await stack.holdfast('backup');
    expect((await stored(stack)) / before - 1).toBeLessThan(0.01);
    await stack.restic('check', '--read-data');
  });
});

describe('a real tree', () => {
  it('of tens of thousands of files comes back from both programs', async () => {
    await using stack = await directoryStack();
    await run('rm', ['-rf', stack.path('files')]);
    await run('cp', ['-a', '/usr/share', stack.path('files')]);
    await stack.holdfast('backup');
    await stack.restic('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'one');
    await mkdir(stack.path('two'));
    await stack.restic('restore', 'latest', '--target', stack.path('two'));
    for (const restored of [stack.path('one'), stack.path('two', stack.path('files'))]) {
      await expectSameContent(stack.path('files'), restored);
      expect(await listing(restored)).toBe(await listing(stack.path('files')));
    }
  });
});
