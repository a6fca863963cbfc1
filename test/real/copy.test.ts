import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { expectSameContent, fillHardTree } from '../fixture/hard-tree.ts';
import { directoryStack, HOLDFAST, type TestStack } from '../fixture/holdfast.ts';
import { run, type RunResult } from '../fixture/run.ts';

interface Copied {
  readonly snapshots: readonly { readonly state: string; readonly snapshot: string; readonly copy: string; readonly storedBytes?: number }[];
}

const TO = ['--to', './other', '--to-password-file', 'other-password'];

/** A stack whose other repository has another password. */
async function stackWithOther(): Promise<TestStack & { other(...args: readonly string[]): Promise<RunResult> }> {
  const stack = await directoryStack();
  await writeFile(stack.path('other-password'), 'another one', { mode: 0o600 });
  return { ...stack, other: (...args) => run('restic', ['--repo', stack.path('other'), '--password-file', stack.path('other-password'), '--no-cache', ...args]) };
}

async function copied(stack: TestStack, ...args: readonly string[]): Promise<Copied> {
  return JSON.parse((await stack.holdfast('copy', ...TO, '--json', ...args)).stdout) as Copied;
}

const states = ({ snapshots }: Copied): string => snapshots.map(({ state }) => state).join(' ');

describe('copy', () => {
  it('gives a repository with another password and polynomial that restic finds sound, and restores the same from', async () => {
    await using stack = await stackWithOther();
    await fillHardTree(stack.path('files'));
    await stack.holdfast('backup');
    await writeFile(stack.path('files/more'), randomBytes(3_000_000));
    await stack.holdfast('backup');
    await stack.other('init', '--repository-version', '2');
    expect(states(await copied(stack))).toBe('copied copied');
    await stack.other('check', '--read-data');
    await stack.other('restore', 'latest', '--target', stack.path('out'));
    await expectSameContent(stack.path('files'), stack.path('out', stack.path('files')));
    await stack.holdfast('restore', '--repository', './other', '--password-file', 'other-password', '--snapshot', 'latest', '--into', 'out2');
    await expectSameContent(stack.path('files'), stack.path('out2', stack.path('files')));
    expect(states(await copied(stack))).toBe('present present');
    // A proof is of the copy that it was made of.
    await stack.holdfast('verify');
    expect(JSON.parse((await stack.holdfast('snapshots', '--repository', './other', '--password-file', 'other-password', '--json')).stdout)).toMatchObject([{ state: 'ok' }, { state: 'ok' }]);
    expect((await stack.holdfast('snapshots', '--repository', './other', '--password-file', 'other-password', '--json')).stdout).not.toContain('verified');
  });

  it('and restic copy know each other’s copies', async () => {
    await using stack = await stackWithOther();
    await stack.holdfast('backup');
    await stack.restic('backup', '--tag', 'x,y', stack.path('files'));
    expect(states(await copied(stack, '--init'))).toBe('copied copied');
    const resticCopy = (): Promise<RunResult> => stack.other('copy', '--from-repo', stack.path('repository'), '--from-password-file', stack.path('password'));
    const count = async (): Promise<number> => (JSON.parse((await stack.other('snapshots', '--json')).stdout) as unknown[]).length;
    expect((await resticCopy()).stdout.match(/skipping source snapshot/g)).toHaveLength(2);
    expect(await count()).toBe(2);
    await stack.restic('backup', '--tag', 'z', stack.path('files/deep'));
    await resticCopy();
    expect(await count()).toBe(3);
    expect(states(await copied(stack))).toBe('present present present');
    await stack.other('check', '--read-data');
  });

  it('makes a repository that cuts alike, so that a backup to it stores nothing again', async () => {
    await using stack = await stackWithOther();
    await writeFile(stack.path('files/large'), randomBytes(20_000_000));
    await stack.holdfast('backup');
    await copied(stack, '--init');
    const report = JSON.parse((await stack.holdfast('backup', '--repository', './other', '--password-file', 'other-password', '--json')).stdout) as { stores: { bytesStored: number }[] };
    expect(report.stores[0]?.bytesStored).toBeLessThan(10_000);
  });

  it('killed in the middle leaves a sound repository, and the next run uses what is there', async () => {
    await using stack = await stackWithOther();
    for (let part = 0; part < 20; part++) await writeFile(stack.path(`files/part-${part}`), randomBytes(10_000_000));
    await stack.holdfast('backup');
    await stack.other('init', '--repository-version', '2');
    const packs = async (): Promise<readonly string[]> => (await readdir(stack.path('other/data'), { recursive: true })).filter((name) => /\/[0-9a-f]{64}$/.test(name));
    const child = spawn(HOLDFAST, ['copy', ...TO], { cwd: stack.folder, stdio: 'ignore' });
    const ended = once(child, 'close');
    while ((await packs()).length < 3) await wait(1);
    child.kill('SIGKILL');
    await ended;
    const before = await packs();
    expect(before.length).toBeGreaterThanOrEqual(3);
    expect(await readdir(stack.path('other/snapshots'))).toEqual([]);
    const { snapshots } = await copied(stack);
    expect(snapshots).toMatchObject([{ state: 'copied' }]);
    expect(snapshots[0]?.storedBytes).toBeLessThan(200_000_000 - 40_000_000);
    expect(await packs()).toEqual(expect.arrayContaining([...before]));
    await stack.other('check', '--read-data');
  });

  it('says what is missing', async () => {
    await using stack = await stackWithOther();
    await stack.holdfast('backup');
    expectClearError(await stack.attempt(['copy']), { exit: 2, says: /other repository is not given/ });
    expectClearError(await stack.attempt(['copy', ...TO, '--json']), { exit: 10, code: 'repository-missing', says: /there is no repository/ });
    expectClearError(await stack.attempt(['copy', '--to', './other']), { exit: 2, says: /password of \.\/other is not given/ });
    expectClearError(await stack.attempt(['copy', '--to', 'offsite']), { exit: 2, says: /no repository "offsite"/ });
    expectClearError(await stack.attempt(['copy', '--to', './repository', '--to-password-file', 'password']), { exit: 2, says: /cannot be copied into itself/ });
    expectClearError(await stack.attempt(['copy', ...TO, '--init', 'fotos']), { exit: 1, says: /no snapshot of fotos/ });
  });
});
