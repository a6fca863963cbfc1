import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createDemoDatabase } from '../../src/cli/demo/database.ts';
import { debianPostgres, embeddedPostgres, type TestServer } from '../fixture/postgres-server.ts';
import { HOLDFAST } from '../fixture/holdfast.ts';
import { run, type RunResult } from '../fixture/run.ts';
import { scratch, type Scratch } from '../fixture/scratch.ts';

interface DatabaseStack extends Scratch {
  holdfast(...args: readonly string[]): Promise<RunResult>;
}

async function stackOf(url: string): Promise<DatabaseStack> {
  const place = await scratch('database');
  await writeFile(place.path('password'), 'secret\n', { mode: 0o600 });
  const holdfast = (...args: readonly string[]): Promise<RunResult> => run(HOLDFAST, args, { cwd: place.folder });
  await holdfast('init', '--stack', 'test', '--postgres', url, '--repository', 'repository', '--password-file', 'password');
  return { ...place, holdfast };
}

async function sql(url: string, text: string): Promise<string> {
  return (await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', url], { input: text })).stdout;
}

/** Rows and a fingerprint of every table, and where the sequences stand. */
async function fingerprints(url: string): Promise<string> {
  const tables = `select format('select %L, count(*), sum(hashtextextended(t::text, 0)::numeric) from %s t', oid::regclass, oid::regclass)
    from pg_class where relkind in ('r', 'm') and relnamespace::regnamespace::text !~ '^(pg_|information_schema)' order by oid::regclass::text \\gexec`;
  const sequences = `select format('select %L, last_value, is_called from %s', oid::regclass, oid::regclass) from pg_class where relkind = 'S' order by oid::regclass::text \\gexec`;
  const large = `select loid, count(*), md5(string_agg(data, '' order by pageno)) from pg_largeobject group by 1 order by 1;`;
  return sql(url, `${tables}\n${sequences}\n${large}`);
}

/** The schema as the server's own pg_dump says it; of PostgreSQL 15 only, which is the one that Debian has programs for. */
async function schema(url: string, server: TestServer): Promise<string> {
  if (!server.version.startsWith('15')) return '';
  return (await run('pg_dump', ['--schema-only', '--restrict-key=x', url])).stdout;
}

describe.each([
  { version: '15', start: debianPostgres },
  { version: '18', start: embeddedPostgres },
])('the demo database on PostgreSQL $version', ({ start }) => {
  it('comes back equal from Holdfast, and from restic and psql alone', async () => {
    await using server = await start();
    const { url } = await createDemoDatabase(server.url);
    await using stack = await stackOf(url);
    const before = await fingerprints(url);
    const schemaBefore = await schema(url, server);
    await stack.holdfast('backup');

    await sql(server.url, 'drop database tempo_insights');
    await stack.holdfast('restore', '--yes');
    expect(await fingerprints(url)).toBe(before);
    expect(await schema(url, server)).toBe(schemaBefore);

    await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'restore', 'latest', '--target', stack.path('out')]);
    const found = (await readdir(stack.path('out'), { recursive: true })).find((name) => name.endsWith('restore.sql'));
    const script = stack.path('out', found ?? '');
    await sql(server.url, 'create database by_hand');
    await run('psql', ['-Xq', '-d', server.database('by_hand'), '-f', 'restore.sql'], { cwd: join(script, '..') });
    expect(await fingerprints(server.database('by_hand'))).toBe(before);
    expect(await schema(server.database('by_hand'), server)).toBe(schemaBefore);
  });
});

describe('a database that is written to while it is backed up', () => {
  it('comes back as it was at one moment: the books of pgbench balance', async () => {
    await using server = await debianPostgres();
    await sql(server.url, 'create database bench');
    const url = server.database('bench');
    await run('pgbench', ['-i', '-q', '-s', '20', url]);
    await using stack = await stackOf(url);
    const load = spawn('pgbench', ['-c', '2', '-T', '600', url], { stdio: 'ignore' });
    const ended = once(load, 'exit');
    try {
      await stack.holdfast('backup');
    } finally {
      load.kill();
      await ended;
    }
    await stack.holdfast('restore', '--into', 'bench_copy', 'bench');
    // Every transaction of pgbench adds the same amount to an account, a teller, a branch and the history.
    const sums = `select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
      (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history), (select count(*) > 0 from pgbench_history);`;
    const [accounts, tellers, branches, history, any] = (await sql(server.database('bench_copy'), sums)).trim().split('|');
    expect([tellers, branches, history]).toEqual([accounts, accounts, accounts]);
    expect(any).toBe('t');
  });
});
