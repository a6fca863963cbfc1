import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { directoryStack, HOLDFAST, type TestStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run, runAnyway } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

/** The summary that `restic backup --json` ends with. */
function addedByRestic(stdout: string): number {
  const summary: unknown = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  expect(summary).toMatchObject({ message_type: 'summary', data_added: expect.any(Number) });
  return (summary as { data_added: number }).data_added;
}

function addedByHoldfast(stdout: string): { readonly added: number; readonly read: number } {
  const report = JSON.parse(stdout) as { stores: { bytesAdded: number; bytesRead: number }[] };
  const [store] = report.stores;
  return { added: store?.bytesAdded ?? Number.NaN, read: store?.bytesRead ?? Number.NaN };
}

async function replaceByResticRepository(stack: TestStack): Promise<void> {
  await rm(stack.path('repository'), { recursive: true });
  await stack.restic('init', '--repository-version', '2');
}

describe('a real tree of thousands of files', () => {
  it('costs under 1 % when the other program backs it up too, whichever came first', async () => {
    await using stack = await directoryStack();
    await rm(stack.path('files'), { recursive: true });
    await run('cp', ['-a', '/usr/share/doc', stack.path('files')]);
    const first = addedByHoldfast((await stack.holdfast('backup', '--json')).stdout);
    expect(first.read).toBeGreaterThan(5_000_000);
    expect(first.added).toBeGreaterThan(first.read / 2);
    expect(addedByRestic((await stack.restic('backup', '--json', stack.path('files'))).stdout) / first.read).toBeLessThan(0.01);
    await stack.holdfast('check', '--read-data');

    await replaceByResticRepository(stack);
    expect(addedByRestic((await stack.restic('backup', '--json', stack.path('files'))).stdout)).toBeGreaterThan(first.read / 2);
    const second = addedByHoldfast((await stack.holdfast('backup', '--json')).stdout);
    expect(second.read).toBe(first.read);
    expect(second.added / second.read).toBeLessThan(0.01);
    await stack.restic('check', '--read-data');
  });
});

describe('a repository that restic made', () => {
  it('is listed, looked into, checked and restored without any holdfast.yaml', async () => {
    await using stack = await directoryStack();
    await replaceByResticRepository(stack);
    await rm(stack.path('holdfast.yaml'));
    await stack.restic('backup', '--tag', 'first', stack.path('files'));
    await cp(stack.path('files'), stack.path('old'), { recursive: true, preserveTimestamps: true });
    await writeFile(stack.path('files/three.bin'), randomBytes(3_000_000));
    await stack.restic('backup', stack.path('files'));
    await using elsewhere = await scratch('elsewhere');
    const holdfast = (...args: readonly string[]): ReturnType<typeof run> =>
      run(HOLDFAST, [...args, '--repository', stack.path('repository'), '--password-file', stack.path('password')], { cwd: elsewhere.folder });
    const snapshots = JSON.parse((await holdfast('snapshots', '--json')).stdout) as { id: string; paths: string[]; tags?: string[] }[];
    expect(snapshots).toMatchObject([{ tags: ['first'], paths: [stack.path('files')] }, { paths: [stack.path('files')] }]);
    expect((await holdfast('snapshots')).stdout).toContain(stack.path('files'));
    expect((await holdfast('ls', 'latest', stack.path('files'))).stdout.split('\n')).toEqual(expect.arrayContaining([`${stack.path('files')}/three.bin`, `${stack.path('files')}/deep/`]));
    expect((await holdfast('cat', 'file', snapshots[0]?.id ?? '', stack.path('files/one.txt'))).stdout).toBe('one\n');
    expect((await holdfast('check', '--read-data')).stdout).toContain('is sound');
    await holdfast('restore', '--snapshot', 'latest', '--path', stack.path('files'), '--into', 'new');
    expect(exactListing(elsewhere.path('new'))).toEqual(exactListing(stack.path('files')));
    await holdfast('restore', '--snapshot', snapshots[0]?.id.slice(0, 8) ?? '', '--path', stack.path('files/deep'), '--into', 'deep');
    expect((await readdir(elsewhere.path('deep'))).toSorted()).toEqual(['two.txt']);
  });
});

async function locks(stack: TestStack): Promise<readonly string[]> {
  return (await readdir(stack.path('repository/locks'))).filter((name) => /^[0-9a-f]{64}$/.test(name));
}

/** Starts a program and stops it (SIGSTOP) as soon as the repository holds a lock. */
async function stoppedWithLock(stack: TestStack, program: string, args: readonly string[]): Promise<AsyncDisposable> {
  const child = spawn(program, args, { cwd: stack.folder, stdio: 'ignore' });
  const ended = once(child, 'exit');
  while ((await locks(stack)).length === 0) {
    if (child.exitCode !== null) throw new Error(`${program} was done before it could be stopped`);
    await wait(2);
  }
  // Holdfast looks again 200 ms after it wrote its lock; then it holds it.
  await wait(program === HOLDFAST ? 300 : 0);
  child.kill('SIGSTOP');
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGCONT');
      await ended;
    },
  };
}

