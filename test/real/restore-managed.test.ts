import { expect, it } from 'vitest';
import { databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres } from '../fixture/postgres-server.ts';

/** As a hosting service lays it out: `auth` belongs to the service, `public` to the user, and each refers to the other. */
const hosted = (columns: string): string => `create role app login; create role auth_admin nologin; alter database hosted owner to app;
create schema auth authorization auth_admin; set role auth_admin; create table auth.users (${columns}); create table auth.identities (id int primary key, who int references auth.users on delete cascade);
create table auth.secret (a int); create function auth.uid() returns int language sql as 'select 1'; grant usage on schema auth to app; grant all on auth.users, auth.identities to app; grant all on function auth.uid() to app;
set role app; create table public.profile (id int primary key references auth.users, name text);
create function public.new_user() returns trigger language plpgsql as $$ begin insert into public.profile values (new.id, 'new'); return new; end $$;
create trigger new_user after insert on auth.users for each row execute function public.new_user();`;

it('schemas of somebody else keep their objects, and get the rows that we may write; ours come back whole', async () => {
  await using source = await debianPostgres();
  await using target = await debianPostgres();
  for (const server of [source, target]) await psql(server.url, 'create database hosted');
  await psql(source.database('hosted'), hosted('id int primary key, email text, gone text'));
  await psql(source.database('hosted'), `insert into auth.users values (1, 'a', 'x'), (2, 'b', 'y'); insert into auth.identities values (7, 1); insert into auth.secret values (1)`);
  await psql(target.database('hosted'), hosted('id int primary key, email text, later int default 5'));
  await psql(target.database('hosted'), `insert into auth.users values (9, 'old'); insert into auth.secret values (99)`);
  await using stack = await databaseStack([`url: ${source.database('hosted')}`]);
  await stack.holdfast('backup');
  await stack.configure([`url: ${target.database('hosted').replace(/\/\/[^@/]*@/, '//app@')}`]);
  const plan = await stack.holdfast('restore', '--dry-run', '--clean');
  expect(plan.stdout).toContain('schema auth: it belongs to auth_admin on the target');
  const { stdout } = await stack.holdfast('restore', '--yes', '--clean');
  expect(stdout).toMatch(/auth\.secret: permission denied/);
  expect(await psql(target.database('hosted'), 'select * from auth.users order by 1')).toBe('1|a|5\n2|b|5\n');
  expect(await psql(target.database('hosted'), 'select * from auth.identities')).toBe('7|1\n');
  expect(await psql(target.database('hosted'), 'select * from auth.secret')).toBe('99\n');
  expect(await psql(target.database('hosted'), 'select id, name from profile order by 1')).toBe('1|new\n2|new\n');
  expect(await psql(target.database('hosted'), `insert into auth.users values (3, 'c'); select count(*) from profile`)).toBe('3\n');
});
