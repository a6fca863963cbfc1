import { describe, expect, it } from 'vitest';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { pgbouncer } from '../fixture/pgbouncer.ts';
import { debianPostgres, type TestServer } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';
import { SMALL_ZOO } from '../fixture/small-zoo.ts';

async function zoo(): Promise<TestServer> {
  const server = await debianPostgres();
  await psql(server.url, 'create database zoo');
  await psql(server.database('zoo'), SMALL_ZOO);
  return server;
}

/** `init` asks the server too, so the stack is made without the pooler. */
async function refusal(server: TestServer, url: string): Promise<string> {
  await using stack = await databaseStack([`url: ${server.database('zoo')}`]);
  await stack.configure([`url: ${url}`]);
  const { code, stdout, stderr } = await stack.attempt(['backup']);
  expect(code).toBe(1);
  return stdout + stderr;
}

describe('through PgBouncer', () => {
  it('in session mode backups and restores work', async () => {
    await using server = await zoo();
    await using pooler = await pgbouncer(server.url, { pool_mode: 'session' });
    const content = await contentOf(server.database('zoo'));
    await using stack = await databaseStack([`url: ${pooler.database('zoo')}`]);
    await stack.holdfast('backup');
    await stack.holdfast('restore', '--into', 'copy', 'db');
    expect(await contentOf(server.database('copy'))).toBe(content);
    await psql(server.database('zoo'), 'delete from app.orders');
    await stack.holdfast('restore', '--yes', 'db');
    expect(await contentOf(server.database('zoo'))).toBe(content);
  });

  it('in transaction mode nothing is read, with few and with many processes of the server, idle and busy', async () => {
    await using server = await zoo();
    for (const more of [{}, { default_pool_size: '1' }, { server_round_robin: '1' }]) {
      await using pooler = await pgbouncer(server.url, { pool_mode: 'transaction', ...more });
      expect(await refusal(server, pooler.database('zoo'))).toContain('a pooler in transaction mode stands before the server');
    }
    await using pooler = await pgbouncer(server.url, { pool_mode: 'transaction' });
    await run('pgbench', ['-i', '-q', '-s', '1', server.database('zoo')]);
    const load = new AbortController();
    const busy = run('pgbench', ['-n', '-S', '-c', '8', '-T', '60', pooler.database('zoo')], { signal: load.signal }).catch(() => undefined);
    for (let turn = 0; turn < 3; turn++) expect(await refusal(server, pooler.database('zoo'))).toContain('a pooler in transaction mode stands before the server');
    load.abort();
    await busy;
  });

  it('in statement mode nothing is read', async () => {
    await using server = await zoo();
    await using pooler = await pgbouncer(server.url, { pool_mode: 'statement' });
    expect(await refusal(server, pooler.database('zoo'))).toContain('a pooler in statement mode stands before the server');
  });

  it('with a pool that is too small for a second session, it is told after a while', async () => {
    await using server = await zoo();
    await using pooler = await pgbouncer(server.url, { pool_mode: 'session', default_pool_size: '1' });
    expect(await refusal(server, pooler.database('zoo'))).toMatch(/gave no second session within 15 s\.[\s\S]*default_pool_size/);
  });
});

it('port 6543 of Supabase is refused without a connection', async () => {
  await using server = await zoo();
  const said = await refusal(server, 'postgres://postgres.abc@aws-0-eu-central-1.pooler.supabase.com:6543/postgres');
  expect(said).toMatch(/port 6543 of Supabase is a pooler in transaction mode[\s\S]*Use port 5432/);
});
