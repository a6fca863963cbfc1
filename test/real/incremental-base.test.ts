/** Base backups of servers that tell what has changed (17 and newer): a chain, of which every snapshot stands alone. */
import { chown, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { sleep } from '../../src/base/clock.ts';
import { unprivileged } from '../../src/client/postgres/programs.ts';
import { contentOf, databaseStack, psql, type DatabaseStack } from '../fixture/database-stack.ts';
import { postgresOf, type TestServer } from '../fixture/postgres-server.ts';
import { startRestored } from '../fixture/restored-server.ts';
import { run } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

const SUMMARIES = { summarize_wal: 'on', autovacuum: 'off' };

interface Backed {
  readonly snapshot: string;
  readonly parent: string | undefined;
  readonly whole: string | undefined;
  readonly received: number;
  readonly stored: number;
}

async function backUp(stack: DatabaseStack): Promise<Backed> {
  interface Report { readonly stores: readonly { readonly snapshot: string; readonly bytesStored: number }[] }
  const [store] = (JSON.parse((await stack.holdfast('backup', '--json')).stdout) as Report).stores;
  if (store === undefined) throw new Error('the report has no store');
  await stack.holdfast('restore', '--snapshot', store.snapshot, '--path', '/manifest.json', '--into', stack.path(store.snapshot));
  const manifest = JSON.parse(await readFile(stack.path(store.snapshot), 'utf8')) as { content: { traffic: { received: number }; detail: { parent?: string; whole?: string } } };
  const { parent, whole } = manifest.content.detail;
  return { snapshot: store.snapshot, parent, whole, received: manifest.content.traffic.received, stored: store.bytesStored };
}

const AMCHECK = `create extension amcheck;
select bt_index_check(c.oid, true) from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam where a.amname = 'btree' and c.relpersistence <> 't' and i.indisready;
select c.oid::regclass, v from pg_class c cross join lateral verify_heapam(c.oid) v where c.relkind in ('r', 't', 'm') and c.relpersistence = 'p';`;

/** The databases that a server has, with all that is in them. */
async function serverContent(url: (database: string) => string): Promise<string> {
  const names = (await psql(url('postgres'), 'select datname from pg_database where datallowconn and not datistemplate order by 1')).trim().split('\n');
  const parts: string[] = [];
  for (const name of names) parts.push(`${name}\n${await contentOf(url(name))}`);
  return parts.join('\n');
}

async function load(server: TestServer): Promise<void> {
  await run('pgbench', ['-n', '-c', '2', '-t', '300', server.database('bank')]);
}

/** What happens between one backup and the next. */
const CHANGES: readonly ((server: TestServer) => Promise<unknown>)[] = [
  async (server) => await psql(server.url, `update t set v = repeat(md5(v), 3) where id % 3000 = 0; create table fresh as select g from generate_series(1, 20000) g; insert into apart select g::text from generate_series(1, 3000) g; create index on apart (v);`),
  async (server) => await psql(server.url, 'delete from t where id > 20000; vacuum t; truncate cut; insert into cut values (1); drop table fresh; select nextval(\'s\');'),
  async (server) => {
    await psql(server.url, 'vacuum full t');
    await psql(server.url, 'drop database other');
    await psql(server.url, 'create database third');
    await psql(server.database('third'), 'create table here as select g from generate_series(1, 5000) g');
  },
  async (server) => await psql(server.url, `insert into t select g, repeat(md5(g::text), 6) from generate_series(40001, 60000) g; vacuum freeze t; insert into big select string_agg(md5((g * 1000 + h)::text), '') from generate_series(1, 50) g, generate_series(1, 1000) h group by g;`),
];

test.each([17, 18] as const)('a chain on a server of version %i: every snapshot comes back whole, and equal to what the server had', async (major) => {
  await using server = await postgresOf(major, SUMMARIES);
  await using space = await scratch('tablespace');
  const { uid, gid } = await unprivileged();
  if (uid !== undefined && gid !== undefined) await chown(space.folder, uid, gid);
  await using stack = await databaseStack([`url: ${server.url}`, 'physical: true']);
  await psql(server.url, `create table t (id int primary key, v text); insert into t select g, repeat(md5(g::text), 6) from generate_series(1, 30000) g;
    create table cut as select g from generate_series(1, 50000) g; create sequence s start 7; create table big (v text);`);
  for (const sql of ['create database other', 'create database bank', `create tablespace fast location '${space.folder}'`, 'create table apart (v text) tablespace fast']) await psql(server.url, sql);
  await run('pgbench', ['-i', '-q', '-s', '3', server.database('bank')]);
  const chain = [{ ...(await backUp(stack)), content: await serverContent(server.database) }];
  for (const change of CHANGES) {
    await change(server);
    await load(server);
    chain.push({ ...(await backUp(stack)), content: await serverContent(server.database) });
  }
  expect(chain.map(({ parent }) => parent)).toEqual([undefined, ...chain.slice(0, -1).map(({ snapshot }) => snapshot)]);
  await stack.holdfast('verify', '--all-unverified');
  for (const [i, { snapshot, content }] of chain.entries()) {
    const data = stack.path(`data${i}`);
    await stack.holdfast('restore', 'db', '--snapshot', snapshot, '--into', data);
    await using restored = await startRestored(data, major);
    expect(await serverContent(restored.url)).toBe(content);
    expect((await psql(restored.url('bank'), AMCHECK)).trim()).toBe('');
    expect((await psql(restored.url('postgres'), AMCHECK)).trim()).toBe('');
  }
}, 400_000);

test('a server that changes little sends little', async () => {
  await using server = await postgresOf(18, SUMMARIES);
  await using stack = await databaseStack([`url: ${server.url}`, 'physical: true']);
  await psql(server.url, `create table t (id int primary key, v text); insert into t select g, repeat(md5(g::text), 30) from generate_series(1, 100000) g; vacuum freeze t;`);
  const full = await backUp(stack);
  const unchanged = await backUp(stack);
  await psql(server.url, 'update t set v = md5(v) where id <= 1000');
  const changed = await backUp(stack);
  // Two segments of write-ahead log, which come whole, and files that servers never send in part.
  expect(unchanged.received).toBeLessThan(full.received / 3);
  expect(changed.received).toBeLessThan(full.received / 3);
}, 120_000);

test('where changes cannot be asked for, all is read, and why is told', async () => {
  await using server = await postgresOf(17, { ...SUMMARIES, summarize_wal: 'off' });
  await using other = await postgresOf(17, SUMMARIES);
  await using stack = await databaseStack([`url: ${server.url}`, 'physical: true']);
  await psql(server.url, 'create table t as select g from generate_series(1, 10000) g');
  expect(await backUp(stack)).toMatchObject({ parent: undefined, whole: undefined });
  expect(await backUp(stack)).toMatchObject({ parent: undefined, whole: 'the server keeps no account of what changes (summarize_wal is off)' });
  await stack.configure([`url: ${other.url}`, 'physical: true']);
  expect(await backUp(stack)).toMatchObject({ parent: undefined, whole: 'the snapshot before is one of another server' });
  const built = await backUp(stack);
  expect(built).toMatchObject({ parent: expect.any(String) as unknown, whole: undefined });
  const data = (await psql(other.url, 'show data_directory')).trim();
  await psql(other.url, 'create table t as select g from generate_series(1, 10000) g; checkpoint;');
  const end = (await psql(other.url, 'select redo_lsn from pg_control_checkpoint()')).trim();
  await until(async () => (await psql(other.url, `select max(end_lsn) >= '${end}' from pg_available_wal_summaries()`)) === 't\n');
  await run('sh', ['-c', `rm ${data}/pg_wal/summaries/*`]);
  expect(await backUp(stack)).toMatchObject({ parent: undefined, whole: expect.stringContaining('the server refuses an incremental backup: ') as unknown });
}, 240_000);

test('where the snapshot before is damaged, all is read anew, and comes back', async () => {
  await using server = await postgresOf(17, SUMMARIES);
  await using stack = await databaseStack([`url: ${server.url}`, 'physical: true']);
  await psql(server.url, `create table t (id int primary key, v text); insert into t select g, repeat(md5(g::text), 30) from generate_series(1, 50000) g; vacuum freeze t;`);
  await backUp(stack);
  await psql(server.url, 'update t set v = md5(v) where id <= 1000');
  await backUp(stack);
  await psql(server.url, 'update t set v = md5(v) where id <= 2000');
  // The largest pack: it has most of the table.
  const packs = (await run('sh', ['-c', `find ${stack.path('repository', 'data')} -type f -printf '%s %p\\n' | sort -n | tail -1`])).stdout.trim().split(' ')[1] ?? '';
  await run('rm', [packs]);
  const again = await backUp(stack);
  expect(again).toMatchObject({ parent: undefined, whole: expect.stringContaining('the snapshot before cannot be built on: ') as unknown });
  const content = await contentOf(server.url);
  await stack.holdfast('restore', 'db', '--snapshot', again.snapshot, '--into', stack.path('data'));
  await using restored = await startRestored(stack.path('data'), 17);
  expect(await contentOf(restored.url('postgres'))).toBe(content);
  expect(await backUp(stack)).toMatchObject({ parent: again.snapshot, whole: undefined });
}, 120_000);

async function until(met: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await met()) return;
    await sleep(50);
  }
  throw new Error('it did not come to pass');
}
