import { chmod, chown, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { formatInstant } from '../../src/policy/recovery-wish.ts';
import { psql } from '../fixture/database-stack.ts';
import { ask, commitsOf, covered, recoverRows } from '../fixture/recovery-stack.ts';
import { restlessServer, type RestlessServer } from '../fixture/restless-server.ts';
import { walStack, type WalStack } from '../fixture/wal-follower.ts';

const SETTINGS = { track_commit_timestamp: 'on' };
const COMMITS = "create table commits (n serial primary key, x text default md5(random()::text))";
const ONE = 'insert into commits default values';

async function commit(server: RestlessServer, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await server.sql(ONE);
}

async function backup(stack: WalStack): Promise<void> {
  const { code, stderr } = await stack.holdfast(['backup', 'db']);
  expect(code, stderr).toBe(0);
}

/** What `restore` says when it refuses. */
async function refusal(stack: WalStack, ...args: readonly string[]): Promise<string> {
  const { code, stderr } = await stack.holdfast(['restore', 'db', '--into', 'never', ...args]);
  expect(code).toBeGreaterThan(0);
  expect(await readdir(stack.folder)).not.toContain('never');
  return stderr;
}

it('a position, a transaction, a name, the latest moment; and refusals with what can be reached', async () => {
  await using server = await restlessServer(SETTINGS);
  await using stack = await walStack(server.url);
  expect(await refusal(stack, '--at', 'latest')).toContain('there is no base backup of db');
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  await server.sql(COMMITS);
  await backup(stack);
  await commit(server, 3);
  const lsn = await server.sql('select pg_current_wal_insert_lsn()');
  await server.sql("select pg_create_restore_point('twice')");
  await commit(server, 2);
  await server.sql("select pg_create_restore_point('twice')");
  const xid = await server.sql(`with i as (${ONE} returning 1) select pg_current_xact_id() from i`);
  await commit(server, 2);
  await covered(stack, follower, server.url);
  const count = async (at: string): Promise<number> => (await recoverRows(stack, at, '--no-amcheck')).rows.length;
  expect(await count(`lsn:${lsn}`)).toBe(3);
  expect(await count('name:twice')).toBe(5);
  expect(await count(`xid:${xid}`)).toBe(6);
  expect(await count('latest')).toBe(8);
  expect(await refusal(stack, '--at', '2020-01-01')).toMatch(/is before the first base backup of db was complete; the nearest that can be reached is .* after it/);
  expect(await refusal(stack, '--at', '2099-01-01')).toMatch(/is later than what is stored of db; the nearest that can be reached is .* before it\nhint: {2}Ask for --at '/);
  expect(await refusal(stack, '--at', 'xid:4000000')).toContain('transaction 4000000 is not in the stored log of db');
  expect(await refusal(stack, '--at', 'name:never')).toContain('the restore point "never" is not in the stored log');
  expect(await refusal(stack, '--at', 'lsn:FF/0')).toContain('where the stored log of timeline 1 ends');
  expect(await refusal(stack, '--at', 'tomorrow')).toContain("'tomorrow' is no time");
  await writeFile(stack.path('bad.sql'), 'select 1; select 1/0');
  expect(await refusal(stack, '--at', 'latest', '--probe', 'bad.sql')).toContain('A probe failed in the recovered database postgres: ');
  await follower.kill();
});

it('after kill -9 of the server nothing is missing that was stored, and its data directory is replaced', async () => {
  await using server = await restlessServer(SETTINGS);
  await using stack = await walStack(server.url);
  await writeFile(stack.path('holdfast.yaml'), (await readFile(stack.path('holdfast.yaml'), 'utf8')).replace('physical: true', `physical: { directory: ${server.data} }`));
  await server.sql(COMMITS);
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  await backup(stack);
  await commit(server, 20);
  await follower.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  const commits = await commitsOf(server.url);
  const running = await stack.holdfast(['restore', 'db', '--at', 'latest', '--yes']);
  expect(running.stderr).toContain(`the server of ${server.data} is running`);
  await server.kill();
  await follower.kill();
  expect((await recoverRows(stack, 'latest')).rows).toHaveLength(20);
  const target = formatInstant(commits[9]?.us ?? 0n);
  const unconfirmed = await stack.holdfast(['restore', 'db', '--at', target]);
  expect([unconfirmed.code, unconfirmed.stderr]).toEqual([2, expect.stringContaining('nobody is here to confirm it')]);
  const { code, stdout, stderr } = await stack.holdfast(['restore', 'db', '--at', target, '--yes']);
  expect(code, stderr).toBe(0);
  const kept = /What stood there before is kept as (\S+)\.\n/.exec(stdout)?.[1] ?? '';
  expect(await readdir(kept)).toContain('PG_VERSION');
  expect(await readFile(`${server.data}/postgresql.auto.conf`, 'utf8')).not.toContain('recovery_target');
  await server.start();
  expect(await server.sql('select count(*), pg_is_in_recovery() from commits')).toBe('10|f');
  // Its new timeline goes into the same repository, and both can be reached.
  await commit(server, 1);
  const again = stack.follow('--new-slot');
  await again.event(({ kind }) => kind === 'connected');
  await backup(stack);
  await commit(server, 1);
  await covered(stack, again, server.url);
  expect((await recoverRows(stack, 'latest', '--no-amcheck')).rows).toHaveLength(12);
  expect((await recoverRows(stack, target, '--timeline', '1', '--no-amcheck')).rows).toHaveLength(10);
  await again.kill();
});

it('a table and a database come out of a moment into the running server, and nothing of it stays', async () => {
  await using server = await restlessServer(SETTINGS);
  await server.sql('create database shop');
  const shop = server.url.replace(/postgres$/, 'shop');
  await psql(shop, 'create table items (id int primary key, price numeric); create table other (x int); insert into items select i, i * 1.5 from generate_series(1, 1000) i; insert into other values (1)');
  await using stack = await walStack(shop);
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  await backup(stack);
  await psql(shop, 'update items set price = 7 where id = 1');
  const [row] = await ask(shop, 'select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as us');
  await psql(shop, 'delete from items where id > 10; insert into other values (2)');
  await covered(stack, follower, shop);
  const at = formatInstant(BigInt(String(row?.['us'])));
  await chmod(stack.folder, 0o711);
  const restore = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await stack.holdfast(['restore', 'db', '--at', at, '--yes', ...args], { env: { TMPDIR: stack.folder } });
    expect(code, stderr).toBe(0);
    return stdout;
  };
  expect(await restore('--table', 'public.items')).toContain('is kept as');
  expect(await psql(shop, 'select count(*), min(price) filter (where id = 1) from items; select count(*) from other')).toBe('1000|7\n2\n');
  await restore('--database', 'shop', '--into', 'shop_then');
  expect(await psql(shop.replace(/shop$/, 'shop_then'), 'select count(*) from items; select count(*) from other')).toBe('1000\n1\n');
  await restore('--table', 'public.other', '--as', 'public.other_then');
  expect(await psql(shop, 'select count(*) from other_then')).toBe('1\n');
  const unknown = await stack.holdfast(['restore', 'db', '--at', at, '--yes', '--database', 'nosuch'], { env: { TMPDIR: stack.folder } });
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('had no database nosuch')]);
  expect((await readdir(stack.folder)).filter((name) => name.startsWith('holdfast-'))).toEqual([]);
  await follower.kill();
});

