import { describe, expect, it } from 'vitest';
import { SMALL_ZOO } from '../fixture/small-zoo.ts';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres, embeddedPostgres, type TestServer } from '../fixture/postgres-server.ts';

/** A server whose users log in without a password. */
async function zooServer(start: () => Promise<TestServer>): Promise<TestServer> {
  const server = await start();
  await psql(server.url, 'create database zoo');
  await psql(server.database('zoo'), SMALL_ZOO);
  return server;
}

const as = (url: string, user: string): string => url.replace(/\/\/[^@/]*@/, `//${user}@`);

describe.each([
  { version: '15', start: debianPostgres },
  { version: '18', start: embeddedPostgres },
])('a restore on PostgreSQL $version', ({ start }) => {
  it('by a role that is no superuser makes what it may, gives the rest to itself, and tells it', async () => {
    await using source = await zooServer(start);
    await using target = await start();
    await psql(target.url, `create role plain login createdb; create role "Zoo Owner"; create role zoo_group; create role zoo_reader`);
    await using stack = await databaseStack([`url: ${source.database('zoo')}`]);
    await stack.holdfast('backup');
    await stack.configure([`url: ${as(target.database('zoo'), 'plain')}`]);
    const plan = await stack.holdfast('restore', '--dry-run');
    expect(plan.stdout).toContain('owner Zoo Owner: to plain, because plain may not act as Zoo Owner');
    const { stdout } = await stack.holdfast('restore', '--yes');
    expect(stdout).toContain('could not be given back');
    expect(stdout).toMatch(/table app\.orders: owned by plain and not by Zoo Owner/);
    expect(await contentOf(target.database('zoo'))).toBe(await contentOf(source.database('zoo')));
    expect(await psql(target.database('zoo'), `select tableowner from pg_tables where schemaname = 'app' group by 1`)).toBe('plain\n');
    expect(await psql(target.database('zoo'), `select polname, polroles::regrole[] from pg_policy`)).toBe('own|{zoo_reader}\n');
  });

  it('without the roles names all of them at once, before anything is made', async () => {
    await using source = await zooServer(start);
    await using target = await start();
    await psql(target.url, 'create role plain login createdb');
    await using stack = await databaseStack([`url: ${source.database('zoo')}`]);
    await stack.holdfast('backup');
    await stack.configure([`url: ${as(target.database('zoo'), 'plain')}`]);
    const refused = await stack.attempt(['restore', '--yes']);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/3 things[\s\S]*role Zoo Owner does not exist[\s\S]*role zoo_group[\s\S]*role zoo_reader[\s\S]*--no-roles/);
    expect(await psql(target.url, 'select datname from pg_database where not datistemplate')).toBe('postgres\n');
    const mapped = await stack.holdfast('restore', '--yes', '--map-role', 'Zoo Owner=plain', '--map-role', 'zoo_reader=plain', '--no-roles');
    expect(mapped.stdout).not.toContain('could not be given back as it was');
    expect(await psql(target.database('zoo'), `select polname, polroles::regrole[] from pg_policy`)).toBe('own|{plain}\n');
    expect(await contentOf(target.database('zoo'))).toBe(await contentOf(source.database('zoo')));
  });

  it('by a role that may create roles makes those that are missing, and an owner comes back', async () => {
    await using source = await zooServer(start);
    await using target = await start();
    await psql(target.url, 'create role maker login createdb createrole');
    await using stack = await databaseStack([`url: ${source.database('zoo')}`]);
    await stack.holdfast('backup');
    await stack.configure([`url: ${as(target.database('zoo'), 'maker')}`]);
    await stack.holdfast('restore', '--yes');
    expect(await psql(target.database('zoo'), `select distinct tableowner from pg_tables where schemaname = 'app'`)).toBe('"Zoo Owner"\n'.replaceAll('"', ''));
    expect(await contentOf(target.database('zoo'))).toBe(await contentOf(source.database('zoo')));
  });

  it('into an empty database by a role that may not create one', async () => {
    await using source = await zooServer(start);
    await using target = await start();
    await psql(target.url, 'create role poor login; create database given owner poor');
    await using stack = await databaseStack([`url: ${source.database('zoo')}`]);
    await stack.holdfast('backup');
    await stack.configure([`url: ${as(target.database('zoo'), 'poor')}`]);
    const refused = await stack.attempt(['restore', '--yes', '--no-roles']);
    expect(refused.stderr).toContain('poor may not create databases');
    await stack.holdfast('restore', '--yes', '--no-roles', '--into-database', 'given');
    expect(await contentOf(target.database('given'))).toBe(await contentOf(source.database('zoo')));
    expect((await stack.attempt(['restore', '--yes', '--no-roles', '--into-database', 'given'])).stderr).toContain('is not empty');
  });
});

/** Extensions and what only superusers make, on Debian's server, which has extensions. */
const RICH = `create extension hstore; create extension citext; create extension pg_stat_statements;
create table needs (id int primary key, h hstore, c citext); create table plain (a int primary key references needs, b text); create index on needs using gin (h);
insert into needs values (1, 'a=>1', 'X'); insert into plain values (1, 'x');
create function leak(int) returns int language sql immutable leakproof as 'select $1';
create function hook() returns event_trigger language plpgsql as $$ begin end $$; create event trigger hook on ddl_command_end execute function hook();
create publication everything for all tables;`;

describe('extensions and what only superusers make', () => {
  it('are told before the first byte, left out as chosen, and everything else comes back', async () => {
    await using source = await debianPostgres();
    await using target = await embeddedPostgres();
    await psql(source.url, 'create database rich');
    await psql(source.database('rich'), RICH);
    await using stack = await databaseStack([`url: ${source.database('rich')}`]);
    await stack.holdfast('backup');
    await psql(target.url, 'create role plain login createdb');
    await stack.configure([`url: ${as(target.database('rich'), 'plain')}`]);
    const refused = await stack.attempt(['restore', '--yes', '--no-roles']);
    expect(refused.stderr).toContain('extension pg_stat_statements can be created by superusers only');
    expect(refused.stderr).toContain('--skip-extension pg_stat_statements');
    expect(refused.stderr).not.toContain('hstore');
    expect(await psql(target.url, 'select count(*) from pg_database')).toBe('3\n');
    const skip = ['hstore', 'citext', 'pg_stat_statements'].flatMap((name) => ['--skip-extension', name]);
    const plan = await stack.holdfast('restore', '--dry-run', '--no-roles', ...skip);
    expect(plan.stdout).toMatch(/leave out table public\.needs: it needs .*its rows are not restored/);
    expect(plan.stdout).toContain('event trigger hook: only superusers');
    const { stdout } = await stack.holdfast('restore', '--yes', '--no-roles', ...skip);
    expect(stdout).toMatch(/table public\.needs: 1 rows? (?:are|is) not restored/);
    expect(await psql(target.database('rich'), 'select * from plain')).toBe('1|x\n');
    expect(await psql(target.database('rich'), `select proleakproof from pg_proc where proname = 'leak'`)).toBe('f\n');
  });
});
