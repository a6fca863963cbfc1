/** A repository in a folder: what disks, mounts and owners do to it, on real file systems. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { directoryStack, HOLDFAST, type TestStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run, runAnyway, type RunOptions, type RunResult } from '../fixture/run.ts';
import { smallTmpfs, type SmallTmpfs } from '../fixture/small-tmpfs.ts';

const MB = 1_000_000;
const NOBODY = 65534;

/** A stack whose repository lies on a disk of its own, with one backup in it. */
async function onDisk(): Promise<AsyncDisposable & { readonly disk: SmallTmpfs; readonly stack: TestStack; readonly repository: string }> {
  await using lifetime = new AsyncDisposableStack();
  const disk = lifetime.use(await smallTmpfs(60 * MB));
  const repository = join(disk.folder, 'repository');
  const stack = lifetime.use(await directoryStack(repository));
  await stack.holdfast('backup');
  const kept = lifetime.move();
  return { disk, stack, repository, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** `holdfast` as somebody who is not root and has no rights beyond the files' own. */
async function asNobody(stack: TestStack, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  await chmod(stack.folder, 0o755);
  return await runAnyway('setpriv', [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--inh-caps=-all', '--bounding-set=-all', HOLDFAST, ...args], {
    cwd: stack.folder, env: { HOME: '/nonexistent', HOLDFAST_PASSWORD: 'correct horse battery staple' }, ...options,
  });
}

describe('a repository on a disk', () => {
  it('that is mounted read-only is listed, checked, verified and restored; a backup says why it cannot write', async () => {
    await using on = await onDisk();
    const { stack, disk } = on;
    await run('mount', ['-o', 'remount,ro', disk.folder]);
    await stack.holdfast('snapshots');
    await stack.holdfast('check', '--read-data');
    await stack.holdfast('verify');
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-failed', says: /cannot write .*: the file system is read-only/ });
  });

  it('that is not mounted says so, and nothing is written into the empty mount point', async () => {
    await using on = await onDisk();
    const { stack, disk } = on;
    await run('mount', ['-t', 'tmpfs', 'tmpfs', disk.folder]);
    try {
      for (const empty of [false, true]) {
        if (empty) await mkdir(on.repository);
        const says = empty ? /The folder is empty: is the disk mounted/ : /There is no such folder\. Is the disk mounted/;
        for (const verb of ['backup', 'snapshots', 'check']) expectClearError(await stack.attempt([verb]), { exit: 10, says });
      }
      expect(await readdir(on.repository)).toEqual([]);
    } finally {
      await run('umount', [disk.folder]);
    }
    await stack.holdfast('check');
  });

  it('that vanishes in the middle of a backup is told as such; nothing is written in its place, and the next backup goes on', async () => {
    await using on = await onDisk();
    const { stack, repository } = on;
    for (let part = 0; part < 4; part++) await writeFile(stack.path(`files/large-${part}`), randomBytes(9 * MB));
    // What lies under a mount point when the disk is gone: an empty folder.
    const hidden = stack.path('hidden');
    await mkdir(hidden);
    const running = stack.attempt(['backup']);
    const before = await packsOf(repository);
    for (let tries = 0; (await packsOf(repository)) === before && tries < 2000; tries++) await wait(2);
    await run('mount', ['--bind', hidden, repository]);
    const result = await running;
    try {
      expectClearError(result, { exit: 1, says: /has vanished from .* while it was in use/ });
      expect(result.stderr).toMatch(/unplugged or unmounted/);
      expect(await readdir(hidden)).toEqual([]);
    } finally {
      await run('umount', [repository]);
    }
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
  });

  it('may be reached through a symbolic link', async () => {
    await using on = await onDisk();
    const { stack, repository } = on;
    await symlink(repository, stack.path('link'));
    const args = ['--repository', stack.path('link'), '--password-file', 'password'];
    await stack.holdfast('backup', ...args);
    await stack.holdfast('check', '--read-data', ...args);
    await stack.holdfast('storage', 'validate', ...args);
  });
});

async function packsOf(repository: string): Promise<number> {
  const names = await readdir(join(repository, 'data'), { recursive: true });
  return names.filter((name) => /[0-9a-f]{64}$/.test(name)).length;
}

describe('a repository of somebody else', () => {
  it('that we may not read says who we are and whose it is', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    const result = await asNobody(stack, ['snapshots', '--repository', stack.path('repository'), '--json']);
    expectClearError(result, { exit: 1, code: 'storage-denied', says: /permission denied to nobody \(uid 65534\); .*repository.* belongs to uid 0, gid 0, with mode 0700/ });
  });

  it('that we may read and not write can be restored from, and a backup says whose it is', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await run('chmod', ['-R', 'a+rX', stack.path('repository')]);
    await mkdir(stack.path('theirs'));
    await chown(stack.path('theirs'), NOBODY, NOBODY);
    const address = ['--repository', stack.path('repository')];
    const restored = await asNobody(stack, ['restore', 'files', '--into', stack.path('theirs/out'), ...address]);
    expect(`${restored.code} ${restored.stderr}`).toMatch(/^0 /);
    expect((await asNobody(stack, ['check', '--read-data', ...address])).code).toBe(0);
    const written = await asNobody(stack, ['key', 'add', '--new-password-file', '/dev/null', ...address, '--json']);
    expect(written.code).not.toBe(0);
    expectClearError(await asNobody(stack, ['storage', 'validate', ...address, '--json']), { exit: 1, code: 'storage-denied', says: /cannot write .* permission denied to nobody/ });
  });

  it('that became ours only in part names the file that is not', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await run('chown', ['-R', `${NOBODY}:${NOBODY}`, stack.path('repository')]);
    const [name = ''] = await readdir(stack.path('repository/snapshots'));
    await chown(stack.path('repository/snapshots', name), 0, 0);
    const result = await asNobody(stack, ['snapshots', '--repository', stack.path('repository')]);
    expectClearError(result, { exit: 1, says: new RegExp(`cannot read snapshot ${name.slice(0, 10)}.*belongs to uid 0, gid 0, with mode 0400`) });
  });
});

