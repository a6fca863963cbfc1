import { describe, expect, it } from 'vitest';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres, postgresOf } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';
import { standbyOf } from '../fixture/standby.ts';

interface Report {
  readonly stores: readonly { readonly state: string; readonly counts: Readonly<Record<string, number>>; readonly problems: readonly { readonly subject: string; readonly kind: string }[]; readonly error?: { readonly message: string; readonly hint: string } }[];
}

describe('a store of many databases', () => {
  it('finds new ones by pattern, tells those that vanished, refuses names that are not there, and leaves out what it may', async () => {
    await using server = await debianPostgres();
    for (const name of ['target_1', 'target_2', 'Target 3', 'other']) {
      await psql(server.url, `create database "${name}"`);
      await psql(server.database(name), 'create table t as select 1 as a');
    }
    const settings = (databases: string): string[] => [`url: ${server.url}`, `databases: ${databases}`];
    await using stack = await databaseStack(settings('["target_*", other]'));
    const backup = async (): Promise<{ code: number | undefined; store: Report['stores'][number] | undefined }> => {
      const { code, stdout } = await stack.attempt(['backup', '--json']);
      const [store] = (JSON.parse(stdout) as Report).stores;
      return { code, store };
    };
    expect(await backup()).toMatchObject({ code: 0, store: { state: 'ok', counts: { databases: 3 } } });

    await psql(server.url, 'create database target_9; drop database target_1');
    expect(await backup()).toMatchObject({ code: 3, store: { state: 'degraded', counts: { databases: 3 }, problems: [{ subject: 'database target_1', kind: 'vanished' }] } });

    await stack.configure(settings('["target_*", "!target_2"]'));
    expect(await backup()).toMatchObject({ code: 0, store: { state: 'ok', problems: [], counts: { databases: 1 } } });

    await stack.configure(settings('["*"]'));
    expect(await backup()).toMatchObject({ code: 0, store: { state: 'ok', counts: { databases: 5 } } });

    await stack.configure(settings('[other, gone, lost]'));
    expect((await stack.attempt(['backup'])).stdout).toMatch(/There are no databases gone, lost on the server[\s\S]*The server has: Target 3, other, postgres, target_2, target_9\./);
  });

  it('takes one session for each database and a few more, also where the server has not many to give', async () => {
    await using server = await debianPostgres({ max_connections: '24' });
    const names = Array.from({ length: 12 }, (_, n) => `many_${n}`);
    await psql(server.url, names.map((name) => `create database ${name};`).join('\n'));
    for (const name of names) await psql(server.database(name), 'create table a as select 1 as i; create table b as select 2 as i;');
    await using stack = await databaseStack([`url: ${server.url}`, 'databases: ["many_*"]']);
    const { stdout } = await stack.attempt(['backup', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ stores: [{ state: 'ok', counts: { databases: 12, tables: 24, rows: 24 } }] });
  });

  it('tells all rights that are missing in all its databases, as a script that psql runs', async () => {
    await using server = await postgresOf(13);
    await psql(server.url, 'create role keeper login; create role boss; create database one; create database "Two"; create database shut; revoke connect on database shut from public');
    await psql(server.database('one'), `create schema hidden; create table hidden.a (i int); create table b (i serial); create table c (i int); alter table c enable row level security;
      select lo_create(n) from generate_series(100, 110) n; grant select on b to keeper;`);
    await psql(server.database('Two'), `create schema app; ${Array.from({ length: 9 }, (_, n) => `create table app.t${n} (i int);`).join('')} create role "strange 'name" login;`);
    await psql(server.database('shut'), 'create table t (i int)');
    await using stack = await databaseStack([`url: ${server.url}`, 'databases: ["*"]']);
    for (const user of ['keeper', `strange 'name`]) {
      await stack.configure([`url: ${server.url.replace('postgres@', `${encodeURIComponent(user)}@`)}`, 'databases: ["*", "!postgres"]']);
      const scripts: string[] = [];
      // The first time says what it could not look at; after that nothing may be missing.
      for (let turn = 0; turn < 2; turn++) {
        const { code, stdout, stderr } = await stack.attempt(['backup']);
        expect(code).toBe(1);
        scripts.push(stdout + stderr);
        const [, script = ''] = /Run with psql as a superuser:\n((?: {4}.*\n)+)/.exec(stdout + stderr) ?? [];
        await psql(server.url, script);
      }
      expect(scripts[0]).toContain('could not be looked at');
      expect(scripts[0]).toContain('GRANT SELECT ON ALL TABLES IN SCHEMA "app"');
      expect(scripts[1]).toContain(`${user} may not read all of the database shut`);
      await stack.holdfast('backup');
    }
  }, 120_000);
});

