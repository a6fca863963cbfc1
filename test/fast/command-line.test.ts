import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectCalm, expectClearError } from '../fixture/clear-error.ts';
import { directoryStack, HOLDFAST } from '../fixture/holdfast.ts';
import { runAnyway } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

interface Report {
  readonly run: string;
  readonly stores: readonly { readonly snapshot: string; readonly bytesRead: number; readonly counts: { readonly files: number } }[];
}

const json = <T>({ stdout }: { readonly stdout: string }): T => JSON.parse(stdout) as T;

describe('the command line', () => {
  it('leads from a folder to a backup, a look into it, and back', async () => {
    await using stack = await directoryStack();
    const report = json<Report>(await stack.holdfast('backup', '--json', '--tag', 'nightly'));
    expect(report.stores[0]).toMatchObject({ store: 'files', kind: 'directory', state: 'ok', counts: { files: 2 }, problems: [] });
    const id = report.stores[0]?.snapshot ?? '';
    expect(json(await stack.holdfast('snapshots', '--json'))).toMatchObject([{ id, store: 'files', stack: 'test', run: report.run, state: 'ok', tags: expect.arrayContaining(['nightly']) }]);
    expect((await stack.holdfast('snapshots')).stdout).toMatch(new RegExp(`${id.slice(0, 8)}.*files.*ok`));
    expect((await stack.holdfast('ls', 'files', stack.path('files'), '--recursive')).stdout).toContain(`${stack.path('files/deep/two.txt')}\n`);
    expect((await stack.holdfast('ls', 'latest', stack.path('files'), '-l')).stdout).toMatch(/^-rw-r--r--.* 4 B .*one\.txt$/m);
    expect((await stack.holdfast('cat', 'file', id.slice(0, 8), stack.path('files/one.txt'))).stdout).toBe('one\n');
    expect(json(await stack.holdfast('cat', 'snapshot', 'latest'))).toMatchObject({ paths: [stack.path('files')] });
    expect(json(await stack.holdfast('cat', 'file', 'latest', '/manifest.json'))).toMatchObject({ run: report.run, state: 'ok', content: { kind: 'directory' } });
    expect(json(await stack.holdfast('check', '--read-data', '--json'))).toMatchObject({ sound: true, snapshots: 1, errors: [] });
  });

  it('shows the plan of a restore, asks before it replaces, and keeps what it replaced', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await appendFile(stack.path('files/one.txt'), 'changed');
    expect((await stack.holdfast('restore', '--dry-run')).stdout).toMatch(/^Plan:\n {2}files, of .*put it in place of .*; what stands there now is kept/);
    expectClearError(await stack.attempt(['restore']), { exit: 2, says: /nobody is here to confirm/ });
    expectClearError(await stack.attempt(['restore', '--json']), { exit: 2, code: 'not-confirmed', says: /nobody is here to confirm/ });
    expect(await readFile(stack.path('files/one.txt'), 'utf8')).toBe('one\nchanged');
    const { restored } = json<{ restored: { report: { kept: string } }[] }>(await stack.holdfast('restore', '--yes', '--json'));
    expect(await readFile(stack.path('files/one.txt'), 'utf8')).toBe('one\n');
    expect(await readFile(`${restored[0]?.report.kept ?? ''}/one.txt`, 'utf8')).toBe('one\nchanged');
  });

  it('never writes over what stands at the place of a restore elsewhere', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await mkdir(stack.path('out'));
    await writeFile(stack.path('out/mine'), 'mine');
    expectClearError(await stack.attempt(['restore', 'files', '--into', 'out', '--json']), { exit: 1, code: 'target-exists', says: /exists already; nothing was overwritten/ });
    expect(await readdir(stack.path('out'))).toEqual(['mine']);
  });

  it('finds the moment that is meant', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await wait(1100);
    const between = new Date().toISOString();
    await writeFile(stack.path('files/one.txt'), 'two');
    await stack.holdfast('backup');
    await stack.holdfast('restore', 'files', '--at', between, '--path', 'one.txt', '--into', 'then');
    expect(await readFile(stack.path('then'), 'utf8')).toBe('one\n');
    expectClearError(await stack.attempt(['restore', 'files', '--at', '2001-01-01', '--into', 'never', '--json']), { exit: 1, code: 'snapshot-missing', says: /the oldest snapshot of files is of/ });
    expectClearError(await stack.attempt(['restore', 'files', '--at', 'yesterdayish', '--into', 'never']), { exit: 2, says: /'yesterdayish' is no time/ });
  });
});

