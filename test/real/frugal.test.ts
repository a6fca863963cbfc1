import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { contentOf, databaseStack, psql, type DatabaseStack } from '../fixture/database-stack.ts';
import { debianPostgres, postgresOf } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';

interface StoreAnswer {
  readonly traffic: { readonly received: number; readonly sent: number };
  readonly state: string;
}

async function backup(stack: DatabaseStack, ...options: readonly string[]): Promise<StoreAnswer> {
  const answer = JSON.parse((await stack.holdfast('backup', '--json', ...options)).stdout) as { stores: StoreAnswer[] };
  const [store] = answer.stores;
  if (store === undefined) throw new Error('no store');
  return store;
}

describe.each([12, 15, 18] as const)('a database of 200 tables on PostgreSQL %i, of which two changed', (major) => {
  it('is backed up with a twentieth of its bytes, and comes back equal', async () => {
    await using server = await postgresOf(major);
    await psql(server.url, 'create database many');
    const url = server.database('many');
    await psql(url, `select format('create table t%s (id int primary key, t text); insert into t%s select i, md5(i::text || %L) || repeat(md5((i * 7)::text), 3) from generate_series(1, 2500) i;', n, n, n) from generate_series(1, 200) n \\gexec`);
    await using stack = await databaseStack([`url: ${url}`]);
    const whole = await backup(stack);
    const first = await backup(stack, '--frugal');
    expect(first.traffic.received).toBeGreaterThan(whole.traffic.received * 0.95);
    const still = await backup(stack, '--frugal');
    expect(still.traffic.received).toBeLessThan(whole.traffic.received * 0.02);
    await psql(url, `update t5 set t = 'changed' where id = 77; insert into t7 select i, 'new' from generate_series(5000, 5100) i;`);
    const changed = await backup(stack, '--frugal');
    expect(changed.traffic.received).toBeLessThan(whole.traffic.received * 0.05);
    const before = await contentOf(url);
    await stack.holdfast('verify');
    await stack.holdfast('restore', '--into', 'many_copy');
    expect(await contentOf(server.database('many_copy'))).toBe(before);
    const journal = (await readFile(stack.path('state', 'holdfast', 'traffic.jsonl'), 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line) as { received: number });
    expect(journal.map(({ received }) => received)).toEqual([whole, first, still, changed].map(({ traffic }) => traffic.received));
  });
});

describe('frugal backups of a changing database', () => {
  it('come back as it was at one moment: the books of pgbench balance', async () => {
    await using server = await debianPostgres();
    await psql(server.url, 'create database bench');
    const url = server.database('bench');
    await run('pgbench', ['-i', '-q', '-s', '5', url]);
    await using stack = await databaseStack([`url: ${url}`]);
    await backup(stack, '--frugal');
    for (let round = 1; round <= 3; round++) {
      await using stop = new AsyncDisposableStack();
      const load = new AbortController();
      const ended = run('pgbench', ['-n', '-c', '2', '-T', '600', url], { signal: load.signal }).catch(() => undefined);
      stop.defer(async () => {
        load.abort();
        await ended;
      });
      await backup(stack, '--frugal');
      await stack.holdfast('restore', '--into', `copy${round}`);
      // Every transaction of pgbench adds the same amount to an account, a teller, a branch and the history; -n leaves the history of earlier rounds.
      const sums = `select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history);`;
      const [accounts, ...others] = (await psql(server.database(`copy${round}`), sums)).trim().split('|');
      expect(others).toEqual([accounts, accounts, accounts]);
    }
  });
});

describe('plans of databases', () => {
  it('may be of the schema alone, of a group of tables, and frugal', async () => {
    await using server = await debianPostgres();
    await psql(server.url, 'create database shop');
    const url = server.database('shop');
    await psql(url, `create table users (id int primary key); insert into users select generate_series(1, 1000); create table logs (t text); insert into logs select md5(i::text) from generate_series(1, 50000) i;`);
    await using stack = await databaseStack([`url: ${url}`, 'tables: { critical: [public.users] }']);
    const plans = ['plans:', '  schema: { stores: all, to: [local], only: schema }', '  hourly: { stores: all, to: [local], tables: critical, frugal: true }', '  daily: { stores: all, to: [local], frugal: true }', ''];
    await writeFile(stack.path('holdfast.yaml'), `${await readFile(stack.path('holdfast.yaml'), 'utf8')}${plans.join('\n')}`);
    await stack.holdfast('backup', '--plan', 'daily');
    await stack.holdfast('backup', '--plan', 'schema');
    await stack.holdfast('backup', '--plan', 'hourly');
    const hourly = await backup(stack, '--plan', 'hourly');
    expect(hourly.traffic.received).toBeLessThan((await backup(stack, '--plan', 'daily')).traffic.received * 2);
    const shown = (await stack.holdfast('snapshots')).stdout;
    expect(shown).toMatch(/db +schema only +ok/);
    expect(shown.match(/db +tables critical +ok/g)).toHaveLength(2);
    await stack.holdfast('verify', '--all-unverified');
    const groups = JSON.parse((await stack.holdfast('forget', '--dry-run', '--keep-last', '1', '--json')).stdout) as { groups: { part?: string; snapshots: { keep: boolean }[] }[] };
    expect(groups.groups.map(({ part, snapshots }) => [part?.replace(/-.*/, ''), snapshots.length])).toEqual([[undefined, 2], ['schema', 1], ['tables', 2]]);
    // The newest snapshot is of a part; the whole comes from the one before.
    await psql(url, 'drop table logs');
    await stack.holdfast('backup', '--plan', 'hourly');
    await stack.holdfast('restore', '--into', 'shop_copy');
    expect((await psql(server.database('shop_copy'), 'select count(*) from logs')).trim()).toBe('50000');
  });

  it('name a group that a store defines', async () => {
    await using stack = await databaseStack(['url: postgres://nobody@127.0.0.1:1/none', 'tables: { critical: [public.users] }']);
    await writeFile(stack.path('holdfast.yaml'), `${await readFile(stack.path('holdfast.yaml'), 'utf8')}plans:\n  hourly: { stores: all, to: [local], tables: critcal }\n`);
    const refused = await stack.attempt(['backup', '--plan', 'hourly']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('plans.hourly.tables: no store has a group of tables "critcal"; did you mean "critical"?');
  });
});