const RESTIC = (stack: TestStack): readonly string[] => ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache'];

describe('locks', () => {
  it('of restic that are exclusive keep Holdfast out, with 11 and the name of the holder; reading what is there stays possible', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('files/data'), randomBytes(30_000_000));
    await stack.holdfast('backup');
    {
      await using _prune = await stoppedWithLock(stack, 'restic', [...RESTIC(stack), 'prune', '--max-unused', '0']);
      const says = /is exclusively locked by \S+ on \S+ \(process \d+\) since/;
      expectClearError(await stack.attempt(['backup']), { exit: 11, says });
      expectClearError(await stack.attempt(['backup', '--json']), { exit: 11, code: 'repository-locked', says });
      expectClearError(await stack.attempt(['check']), { exit: 11, says });
      expect((await stack.attempt(['snapshots'])).code).toBe(0);
    }
    await stack.holdfast('backup');
    expect(await locks(stack)).toEqual([]);
  });

  it('of a running backup of ours keep `restic prune` out, and let another backup in', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('files/data'), randomBytes(60_000_000));
    {
      await using _backup = await stoppedWithLock(stack, HOLDFAST, ['backup']);
      const refused = await runAnyway('restic', [...RESTIC(stack), 'prune']);
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toMatch(/already locked/);
      await mkdir(stack.path('other'));
      await writeFile(stack.path('other/file'), 'x');
      await stack.restic('backup', stack.path('other'));
      expectClearError(await stack.attempt(['key', 'remove', '0000']), { exit: 11, says: /is locked by/ });
    }
    await stack.restic('prune');
    await stack.restic('check', '--read-data');
    expect(JSON.parse((await stack.restic('snapshots', '--json')).stdout)).toHaveLength(2);
  });

  it('of a process that is gone hinder nobody, and are cleared away', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    const child = spawn(HOLDFAST, ['check', '--read-data'], { cwd: stack.folder, stdio: 'ignore' });
    const ended = once(child, 'exit');
    while ((await locks(stack)).length === 0) await wait(1);
    child.kill('SIGKILL');
    await ended;
    expect(await locks(stack)).not.toEqual([]);
    await stack.holdfast('key', 'passwd', '--new-password-file', 'password');
    expect(await locks(stack)).toEqual([]);
    await stack.restic('check');
  });
});

describe('passwords', () => {
  const keys = async (stack: TestStack, password: string): Promise<{ id: string; current: boolean }[]> =>
    JSON.parse((await stack.holdfast('key', 'list', '--json', '--password-file', password)).stdout);
  const resticWith = (stack: TestStack, password: string): ReturnType<typeof run> =>
    runAnyway('restic', ['--repo', stack.path('repository'), '--password-file', stack.path(password), '--no-cache', 'snapshots', '--json']);

  it('that were added open the repository for both programs, and no more once they are removed', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await writeFile(stack.path('second'), 'zweites Passwort 🪂\n', { mode: 0o600 });
    const { added } = JSON.parse((await stack.holdfast('key', 'add', '--new-password-file', 'second', '--json')).stdout) as { added: string };
    expect(JSON.parse((await resticWith(stack, 'second')).stdout)).toHaveLength(1);
    expect(await keys(stack, 'second')).toHaveLength(2);
    expect((await keys(stack, 'second')).find(({ current }) => current)?.id).toBe(added);
    const own = await stack.attempt(['key', 'remove', added, '--password-file', 'second']);
    expectClearError(own, { exit: 2, says: /the one that opened the repository; it is not removed/ });
    await stack.holdfast('key', 'remove', added.slice(0, 12));
    expect((await resticWith(stack, 'second')).code).not.toBe(0);
    expectClearError(await stack.attempt(['snapshots', '--password-file', 'second']), { exit: 12, says: /password/ });
    expect(JSON.parse((await resticWith(stack, 'password')).stdout)).toHaveLength(1);
  });

  it('that were replaced are refused with 12, and restic opens with the new one', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await writeFile(stack.path('new'), 'another one', { mode: 0o600 });
    await stack.holdfast('key', 'passwd', '--new-password-file', 'new');
    expectClearError(await stack.attempt(['backup']), { exit: 12, says: /password/ });
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 12, code: 'wrong-password', says: /password/ });
    expect((await resticWith(stack, 'password')).stderr).toMatch(/wrong password/);
    expect(JSON.parse((await resticWith(stack, 'new')).stdout)).toHaveLength(1);
    expect(await keys(stack, 'new')).toHaveLength(1);
  });

  it('that restic added and that Holdfast reads open it too', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('theirs'), 'made by restic', { mode: 0o600 });
    await stack.restic('key', 'add', '--new-password-file', stack.path('theirs'));
    await stack.holdfast('backup', '--password-file', 'theirs');
    expect(await keys(stack, 'theirs')).toHaveLength(2);
  });
});
