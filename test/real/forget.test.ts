import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { directoryStack, type TestStack } from '../fixture/holdfast.ts';
import { run } from '../fixture/run.ts';

interface Planned {
  readonly groups: readonly { readonly snapshots: readonly { readonly time: string; readonly keep: boolean; readonly reasons: readonly string[] }[] }[];
}

/** Snapshots of restic at these moments (seconds since 1970), told apart from ours by nothing but who made them. */
async function snapshotsAt(stack: TestStack, moments: readonly number[]): Promise<void> {
  for (const moment of moments) {
    const time = new Date(moment * 1000).toISOString().slice(0, 19).replace('T', ' ');
    await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'backup', '--time', time, '--host', `h${moment % 3}`, '--tag', 'stack:test', '--tag', 'store:files', '--tag', 'state:ok', ...(moment % 7 === 0 ? ['--tag', 'seven'] : []), '--quiet', stack.path('files/one.txt')], { env: { TZ: 'UTC' } });
  }
}

/** What each program would keep, by time. */
async function keepSets(stack: TestStack, rules: readonly string[]): Promise<{ readonly ours: readonly string[]; readonly restics: readonly string[] }> {
  const env = { TZ: 'UTC' };
  const planned = JSON.parse((await stack.attempt(['forget', ...rules, '--json'], { env })).stdout) as Planned;
  const seconds = (time: string): string => new Date(time).toISOString().slice(0, 19);
  const ours = planned.groups.flatMap((group) => group.snapshots.filter(({ keep }) => keep).map(({ time }) => seconds(time)));
  const said = await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'forget', '--group-by', '', '--dry-run', '--json', ...rules], { env });
  const [group] = JSON.parse(said.stdout.slice(said.stdout.indexOf('['))) as { keep: { time: string }[] }[];
  return { ours: ours.toSorted(), restics: (group?.keep ?? []).map(({ time }) => seconds(time)).toSorted() };
}

describe('forget', () => {
  it('keeps what restic keeps', async () => {
    await using stack = await directoryStack();
    const now = Math.floor(Date.now() / 1000);
    // Hours, days, weeks and months back, some close together, over a change of the year and of the clock.
    const moments = [1, 2, 3, 5, 26, 27, 50, 75, 100, 24 * 6, 24 * 8, 24 * 13, 24 * 20, 24 * 33, 24 * 35, 24 * 61, 24 * 62, 24 * 200, 24 * 370, 24 * 500, 24 * 800].map((hours) => now - hours * 3600 - (hours % 5) * 60);
    await snapshotsAt(stack, moments);
    const rules = [
      '--keep-last 3', '--keep-daily 4', '--keep-hourly 3 --keep-weekly 3', '--keep-monthly 5 --keep-yearly 2', '--keep-within 7d', '--keep-within 1y2m', '--keep-within 26h --keep-daily 2',
      '--keep-within-daily 10d --keep-within-monthly 1y', '--keep-within-hourly 2d --keep-within-weekly 2m --keep-within-yearly 3y', '--keep-last 1 --keep-tag seven', '--keep-daily 99',
    ];
    for (const rule of rules) {
      const { ours, restics } = await keepSets(stack, rule.split(' '));
      expect(ours, rule).toEqual(restics);
      expect(ours.length, rule).toBeGreaterThan(0);
    }
  });

  it('shows its decisions, asks, and leaves a repository that is sound for restic', async () => {
    await using stack = await directoryStack();
    for (const text of ['1', '2', '3']) {
      await writeFile(stack.path('files/one.txt'), text);
      await stack.holdfast('backup');
    }
    await stack.holdfast('verify');
    const shown = (await stack.holdfast('forget', '--keep-last', '2')).stdout;
    expect(shown).toMatch(/^files of test$/m);
    expect(shown).toMatch(/keep {2}[0-9a-f]{8} {2}.* ok .* last, the 1st of 2; the last verified one$/m);
    expect(shown).toMatch(/drop {2}[0-9a-f]{8} {2}.* older than what the rules keep$/m);
    expect(shown).toContain('Nothing was dropped yet. Do it with --yes.');
    expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toHaveLength(3);
    expect(JSON.parse((await stack.holdfast('forget', '--keep-last', '2', '--yes', '--json')).stdout)).toMatchObject({ executed: true, removed: { length: 1 } });
    expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toHaveLength(2);
    await stack.restic('check', '--read-data');
    expectClearError(await stack.attempt(['forget']), { exit: 2, says: /nothing says what to keep/ });
    expectClearError(await stack.attempt(['forget', '--keep-last', '0']), { exit: 2, says: /'0' is no number from 1/ });
    expectClearError(await stack.attempt(['forget', '--keep-within', '2w']), { exit: 2, says: /'2w' is no length of time/ });
    expectClearError(await stack.attempt(['forget', 'fils', '--keep-last', '1']), { exit: 2, says: /'fils' is no store/ });
  });

  it('is stopped by a lock of restic, and nothing is gone', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await stack.holdfast('backup');
    // restic holds its lock for as long as its input lasts.
    const restic = spawn('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'backup', '--stdin', '--quiet'], { stdio: ['pipe', 'ignore', 'ignore'] });
    const ended = once(restic, 'close');
    while ((await readdir(stack.path('repository/locks'))).length === 0) await wait(20);
    expectClearError(await stack.attempt(['forget', '--keep-last', '1', '--yes', '--json']), { exit: 11, code: 'repository-locked', says: /locked by/ });
    restic.stdin.end('content');
    await ended;
    expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toHaveLength(3);
  });
});

describe('a plan', () => {
  it('backs up to one repository, copies to the other, and says what is forgotten in each', async () => {
    await using stack = await directoryStack();
    await writeFile(stack.path('other'), 'another password', { mode: 0o600 });
    const config = await readFile(stack.path('holdfast.yaml'), 'utf8');
    await writeFile(stack.path('holdfast.yaml'), `${config}  offsite: { path: ./offsite, password: file:./other }\nplans:\n  daily: { cron: "0 2 * * *", to: [local, offsite], keep: { last: 2 } }\n`);
    const missing = await stack.attempt(['backup', '--plan', 'daily', '--json']);
    expect(missing.code).toBe(10);
    expect(JSON.parse(missing.stdout)).toMatchObject({ state: 'ok', copies: [{ repository: 'offsite', state: 'failed', error: { code: 'repository-missing', hint: expect.stringContaining('copy --to offsite --init') } }] });
    await stack.holdfast('copy', '--to', 'offsite', '--init');
    await stack.holdfast('backup');
    for (let n = 0; n < 2; n++) expect(JSON.parse((await stack.holdfast('backup', '--plan', 'daily', '--json')).stdout)).toMatchObject({ copies: [{ repository: 'offsite', state: 'ok', snapshots: [{ state: 'copied' }] }] });
    for (const [repository, before] of [['local', 4], ['offsite', 3]] as const) {
      expect(JSON.parse((await stack.holdfast('snapshots', '--repository', repository, '--json')).stdout)).toHaveLength(before);
      const done = JSON.parse((await stack.holdfast('forget', '--repository', repository, '--yes', '--json')).stdout) as { removed: readonly string[] };
      expect(done.removed).toHaveLength(1);
    }
    await run('restic', ['--repo', stack.path('offsite'), '--password-file', stack.path('other'), '--no-cache', 'check', '--read-data']);
  });
});
