import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createDemoDatabase } from '../../src/cli/demo/database.ts';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres, embeddedPostgres, type TestServer } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';

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
    await using stack = await databaseStack([`url: ${url}`]);
    const before = await contentOf(url);
    const schemaBefore = await schema(url, server);
    await stack.holdfast('backup');

    await psql(server.url, 'drop database tempo_insights');
    await stack.holdfast('restore', '--yes');
    expect(await contentOf(url)).toBe(before);
    expect(await schema(url, server)).toBe(schemaBefore);

    await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'restore', 'latest', '--target', stack.path('out')]);
    const found = (await readdir(stack.path('out'), { recursive: true })).find((name) => name.endsWith('restore.sql'));
    const script = stack.path('out', found ?? '');
    await psql(server.url, 'create database by_hand');
    await run('psql', ['-Xq', '-d', server.database('by_hand'), '-f', 'restore.sql'], { cwd: join(script, '..') });
    expect(await contentOf(server.database('by_hand'))).toBe(before);
    expect(await schema(server.database('by_hand'), server)).toBe(schemaBefore);
  });
});

describe('a database that is written to while it is backed up', () => {
  it('comes back as it was at one moment: the books of pgbench balance', async () => {
    await using server = await debianPostgres();
    await psql(server.url, 'create database bench');
    const url = server.database('bench');
    await run('pgbench', ['-i', '-q', '-s', '20', url]);
    await using stack = await databaseStack([`url: ${url}`]);
    const load = spawn('pgbench', ['-c', '2', '-T', '600', url], { stdio: 'ignore' });
    const ended = once(load, 'exit');
    try {
      await stack.holdfast('backup');
    } finally {
      load.kill();
      await ended;
    }
    await stack.holdfast('restore', '--into', 'bench_copy', 'db');
    // Every transaction of pgbench adds the same amount to an account, a teller, a branch and the history.
    const sums = `select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
      (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history), (select count(*) > 0 from pgbench_history);`;
    const [accounts, tellers, branches, history, any] = (await psql(server.database('bench_copy'), sums)).trim().split('|');
    expect([tellers, branches, history]).toEqual([accounts, accounts, accounts]);
    expect(any).toBe('t');
  });
});
