import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, ftruncateSync, openSync, closeSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectCalm } from '../fixture/clear-error.ts';
import { directoryStack, HOLDFAST, type TestStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run, runAnyway, type RunResult } from '../fixture/run.ts';

interface Told {
  readonly subject: string;
  readonly kind: string;
  readonly message: string;
}

const kinds = (problems: readonly Told[]): readonly string[] => problems.map(({ subject, kind }) => `${kind} ${subject}`).toSorted();

/** The problems that an incomplete backup told, and that its manifest keeps. */
async function expectIncomplete(stack: TestStack, result: RunResult): Promise<readonly Told[]> {
  expect(`exit ${result.code}: ${result.stderr}${result.stdout}`).toContain('exit 3: ');
  expectCalm(result);
  const report = JSON.parse(result.stdout) as { state: string; stores: { state: string; problems: Told[] }[] };
  expect(report).toMatchObject({ state: 'degraded', stores: [{ state: 'degraded' }] });
  const problems = report.stores[0]?.problems ?? [];
  const manifest: unknown = JSON.parse((await stack.holdfast('cat', 'file', 'files', '/manifest.json')).stdout);
  expect(manifest).toMatchObject({ state: 'degraded', content: { problems } });
  const snapshots: unknown = JSON.parse((await stack.holdfast('snapshots', '--json')).stdout);
  expect(snapshots).toEqual(expect.arrayContaining([expect.objectContaining({ state: 'degraded' })]));
  await stack.restic('check', '--read-data');
  return problems;
}

describe('a source that cannot be read wholly', () => {
  it('names files and folders that are forbidden; the rest comes back, and a restore warns', async () => {
    await using stack = await directoryStack();
    await mkdir(stack.path('files/closed'), { mode: 0 });
    await writeFile(stack.path('files/closed/inside'), 'x');
    await writeFile(stack.path('files/forbidden\u001b[31m'), 'x', { mode: 0 });
    const lesser = ['--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-dac_override,-dac_read_search', HOLDFAST, 'backup'];
    const people = await runAnyway('setpriv', lesser, { cwd: stack.folder });
    expect(people.code).toBe(3);
    expectCalm(people);
    expect(people.stdout).toMatch(/2 things could not be backed up as it should/);
    expect(people.stdout).toMatch(/\/files\/forbidden.* cannot be read: permission denied/);
    expect(people.stdout).not.toContain('\u001b[31m');
    const problems = await expectIncomplete(stack, await runAnyway('setpriv', [...lesser, '--json'], { cwd: stack.folder }));
    expect(kinds(problems)).toEqual([`unreadable ${stack.path('files/closed')}`, `unreadable ${stack.path('files/forbidden\u001b[31m')}`]);
    expect((await stack.holdfast('restore', 'files', '--dry-run')).stdout).toMatch(/note: .*degraded/);
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect((await readdir(stack.path('out'))).toSorted()).toEqual(['closed', 'deep', 'one.txt']);
  });

  it('names a file where the disk reports an error, and backs up the rest', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('files/bad-sector'), randomBytes(3_000_000));
    const broken = ['-f', '--seccomp-bpf', '-qq', '-o', '/dev/null', '-e', 'trace=read,pread64', '-e', 'inject=read,pread64:error=EIO', '-P', stack.path('files/bad-sector'), HOLDFAST, 'backup', '--json'];
    const problems = await expectIncomplete(stack, await runAnyway('strace', broken, { cwd: stack.folder }));
    expect(problems).toEqual([{ subject: stack.path('files/bad-sector'), kind: 'unreadable', message: 'cannot be read: the disk reports an error (EIO)' }]);
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect((await readdir(stack.path('out'))).toSorted()).toEqual(['deep', 'one.txt']);
    // The next backup finds it well, and is whole again.
    expect(JSON.parse((await stack.holdfast('backup', '--json')).stdout)).toMatchObject({ state: 'ok' });
  });
});

/** Runs a backup while `disturb` is called over and over. */
async function disturbed(stack: TestStack, disturb: () => void): Promise<RunResult> {
  let done = false;
  const backup = stack.attempt(['backup', '--json']).finally(() => {
    done = true;
  });
  while (!done) {
    disturb();
    await wait(1);
  }
  return await backup;
}

