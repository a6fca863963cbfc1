import { randomBytes } from 'node:crypto';
import { cp, readdir, rename, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { directoryStack, HOLDFAST, type TestStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run, runAnyway } from '../fixture/run.ts';

/** Runs Holdfast and kills it at the n-th call of a system call; strace counts for each thread, hence one thread for files. False when it was done before. */
async function killedAt(stack: TestStack, call: string, n: number, ...args: readonly string[]): Promise<boolean> {
  const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${n}`];
  const result = await runAnyway('strace', [...inject, HOLDFAST, ...args], { cwd: stack.folder, env: { UV_THREADPOOL_SIZE: '1' } });
  if (result.signal !== 'SIGKILL') expect(`${result.code} ${result.stderr}`).toMatch(/^0 /);
  return result.signal === 'SIGKILL';
}

/** Data blobs that stand in more than one place; restic lists each place. */
async function blobsStoredTwice(stack: TestStack): Promise<readonly string[]> {
  const blobs = (await stack.restic('list', 'blobs')).stdout.split('\n').filter((line) => line.startsWith('data '));
  expect(blobs.length).toBeGreaterThan(0);
  return blobs.filter((blob, i) => blobs.indexOf(blob) !== i);
}

async function temporaries(stack: TestStack): Promise<readonly string[]> {
  return (await readdir(stack.path('repository'), { recursive: true })).filter((name) => name.includes('-tmp-'));
}

describe('a backup that is killed', () => {
  it.each(['rename', 'fsync', 'unlink'])('at any %s leaves a sound repository, and its packs are used by the next', async (call) => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    let killed = 0;
    // Killed later and later, with new data each time, until a run comes to its end.
    for (let n = 1; n < 60; n += killed < 8 ? 1 : 5) {
      await writeFile(stack.path(`files/new-${n}`), randomBytes(1_500_000));
      if (!(await killedAt(stack, call, n, 'backup'))) break;
      killed++;
      await stack.holdfast('check');
      const snapshots: unknown = JSON.parse((await stack.holdfast('snapshots', '--json')).stdout);
      expect(snapshots).toSatisfy((list: readonly unknown[]) => list.length >= 1);
    }
    expect(killed).toBeGreaterThan(call === 'unlink' ? 0 : 3);
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
    expect(await blobsStoredTwice(stack)).toEqual([]);
    expect((await readdir(stack.path('repository/locks'))).filter((name) => !name.includes('-tmp-'))).toEqual([]);
    // What was cut in the middle never has a name that a reader looks at.
    expect((await temporaries(stack)).every((name) => /[0-9a-f]{64}-tmp-[0-9a-f]+$/.test(name))).toBe(true);
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
  });
});

describe('a restore in place that is killed', () => {
  it('at any rename leaves the old and the new whole, and can be run again', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await cp(stack.path('files'), stack.path('saved'), { recursive: true, preserveTimestamps: true });
    const wanted = exactListing(stack.path('files'));
    await writeFile(stack.path('files/later'), 'written after the backup');
    const later = exactListing(stack.path('files'));
    let killed = 0;
    for (let n = 1; n < 20; n++) {
      if (!(await killedAt(stack, 'rename', n, 'restore', '--yes'))) break;
      killed++;
      const there = await readdir(stack.folder);
      const listings = there.filter((name) => name === 'files' || name.startsWith('files.before-')).map((name) => exactListing(stack.path(name)));
      // The old one is always there, under its own name or as what is kept.
      expect(listings).toContainEqual(later);
      const kept = there.find((name) => name.startsWith('files.before-'));
      if (kept !== undefined) {
        // Died between the two renames: the new one lies beside, whole.
        const beside = there.filter((name) => name.startsWith('files.holdfast-new-')).toSorted().at(-1) ?? '';
        expect(exactListing(stack.path(beside))).toEqual(wanted);
        await rename(stack.path(kept), stack.path('files'));
      }
    }
    expect(killed).toBeGreaterThanOrEqual(4);
    expect(exactListing(stack.path('files'))).toEqual(wanted);
    await run('diff', ['-r', stack.path('saved'), stack.path('files')]);
  });
});
