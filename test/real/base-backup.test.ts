/** Whole servers of every major version: backed up while they run, restored to folders, started there. */
import { chown, mkdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sleep } from '../../src/base/clock.ts';
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
  if (major >= 14) expect(await psql(restored.url('postgres'), `select c.oid::regclass, v.* from pg_class c, verify_heapam(c.oid) v where c.relkind in ('r', 't', 'm') and c.relpersistence = 'p'`)).toBe('');
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

test('configuration outside the data directory comes along, and the copy gets one that does not reach into the live server', async () => {
  await using outside = await tablespaceFolder();
  await using first = await debianPostgres();
  const data = (await psql(first.url, 'show data_directory')).trim();
  await first.stop();
  await run('sh', ['-c', `mv ${data}/postgresql.conf ${data}/pg_hba.conf ${data}/pg_ident.conf ${outside.folder}`]);
  await run('sh', ['-c', `echo "data_directory = '${data}'" >> ${outside.path('postgresql.conf')}; echo 'max_connections = 77' >> ${outside.path('postgresql.conf')}`]);
  const [config_file, hba_file, ident_file] = ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'].map((name) => outside.path(name));
  await using server = await startRestored(data, 15, { config_file: config_file ?? '', hba_file: hba_file ?? '', ident_file: ident_file ?? '' });
  await using stack = await databaseStack([`url: ${server.url('postgres')}`, 'physical: true']);
  await stack.holdfast('backup');
  expect((await stack.holdfast('ls', 'db', `/db/config${outside.folder}`)).stdout).toMatch(/pg_hba\.conf[\s\S]*pg_ident\.conf[\s\S]*postgresql\.conf/);
  await stack.holdfast('restore', 'db', '--into', stack.path('data'));
  await run(join(DEBIAN_POSTGRES, 'pg_verifybackup'), [stack.path('data')]);
  await using restored = await startRestored(stack.path('data'), 15);
  expect(await psql(restored.url('postgres'), `select name, setting from pg_settings where name in ('data_directory', 'max_connections') order by 1`)).toBe(`data_directory|${stack.path('data')}\nmax_connections|77\n`);
}, 60_000);

test('a server that goes away in the middle leaves no snapshot', async () => {
  await using server = await debianPostgres();
  await using stack = await clusterStack(server);
  await psql(server.url, FILL);
  await stack.configure([`url: ${server.url}`, 'physical: { max-rate: 1M }']);
  const backup = stack.attempt(['backup', '--json']);
  await until(async () => (await psql(server.url, 'select count(*) from pg_stat_progress_basebackup where backup_streamed > 0')) === '1\n');
  await server.stop();
  const outcome = await backup;
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toContain('source-failed');
  expect((await stack.attempt(['snapshots'])).stdout).toContain('holds no snapshots yet');
}, 60_000);

test('a damaged page of the server is named, and nothing is recorded', async () => {
  await using server = await postgresOf(18);
  await using stack = await clusterStack(server);
  await psql(server.url, `${FILL} checkpoint;`);
  const [data = '', file = ''] = (await psql(server.url, `select current_setting('data_directory'); select pg_relation_filepath('t')`)).split('\n');
  await run('dd', ['if=/dev/urandom', `of=${join(data, file)}`, 'bs=100', 'count=1', 'seek=1000', 'conv=notrunc']);
  const backup = await stack.attempt(['backup']);
  expect(backup.code).toBe(1);
  expect(backup.stdout).toContain('the server has found damaged pages in its own files');
  expect(backup.stdout).toContain(file);
  expect((await stack.attempt(['snapshots'])).stdout).toContain('holds no snapshots yet');
}, 60_000);

test('an unchanged server costs next to nothing the second time', async () => {
  await using server = await debianPostgres();
  await using stack = await clusterStack(server);
  await psql(server.url, FILL);
  interface Report { readonly stores: readonly { readonly bytesRead: number; readonly bytesStored: number }[] }
  await stack.holdfast('backup');
  const second = JSON.parse((await stack.holdfast('backup', '--json')).stdout) as Report;
  const [store] = second.stores;
  expect(store?.bytesStored).toBeLessThan((store?.bytesRead ?? 0) / 100);
}, 60_000);

async function until(met: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await met()) return;
    await sleep(50);
  }
  throw new Error('it did not come to pass');
}
