/** Whole servers of every major version: backed up while they run, restored to folders, started there. */
import { chown, mkdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { unprivileged } from '../../src/client/postgres/programs.ts';
import { contentOf, databaseStack, psql, type DatabaseStack } from '../fixture/database-stack.ts';
import { DEBIAN_POSTGRES, debianPostgres, MAJORS, postgresOf, type TestServer } from '../fixture/postgres-server.ts';
import { startRestored } from '../fixture/restored-server.ts';
import { run } from '../fixture/run.ts';
import { scratch, type Scratch } from '../fixture/scratch.ts';

const FILL = `create table t (id int primary key, v text);
insert into t select g, repeat(md5(g::text), 6) from generate_series(1, 30000) g;
create sequence s start 7; select nextval('s');
create database other;`;

async function clusterStack(server: TestServer, lines: readonly string[] = []): Promise<DatabaseStack> {
  return await databaseStack([`url: ${server.url}`, 'physical: true', ...lines]);
}

/** A folder that the server's user may write to. */
async function tablespaceFolder(): Promise<Scratch> {
  const place = await scratch('tablespace');
  const { uid, gid } = await unprivileged();
  if (uid !== undefined && gid !== undefined) await chown(place.folder, uid, gid);
  return place;
}

test.each(MAJORS)('a server of version %i with a tablespace comes back, and starts', async (major) => {
  await using server = await postgresOf(major);
  await using space = await tablespaceFolder();
  await using stack = await clusterStack(server);
  await psql(server.url, FILL);
  await psql(server.url, `create tablespace fast location '${space.folder}'`);
  await psql(server.url, 'create table apart (v text) tablespace fast; insert into apart select md5(g::text) from generate_series(1, 5000) g;');
  const before = await contentOf(server.url);
  await stack.holdfast('backup');
  await psql(server.url, 'drop table apart; truncate t;');
  await stack.holdfast('restore', 'db', '--into', stack.path('data'));
  const link = await readlink(join(stack.path('data', 'pg_tblspc'), (await psql(server.url, `select oid from pg_tablespace where spcname = 'fast'`)).trim()));
  expect(link).toBe(stack.path('data-tablespaces', 'fast'));
  if (major === 15) expect((await run(join(DEBIAN_POSTGRES, 'pg_verifybackup'), [stack.path('data')])).stdout).toContain('successfully verified');
  await stack.holdfast('verify', 'db');
  await using restored = await startRestored(stack.path('data'), major);
  expect(await contentOf(restored.url('postgres'))).toBe(before);
  expect(await psql(restored.url('postgres'), 'create extension amcheck; select bt_index_check(c.oid, true) from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam where a.amname = \'btree\' and c.relpersistence <> \'t\' and i.indisready')).toMatch(/^\n*$/);
}, 120_000);

test('a tablespace goes where it is told to', async () => {
  await using server = await debianPostgres();
  await using space = await tablespaceFolder();
  await using stack = await clusterStack(server);
  await psql(server.url, `create tablespace fast location '${space.folder}'`);
  await psql(server.url, 'create table apart (v text) tablespace fast; insert into apart values (1);');
  await stack.holdfast('backup');
  const wrong = await stack.attempt(['restore', 'db', '--into', stack.path('out'), '--tablespace', 'slow=/nowhere']);
  expect(wrong).toMatchObject({ code: 2 });
  expect(wrong.stderr).toContain('the backup has no tablespace slow');
  await mkdir(stack.path('disk'));
  await stack.holdfast('restore', 'db', '--into', stack.path('out'), '--tablespace', `fast=${stack.path('disk', 'two')}`);
  await stat(stack.path('disk', 'two'));
  await using restored = await startRestored(stack.path('out'), 15);
  expect(await psql(restored.url('postgres'), 'select v from apart')).toBe('1\n');
}, 60_000);

test('a user that may replicate needs no line for replication in pg_hba.conf, and one that may not is told what to do', async () => {
  await using server = await debianPostgres();
  await psql(server.url, `create role rep login replication; create role app login;`);
  const hba = (await psql(server.url, 'show hba_file')).trim();
  await run('sh', ['-c', `printf 'local all all trust\\nhost all all 127.0.0.1/32 trust\\n' > ${hba}`]);
  await psql(server.url, 'select pg_reload_conf()');
  const as = (user: string): string => server.url.replace('postgres@', `${user}@`);
  await using stack = await databaseStack([`url: ${as('rep')}`, 'physical: true']);
  await stack.holdfast('backup');
  await stack.holdfast('restore', 'db', '--into', stack.path('out'));
  await run(join(DEBIAN_POSTGRES, 'pg_verifybackup'), [stack.path('out')]);
  await stack.configure([`url: ${as('app')}`, 'physical: true']);
  const refused = await stack.attempt(['backup']);
  expect(refused.code).toBe(1);
  expect(refused.stdout + refused.stderr).toContain('ALTER ROLE "app" REPLICATION');
}, 60_000);