describe('a source that changes while it is read', () => {
  it('names a file that grows and one that shrinks, and keeps of each what once stood there', async () => {
    await using stack = await directoryStack();
    const grows = stack.path('files/grows');
    const shrinks = stack.path('files/shrinks');
    await writeFile(grows, 'line of a log\n'.repeat(3_000_000));
    await writeFile(shrinks, randomBytes(40_000_000));
    const whole = await readFile(shrinks);
    const shrinking = openSync(shrinks, 'r+');
    let size = whole.length;
    const result = await disturbed(stack, () => {
      appendFileSync(grows, 'line of a log\n');
      ftruncateSync(shrinking, (size -= 10));
    });
    closeSync(shrinking);
    const problems = await expectIncomplete(stack, result);
    expect(kinds(problems)).toEqual([`changed ${grows}`, `changed ${shrinks}`]);
    for (const { message } of problems) expect(message).toMatch(/while it was read/);
    await stack.holdfast('restore', 'files', '--into', 'out');
    const grown = await readFile(stack.path('out/grows'));
    expect((await readFile(grows)).subarray(0, grown.length).equals(grown)).toBe(true);
    const shrunk = await readFile(stack.path('out/shrinks'));
    expect(whole.subarray(0, shrunk.length).equals(shrunk)).toBe(true);
  });

  it('names a file that vanishes between being found and being read, and leaves it out', async () => {
    await using stack = await directoryStack();
    const victim = stack.path('files/victim');
    await writeFile(victim, randomBytes(1_000_000));
    // The thread that comes to open it is held back for so long.
    const held = ['-f', '--seccomp-bpf', '-qq', '-o', '/dev/null', '-e', 'trace=openat', '-e', 'inject=openat:delay_enter=4s', '-P', victim, HOLDFAST, 'backup', '--json'];
    const child = spawn('strace', held, { cwd: stack.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const said: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => said.push(bytes));
    const ended = once(child, 'close');
    while (!(await isHeld(child.pid ?? 0)) && child.exitCode === null) await wait(20);
    await rm(victim);
    await ended;
    const problems = await expectIncomplete(stack, { code: child.exitCode ?? undefined, signal: undefined, stdout: Buffer.concat(said).toString(), stderr: '' });
    expect(problems).toEqual([{ subject: victim, kind: 'vanished', message: 'was gone before it could be read' }]);
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect((await readdir(stack.path('out'))).toSorted()).toEqual(['deep', 'one.txt']);
  });

  it('that is torn down and built up all the time still gives a backup that is sound and restores to what it says', async () => {
    await using stack = await directoryStack();
    for (let n = 0; n < 6; n++) await writeFile(stack.path('files', `still-${n}`), randomBytes(4_000_000));
    const before = exactListing(stack.path('files')).filter((line) => line.includes('/still-'));
    const churn = spawn('sh', ['-c', 'while :; do mkdir -p churn/a/b; for i in 1 2 3 4 5 6 7 8; do echo $i >churn/a/b/$i; ln -sf $i churn/a/l$i; done; mv churn/a churn/c; rm -rf churn; done'], { cwd: stack.path('files'), stdio: 'ignore' });
    const ended = once(churn, 'exit');
    try {
      for (let round = 0; round < 3; round++) {
        const result = await stack.attempt(['backup', '--json']);
        expectCalm(result);
        expect([0, 3]).toContain(result.code);
      }
    } finally {
      churn.kill('SIGKILL');
      await ended;
    }
    await stack.restic('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out')).filter((line) => line.includes('/still-'))).toEqual(before);
    await run('diff', [stack.path('files/one.txt'), stack.path('out/one.txt')]);
  });
});

/** Does a thread of the program that this strace runs stand still, at two looks one after the other? */
async function isHeld(strace: number): Promise<boolean> {
  const first = await stoppedThreads(strace);
  await wait(150);
  const second = await stoppedThreads(strace);
  return first.some((thread) => second.includes(thread));
}

async function stoppedThreads(strace: number): Promise<readonly string[]> {
  const [child = ''] = (await readFile(`/proc/${strace}/task/${strace}/children`, 'utf8').catch(() => '')).split(' ');
  const stats = (await readdir(`/proc/${child}/task`).catch(() => [])).map((thread) => readFile(`/proc/${child}/task/${thread}/stat`, 'utf8').catch(() => ''));
  // `pid (name) t`: stopped by its tracer.
  return (await Promise.all(stats)).filter((stat) => /\) t /.test(stat)).map((stat) => stat.split(' ')[0] ?? '');
}
