import { readFile, writeFile, mkdir } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectCalm } from '../fixture/clear-error.ts';
import { debianPostgres, type TestServer } from '../fixture/postgres-server.ts';
import { HOLDFAST, PASSWORD } from '../fixture/holdfast.ts';
import { run, runAnyway, type RunResult } from '../fixture/run.ts';
import { scratch, type Scratch } from '../fixture/scratch.ts';

let server: TestServer;

beforeAll(async () => {
  server = await debianPostgres({ restart_after_crash: 'on' });
  await sql(server.url, 'create database bench');
  await run('pgbench', ['-i', '-q', '-s', '12', server.database('bench')]);
});
afterAll(() => server[Symbol.asyncDispose]());

async function sql(url: string, text: string): Promise<string> {
  return (await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', url], { input: text })).stdout.trim();
}

interface DatabaseStack extends Scratch {
  attempt(...args: readonly string[]): Promise<RunResult>;
  holdfast(...args: readonly string[]): Promise<RunResult>;
  stores(): Promise<readonly string[]>;
}

/** A stack with a database first and a folder after it. */
async function stackOf(url: string): Promise<DatabaseStack> {
  const place = await scratch('database');
  await writeFile(place.path('password'), PASSWORD, { mode: 0o600 });
  await mkdir(place.path('files'));
  await writeFile(place.path('files/one.txt'), 'one\n');
  const attempt = (...args: readonly string[]): Promise<RunResult> => runAnyway(HOLDFAST, args, { cwd: place.folder });
  const holdfast = (...args: readonly string[]): Promise<RunResult> => run(HOLDFAST, args, { cwd: place.folder });
  await holdfast('init', '--stack', 'test', '--postgres', url, '--directory', 'files', '--repository', 'repository', '--password-file', 'password');
  const stores = async (): Promise<readonly string[]> => (JSON.parse((await holdfast('snapshots', '--json')).stdout) as { store: string }[]).map(({ store }) => store);
  return { ...place, attempt, holdfast, stores };
}

interface FailedStore {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** The database failed with a sentence and a hint, has no snapshot, and the folder was backed up all the same. */
async function expectOnlyFiles(stack: DatabaseStack, result: RunResult, exit = 1): Promise<FailedStore> {
  expect(`exit ${result.code}: ${result.stderr}${result.stdout}`).toContain(`exit ${exit}: `);
  expectCalm(result);
  const report = JSON.parse(result.stdout) as { state: string; stores: { store: string; state: string; error?: FailedStore }[] };
  expect(report).toMatchObject({ state: 'failed', stores: [{ state: 'failed' }, { store: 'files', state: 'ok' }] });
  expect(await stack.stores()).toEqual(['files']);
  await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'check', '--read-data']);
  const error = report.stores[0]?.error;
  if (!error) throw new Error('the store failed without an error');
  expect(error.hint).toMatch(/\w.*[.?;]$/s);
  return error;
}

/** Waits for the session that does this, and answers its process. */
async function backend(pattern: string, alive: () => boolean): Promise<number> {
  while (alive()) {
    const pid = await sql(server.url, `select pid from pg_stat_activity where query ~ '${pattern}' and state = 'active' and pid <> pg_backend_pid() limit 1`);
    if (pid !== '') return Number(pid);
    await wait(5);
  }
  throw new Error(`no session did ${pattern}`);
}

/** Starts Holdfast and does something to the session that comes to `pattern`. */
async function whenAt(stack: DatabaseStack, pattern: string, deed: (pid: number) => Promise<unknown>, ...args: readonly string[]): Promise<RunResult> {
  let running = true;
  const result = stack.attempt(...args).finally(() => {
    running = false;
  });
  await deed(await backend(pattern, () => running));
  return await result;
}

/** After a crash the server needs a moment. */
async function serverIsBack(): Promise<void> {
  while ((await runAnyway('psql', ['-XAtqc', 'select 1', server.database('bench')])).code !== 0) await wait(50);
}

const COPYING = '^COPY .*pgbench_accounts.* TO STDOUT';