describe('what belongs to the server', () => {
  it('is left out of a backup with globals: false', async () => {
    await using server = await postgresOf(18);
    await psql(server.url, 'create role mine; create table t (i int)');
    await using stack = await databaseStack([`url: ${server.url}`, 'globals: false']);
    await stack.holdfast('backup');
    expect((await stack.holdfast('ls', 'latest', '/db')).stdout).not.toContain('globals');
    await psql(server.url, 'drop role mine');
    await stack.holdfast('restore', '--into', 'copy', 'db');
    expect(await psql(server.url, `select count(*) from pg_roles where rolname = 'mine'`)).toBe('0\n');
  });

  it('is written as a script that psql runs on a new server of the same or a newer version, also by a user without rights', async () => {
    const ROLES = String.raw`create role admin_a createrole; create role team; create role "Odd ""name""" login password 'p''w\' valid until '2030-01-01' connection limit 3; create role keeper login;
      grant team to admin_a with admin option; set role admin_a; grant team to "Odd ""name"""; reset role; alter role team set work_mem to '7MB'; alter role team set search_path to a, "B c"; alter role team set my.own to E'x\ny';
      comment on role team is E'two\nlines'; grant pg_read_all_settings to keeper;`;
    for (const [from, to, more] of [[13, 15, `alter role team set operator_precedence_warning to on;`], [16, 18, 'grant set on parameter log_min_messages to team; grant team to keeper with inherit false, set true, admin false;']] as const) {
      await using server = await postgresOf(from);
      await using fresh = await postgresOf(to);
      await psql(server.url, `${ROLES} ${more} create table t (i int)`);
      await using stack = await databaseStack([`url: ${server.url}`]);
      for (const user of ['postgres', 'keeper']) {
        await stack.configure([`url: ${server.url.replace('postgres@', `${user}@`)}`]);
        await psql(server.url, 'grant select on t to keeper');
        await stack.holdfast('backup');
        const script = (await stack.holdfast('cat', 'file', 'latest', '/db/globals.sql')).stdout;
        const said = await run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', fresh.url], { input: script });
        if (from === 13) expect(said.stderr).toContain('WARNING:  this server has no setting operator_precedence_warning, which the role team had');
        else expect(said.stderr).toBe('');
        const facts = `select rolname, rolcreaterole, rolcanlogin, rolconnlimit, rolvaliduntil, array_remove(rolconfig, 'operator_precedence_warning=on'), shobj_description(oid, 'pg_authid') from pg_roles where rolname !~ '^pg_' order by 1;
          select r.rolname, m.rolname, admin_option ${from >= 16 ? ', g.rolname, inherit_option, set_option' : ''} from pg_auth_members a join pg_roles r on r.oid = roleid join pg_roles m on m.oid = member left join pg_roles g on g.oid = grantor
          where m.rolname !~ '^pg_' order by 1, 2, 3;`;
        expect(await psql(fresh.url, facts)).toBe(await psql(server.url, facts));
        if (from === 16) expect(await psql(fresh.url, `select has_parameter_privilege('team', 'log_min_messages', 'SET')`)).toBe('t\n');
        const password = `select rolpassword from pg_authid where rolname = 'Odd "name"'`;
        expect(await psql(fresh.url, password)).toBe(user === 'postgres' ? await psql(server.url, password) : '\n');
        await psql(fresh.url, `drop owned by team; drop role "Odd ""name"""; drop role admin_a, team, keeper;`);
      }
    }
  }, 120_000);
});

describe('a standby', () => {
  it('is backed up, chosen by its kind out of several hosts, without the unlogged tables that it has no rows of', async () => {
    await using primary = await debianPostgres();
    await psql(primary.url, 'create table t as select generate_series(1, 1000) as a; create sequence s; select nextval(\'s\'); select lo_from_bytea(5, \'\\x0102\')');
    const content = await contentOf(primary.url);
    await psql(primary.url, 'create unlogged table u as select 1 as a');
    await using standby = await standbyOf(primary.url);
    const [first, second] = [primary.url, standby.url].map((url) => new URL(url).host);
    await using stack = await databaseStack([`url: "postgres://postgres@${first},${second}/postgres?target_session_attrs=standby"`]);
    const { stdout } = await stack.attempt(['backup', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ stores: [{ state: 'ok', counts: { tables: 1, rows: 1000 } }] });
    const manifest = (await stack.holdfast('cat', 'file', 'latest', '/manifest.json')).stdout;
    expect(manifest).toContain('unlogged table: a standby has no rows of it');
    await stack.configure([`url: ${primary.url}`]);
    await stack.holdfast('restore', '--into', 'copy', 'db');
    await psql(primary.database('copy'), 'drop table u');
    expect(await contentOf(primary.database('copy'))).toBe(content);
  });
});