describe('storage validate', () => {
  it('on a repository in use disturbs no backup, and leaves it as it was', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    const validating = Promise.all([stack.holdfast('storage', 'validate', '--json'), stack.holdfast('storage', 'validate', '--json')]);
    let running = true;
    const backups = (async () => {
      let count = 0;
      for (; running; count++) {
        await writeFile(stack.path(`files/more-${count}`), randomBytes(MB));
        await stack.holdfast('backup');
      }
      return count;
    })();
    const reports = await validating.finally(() => (running = false));
    expect(await backups).toBeGreaterThan(0);
    for (const { stdout } of reports) expect(JSON.parse(stdout)).toMatchObject({ kept: true, left: [] });
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
  });

  it('says why, where nothing can be stored at all', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    // A folder in which nothing can be renamed or removed: root has no right to it either.
    await run('chattr', ['-R', '+a', stack.path('repository/data')]);
    try {
      expectClearError(await stack.attempt(['storage', 'validate', '--json']), { exit: 1, code: 'storage-denied', says: /cannot write pack .* permission denied to root \(uid 0\)/ });
    } finally {
      await run('chattr', ['-R', '-a', stack.path('repository/data')]);
    }
    await stack.holdfast('storage', 'validate');
  });

  it('on a small disk leaves out what needs much room, and says so on a full one', async () => {
    await using on = await onDisk();
    const report: unknown = JSON.parse((await on.stack.holdfast('storage', 'validate', '--json')).stdout);
    expect(report).toMatchObject({ kept: true, left: [] });
    expect(JSON.stringify(report)).toMatch(/65 MiB","result":"left out","sentence":"it writes much, and there is little room/);
    await run('sh', ['-c', `cat /dev/zero >${on.disk.folder}/filler 2>/dev/null`], { accept: [0, 1] });
    expectClearError(await on.stack.attempt(['storage', 'validate', '--json']), { exit: 1, code: 'storage-full', says: /no space left/ });
  });

  it('removes what it has made when it is interrupted', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    const before = await packsOf(stack.path('repository'));
    const child = spawn(HOLDFAST, ['storage', 'validate'], { cwd: stack.folder, stdio: 'ignore' });
    const ended = once(child, 'exit');
    for (let tries = 0; (await packsOf(stack.path('repository'))) < before + 100 && tries < 5000; tries++) await wait(2);
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    expect(await packsOf(stack.path('repository'))).toBe(before);
    await stack.restic('check');
  });
});
