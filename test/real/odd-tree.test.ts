import { mkdirSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { directoryStack, type TestStack } from '../fixture/holdfast.ts';
import { attributesBelow, exactListing, fillOddTree } from '../fixture/odd-tree.ts';
import { run } from '../fixture/run.ts';

async function oddStack(): Promise<TestStack> {
  const stack = await directoryStack();
  await fillOddTree(stack.path('files'));
  return stack;
}

async function expectEqualTrees(original: string, copy: string, skip?: (path: string) => boolean): Promise<void> {
  expect(exactListing(copy, skip)).toEqual(exactListing(original, skip));
  expect(await attributesBelow(copy)).toEqual(await attributesBelow(original));
}

function allocated(path: string): number {
  return statSync(path).blocks * 512;
}

describe('a folder with what is rare and legal', () => {
  it('has all that the comparison should see', async () => {
    await using stack = await oddStack();
    const seen = [...exactListing(stack.path('files')), ...(await attributesBelow(stack.path('files')))].join('\n');
    for (const sign of ['"/name/new\\nline"', '"/name/folder-éÿ" 40755', 'nowhere-þÿ', 'same as "/name/folder-éÿ', '"/node/socket" 140755', 'device ', '4000000000:3999999999', ' -1876543211 ', ' 1000000000000000001 ']) {
      expect(seen).toContain(sign);
    }
    for (const name of ['security.capability', 'system.posix_acl_access', 'system.posix_acl_default', 'trusted.holdfast', 'user.empty', 'user.long']) expect(seen).toContain(name);
  });

  it('comes back from Holdfast exactly, in place and elsewhere, with its holes', async () => {
    await using stack = await oddStack();
    const original = exactListing(stack.path('files'));
    const { stdout } = await stack.holdfast('backup', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ state: 'ok', stores: [{ state: 'ok', problems: [] }] });
    await stack.holdfast('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    await expectEqualTrees(stack.path('files'), stack.path('out'));
    expect(allocated(stack.path('out/sparse'))).toBeLessThan(10_000_000);
    expect(allocated(stack.path('out/size/zeros'))).toBeLessThan(1_000_000);
    await run('mv', [stack.path('files'), stack.path('moved')]);
    await stack.holdfast('restore', '--yes');
    await expectEqualTrees(stack.path('moved'), stack.path('files'));
    expect(exactListing(stack.path('files'))).toEqual(original);
  });

  it('comes back from restic exactly, but for what this old one cannot: sockets, and link targets that are not UTF-8', async () => {
    await using stack = await oddStack();
    await stack.holdfast('backup');
    await stack.restic('check', '--read-data');
    await stack.restic('restore', 'latest', '--target', stack.path('out'));
    const restored = stack.path('out', stack.path('files'));
    const skip = (path: string): boolean => ['/node/socket', '/name/link-to-raw'].includes(path);
    await expectEqualTrees(stack.path('files'), restored, skip);
  });

  it('that did not change is backed up again without a byte of data', async () => {
    await using stack = await oddStack();
    await stack.holdfast('backup');
    const again: unknown = JSON.parse((await stack.holdfast('backup', '--json')).stdout);
    // The manifest, which tells of its own run, and the one tree that names it.
    expect(again).toMatchObject({ state: 'ok', stores: [{ bytesAdded: expect.toSatisfy((bytes: number) => bytes < 10_000) }] });
    const listed: unknown = JSON.parse((await stack.restic('snapshots', '--json')).stdout);
    expect(listed).toHaveLength(2);
  });

  it('can be restored in part: one name of any bytes, one folder', async () => {
    await using stack = await oddStack();
    await stack.holdfast('backup');
    mkdirSync(stack.path('parts'));
    await stack.holdfast('restore', 'files', '--path', 'name/new\nline', '--into', 'parts/line');
    await stack.holdfast('restore', 'files', '--path', 'meta', '--into', 'parts/meta');
    expect(exactListing(stack.path('parts/line'))).toEqual(exactListing(stack.path('files/name/new\nline')));
    await expectEqualTrees(stack.path('files/meta'), stack.path('parts/meta'));
  });
});
