import { expect, it } from 'vitest';
import { databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres } from '../fixture/postgres-server.ts';

const SHOP = `create table person (id serial primary key, name text); create table sale (id int primary key, amount int);
insert into person (name) select 'p' || i from generate_series(1, 50) i; insert into sale select i, i from generate_series(1, 300) i;`;

it('the newest snapshot that holds what is asked for answers, be it of a part; groups of holdfast.yaml are chosen by name', async () => {
  await using server = await debianPostgres();
  const url = server.database('shop');
  await psql(server.url, 'create database shop');
  await psql(url, SHOP);
  await using stack = await databaseStack([`url: ${url}`, 'tables: { selling: ["public.sale"] }']);
  await stack.holdfast('backup');
  await psql(url, 'delete from sale where id > 100');
  await stack.holdfast('backup', '--tables', 'selling');
  await psql(url, 'delete from sale; update person set name = null');

  expect((await stack.holdfast('restore', '--table', 'sale', '--dry-run')).stdout).not.toContain('only a part');
  expect((await stack.holdfast('restore', '--tables', 'selling', '--dry-run')).stdout).toContain('which holds only a part');
  await stack.holdfast('restore', '--tables', 'selling', '--data-only');
  expect(await psql(url, 'select count(*) from sale')).toBe('100\n');
  await stack.holdfast('restore', '--table', 'public.person', '--yes');
  expect(await psql(url, 'select count(name) from person')).toBe('50\n');

  const part = (JSON.parse((await stack.holdfast('snapshots', '--json')).stdout) as { id: string }[]).at(-1);
  const whole = await stack.attempt(['restore', '--snapshot', part?.id ?? '', '--yes']);
  expect(whole.stderr).toContain('holds only some tables: public.sale');
  const lost = await stack.attempt(['restore', '--table', 'public.nothing', '--yes']);
  expect(lost.stderr).toContain('The snapshot holds no table public.nothing');
});

it('rows are not replaced under the hands of another session, which is told', async () => {
  await using server = await debianPostgres();
  const url = server.database('shop');
  await psql(server.url, 'create database shop');
  await psql(url, SHOP);
  await using stack = await databaseStack([`url: ${url}`]);
  await stack.holdfast('backup');
  const busy = psql(url, 'begin; select count(*) from sale; select pg_sleep(60); commit').catch(() => '');
  while ((await psql(server.url, `select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid() and state = 'active'`)) === '0\n');
  const refused = await stack.attempt(['restore', '--table', 'public.sale', '--data-only', '--clean', '--yes']);
  expect(refused.stderr).toContain('Other sessions have used the tables of shop');
  expect(refused.code).toBe(1);
  await psql(server.url, `select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`);
  await busy;
  expect(await psql(url, 'select count(*) from sale')).toBe('300\n');
}, 180_000);