it('after a promotion both timelines are reached', async () => {
  await using primary = await restlessServer(SETTINGS);
  await primary.sql(COMMITS);
  await using standby = await restlessServer(SETTINGS, primary);
  await using stack = await walStack(standby.url);
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  await backup(stack);
  await commit(primary, 3);
  await follower.stored(await primary.sql('select pg_current_wal_flush_lsn()'));
  await standby.sql('select pg_promote()');
  await follower.event(({ kind, to }) => kind === 'timeline' && to === 2);
  const before = await commitsOf(standby.url);
  await commit(standby, 3);
  await covered(stack, follower, standby.url);
  const latest = await recoverRows(stack, 'latest');
  expect([latest.rows.length, latest.timeline]).toEqual([6, 3]);
  const early = await recoverRows(stack, formatInstant(before[1]?.us ?? 0n));
  expect([early.rows.length, early.timeline]).toEqual([2, 3]);
  await follower.kill();
});

it('a hole in the log is named, and nothing behind it is passed off as the latest moment', async () => {
  await using server = await restlessServer({ ...SETTINGS, wal_keep_size: '0' });
  await server.sql(COMMITS);
  await using stack = await walStack(server.url);
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  await backup(stack);
  await commit(server, 1);
  await follower.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  await follower.kill();
  await server.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active; select pg_drop_replication_slot('holdfast_db')");
  for (let i = 0; i < 3; i++) {
    await commit(server, 1);
    await server.sql('select pg_switch_wal()');
  }
  await server.sql('checkpoint');
  const again = stack.follow('--new-slot');
  await again.event(({ kind }) => kind === 'connected');
  await commit(server, 1);
  await again.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  await again.kill();
  const commits = await commitsOf(server.url);
  for (const at of ['latest', formatInstant(commits.at(-1)?.us ?? 0n)]) expect(await refusal(stack, '--at', at)).toMatch(/cannot be reached: write-ahead log of db is missing from [0-9A-F]+\/[0-9A-F]+ to [0-9A-F]+\/[0-9A-F]+/);
});

it('a tablespace that was made after the base backup is not replayed into the folder that the server is using', async () => {
  await using server = await restlessServer(SETTINGS);
  await server.sql(COMMITS);
  await using stack = await walStack(server.url);
  await chmod(stack.folder, 0o711);
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  await backup(stack);
  const place = stack.path('fast-disk');
  await mkdir(place, { mode: 0o700 });
  // The server may only take a folder of its own user.
  const { uid, gid } = await stat(await server.sql('show data_directory'));
  await chown(place, uid, gid);
  await server.sql(`create tablespace fast location '${place}'`);
  await server.sql('create table on_fast (n int) tablespace fast');
  await server.sql('insert into on_fast values (1)');
  await commit(server, 1);
  await follower.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  const before = await readdir(place, { recursive: true });
  expect(await refusal(stack, '--at', 'latest')).toContain(`a tablespace was made in ${place}, which is in use here`);
  expect(await readdir(place, { recursive: true })).toEqual(before);

  // With the next base backup it is a tablespace like others, and goes beside.
  await backup(stack);
  await server.sql('insert into on_fast values (2)');
  await follower.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  const { code, stderr } = await stack.holdfast(['restore', 'db', '--at', 'latest', '--into', 'recovered']);
  expect(code, stderr).toBe(0);
  expect(await readdir(place, { recursive: true })).toEqual(before);
  expect(await readdir(stack.path('recovered-tablespaces'))).toEqual(['fast']);
  await follower.kill();
});
