import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { HOLDFAST } from '../fixture/holdfast.ts';
import { debianPostgres } from '../fixture/postgres-server.ts';

const BIG = `create table big as select i, repeat('x', 200) || i as t from generate_series(1, 400000) i; alter table big add primary key (i); create table small as select 1 as a`;

it.each([['into its place', []], ['with --clean', ['--clean']], ['of rows', ['--data-only', '--clean', '--table', 'big']]])('a restore %s that is killed in the middle leaves the database as it was', async (_, options) => {
  await using server = await debianPostgres();
  await psql(server.url, 'create database shop');
  await psql(server.database('shop'), BIG);
  await using stack = await databaseStack([`url: ${server.database('shop')}`]);
  await stack.holdfast('backup');
  await psql(server.database('shop'), `update big set t = 'mine' where i < 10; insert into small values (2)`);
  const before = await contentOf(server.database('shop'));
  const child = spawn(HOLDFAST, ['restore', '--yes', ...options], { cwd: stack.folder, stdio: 'ignore' });
  const loading = `select count(*) from pg_stat_activity where application_name = 'holdfast' and query like 'COPY%big%FROM STDIN%' and state = 'active'`;
  while ((await psql(server.url, loading)) === '0\n') expect(child.exitCode).toBeNull();
  child.kill('SIGKILL');
  await once(child, 'exit');
  // The server notices the end of its sessions by itself, and undoes what they had begun.
  while ((await psql(server.url, `select count(*) from pg_stat_activity where application_name = 'holdfast'`)) !== '0\n');
  expect(await contentOf(server.database('shop'))).toBe(before);
  const left = await psql(server.url, `select datname from pg_database where datname like 'shop_holdfast_new%'`);
  const plan = await stack.holdfast('restore', '--dry-run');
  if (options.length === 0) expect(plan.stdout).toContain(`database ${left.trim()}: a restore that did not come to its end has left it`);
  else expect(left).toBe('');
  await stack.holdfast('restore', '--yes', ...options);
  expect(await psql(server.database('shop'), `select count(*) from big where t = 'mine'`)).toBe('0\n');
});