describe('a database that fails while it is backed up', () => {
  it('by a session that is terminated in the middle of a table is named with the table, and leaves no snapshot', async () => {
    await using stack = await stackOf(server.database('bench'));
    const result = await whenAt(stack, COPYING, (pid) => sql(server.url, `select pg_terminate_backend(${pid})`), 'backup', '--json');
    const error = await expectOnlyFiles(stack, result);
    expect(error.message).toMatch(/bench.*terminat.*while reading the table public\.pgbench_accounts/);
    const whole = JSON.parse((await stack.holdfast('backup', '--json')).stdout) as { state: string };
    expect(whole.state).toBe('ok');
  });

  it('by a server that crashes in the middle of a table is named with a table, and leaves no snapshot', async () => {
    await using stack = await stackOf(server.database('bench'));
    const result = await whenAt(stack, COPYING, (pid) => run('kill', ['-KILL', String(pid)]), 'backup', '--json');
    const error = await expectOnlyFiles(stack, result);
    // All sessions die; which of the two that read is heard first is chance.
    expect(error.message).toMatch(/bench.*while reading the table public\.pgbench_/);
    await serverIsBack();
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
  });

  it('tells people in one sentence and a hint, on a terminal without colours', async () => {
    await using stack = await stackOf(server.database('bench'));
    const result = await whenAt(stack, COPYING, (pid) => sql(server.url, `select pg_terminate_backend(${pid})`), 'backup');
    expect(result.code).toBe(1);
    expectCalm(result);
    expect(result.stdout).toMatch(/failed: .*pgbench_accounts.*\n {2}hint: \S/);
    expect(result.stdout).toMatch(/Restore point \S+ is failed/);
  });
});

describe('a database that cannot be read', () => {
  it('because nobody listens there is named with host and port, and the folder is still backed up', async () => {
    await using stack = await stackOf(server.database('bench'));
    const config = await readFile(stack.path('holdfast.yaml'), 'utf8');
    await writeFile(stack.path('holdfast.yaml'), config.replace(/:\d+\/bench/, ':9/bench'));
    const error = await expectOnlyFiles(stack, await stack.attempt('backup', '--json'));
    expect(error.code).toBe('database-unreachable');
    expect(error.message).toMatch(/127\.0\.0\.1.*9/);
  });

  it('because it is gone is named', async () => {
    await sql(server.url, 'create database short_lived');
    await using stack = await stackOf(server.database('short_lived'));
    await sql(server.url, 'drop database short_lived');
    const error = await expectOnlyFiles(stack, await stack.attempt('backup', '--json'));
    expect(error.message).toMatch(/short_lived.*does not exist/);
  });

  it('because the user may not read a table is named with the table', async () => {
    await sql(server.url, 'create database guarded; create role reader login');
    await sql(server.database('guarded'), 'create table open (a int); grant select on open to reader; create table closed_one (a int)');
    await using stack = await stackOf(server.database('guarded'));
    const config = await readFile(stack.path('holdfast.yaml'), 'utf8');
    await writeFile(stack.path('holdfast.yaml'), config.replace(/(postgres(ql)?:\/\/)[^@/]*@/, '$1reader@'));
    const error = await expectOnlyFiles(stack, await stack.attempt('backup', '--json'));
    expect(error.message).toMatch(/closed_one/);
    expect(error.hint).toMatch(/GRANT .* TO "reader";/);
  });
});

describe('a database that fails while it is restored', () => {
  it('leaves the present one in its place, untouched, and nothing half-built that looks whole', async () => {
    await using stack = await stackOf(server.database('bench'));
    await stack.holdfast('backup');
    await sql(server.database('bench'), 'create table made_later (a int)');
    const result = await whenAt(stack, '^COPY .*pgbench_accounts.* FROM STDIN', (pid) => sql(server.url, `select pg_terminate_backend(${pid})`), 'restore', 'bench', '--yes', '--json');
    expect(`exit ${result.code}: ${result.stderr}`).toMatch(/^exit 1: error: .*pgbench_accounts/);
    expect(result.stderr).toMatch(/^hint: {2}\S/m);
    expectCalm(result);
    expect(await sql(server.database('bench'), 'select count(*) from made_later')).toBe('0');
    const databases = (await sql(server.url, "select datname from pg_database where datname like 'bench%'")).split('\n');
    expect(databases).toEqual(['bench']);
    await stack.holdfast('restore', 'bench', '--yes');
    expect(await sql(server.database('bench'), "select to_regclass('made_later') is null, count(*) from pgbench_accounts")).toBe('t|1200000');
    expect(Number(await sql(server.url, "select count(*) from pg_database where datname like 'bench_before%'"))).toBe(1);
  });
});