describe('what cannot be done is said in a sentence, a hint, a code and an exit number', () => {
  it('of a repository', async () => {
    await using stack = await directoryStack();
    expectClearError(await stack.attempt(['ls', 'latest']), { exit: 1, says: /holds no snapshots yet/ });
    await stack.holdfast('backup');
    expectClearError(await stack.attempt(['ls', 'ffffffff', '--json']), { exit: 1, code: 'snapshot-missing', says: /ffffffff/ });
    expectClearError(await stack.attempt(['cat', 'file', 'latest', '/not/there', '--json']), { exit: 1, code: 'path-missing', says: /\/not\/there/ });
    expectClearError(await stack.attempt(['restore', 'files', '--path', 'not-there', '--into', 'x', '--json']), { exit: 1, code: 'path-missing', says: /not-there/ });
    expectClearError(await stack.attempt(['snapshots', '--repository', './nowhere', '--password-file', 'password', '--json']), { exit: 10, code: 'repository-missing', says: /there is no repository at/ });
    expectClearError(await stack.attempt(['snapshots', '--repository', './nowhere']), { exit: 2, says: /password of the repository is not given/ });
    await writeFile(stack.path('other'), 'wrong', { mode: 0o600 });
    expectClearError(await stack.attempt(['check', '--password-file', 'other', '--json']), { exit: 12, code: 'wrong-password', says: /password opens none/ });
    await rm(stack.path('password'));
    expectClearError(await stack.attempt(['check', '--json']), { exit: 2, code: 'secret-missing', says: /password/ });
  });

  it('of a configuration: file, line and column, and what was meant', async () => {
    await using stack = await directoryStack();
    const config = await readFile(stack.path('holdfast.yaml'), 'utf8');
    const line = config.split('\n').findIndex((text) => text.includes('directory:')) + 1;
    await writeFile(stack.path('holdfast.yaml'), config.replace('directory:', 'directry:'));
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 2, code: 'config', hint: false, says: new RegExp(`holdfast\\.yaml:${line}:\\d+ .*unknown key "directry"; did you mean "directory"\\?`) });
    await writeFile(stack.path('holdfast.yaml'), 'stack: [unclosed\n');
    expectClearError(await stack.attempt(['backup']), { exit: 2, hint: false, says: /holdfast\.yaml:\d+:\d+/ });
    await using empty = await scratch('empty');
    expectClearError(await runAnyway(HOLDFAST, ['backup', '--json'], { cwd: empty.folder }), { exit: 2, code: 'no-config', says: /there is no holdfast\.yaml/ });
  });

  it('of a store, while the others go on', async () => {
    await using stack = await directoryStack();
    await mkdir(stack.path('photos'));
    await writeFile(stack.path('photos/one'), '1');
    const config = await readFile(stack.path('holdfast.yaml'), 'utf8');
    await writeFile(stack.path('holdfast.yaml'), config.replace(/^stores:\n/m, 'stores:\n  missing:\n    directory: nowhere\n  photos:\n    directory: photos\n'));
    const result = await stack.attempt(['backup', '--json']);
    expect(result.code).toBe(1);
    expectCalm(result);
    expect(json(result)).toMatchObject({
      state: 'failed', stores: [{ store: 'missing', state: 'failed', error: { code: 'source-missing', message: expect.stringContaining('nowhere') } }, { store: 'photos', state: 'ok' }, { store: 'files', state: 'ok' }],
    });
    expect(json<{ store: string }[]>(await stack.holdfast('snapshots', '--json')).map(({ store }) => store)).toEqual(['photos', 'files']);
  });

  it('of a secret that others can read', async () => {
    await using stack = await directoryStack();
    await chmod(stack.path('password'), 0o644);
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 2, code: 'secret-exposed', says: /password/ });
  });
});

describe('a backup that is interrupted', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('by %s ends with 130, without a snapshot or a lock, and the next one is whole', async (signal) => {
    await using stack = await directoryStack();
    for (let part = 0; part < 16; part++) await writeFile(stack.path(`files/part-${part}`), randomBytes(12_000_000));
    const child = spawn(HOLDFAST, ['backup'], { cwd: stack.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const said: Buffer[] = [];
    child.stderr.on('data', (bytes: Buffer) => said.push(bytes));
    const ended = once(child, 'close');
    const packs = async (): Promise<number> => (await readdir(stack.path('repository/data'), { recursive: true })).filter((name) => /\/[0-9a-f]{64}$/.test(name)).length;
    while ((await packs()) === 0) await wait(1);
    child.kill(signal);
    await ended;
    const stderr = Buffer.concat(said).toString();
    expectClearError({ code: child.exitCode ?? undefined, signal: undefined, stdout: '', stderr }, { exit: 130, says: new RegExp(`stopped by ${signal}`) });
    expect(json(await stack.holdfast('snapshots', '--json'))).toEqual([]);
    expect(await readdir(stack.path('repository/locks'))).toEqual([]);
    await stack.holdfast('check');
    expect(json(await stack.holdfast('backup', '--json'))).toMatchObject({ state: 'ok' });
    await stack.holdfast('check', '--read-data');
  });
});
