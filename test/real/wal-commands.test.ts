import { chmod, copyFile, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { restlessServer, type RestlessServer } from '../fixture/restless-server.ts';
import { HOLDFAST } from '../fixture/holdfast.ts';
import { run } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';
import { expectWhole, walStack } from '../fixture/wal-follower.ts';

/** Log of several segments. */
async function work(server: RestlessServer, rows = 300_000): Promise<void> {
  await server.sql(`create table if not exists t (i bigserial primary key, x text); insert into t (x) select md5(i::text) from generate_series(1, ${rows}) i`);
}

interface Status {
  readonly clusters: readonly { readonly holes: readonly object[]; readonly segments: number; readonly ranges: readonly { readonly covered?: string; readonly last?: string }[] }[];
  readonly server: { readonly slot?: object; readonly sentence?: string };
  readonly bases: readonly { readonly until?: string }[];
  readonly problems?: readonly string[];
}

const statusOf = (text: string): Status => JSON.parse(text) as Status;

it('archive_command: the server hands its log over, each file once, and gets it back as restore_command', async () => {
  await using stack = await walStack('postgres://postgres@127.0.0.1:1/postgres');
  // The server runs the command as its own user.
  await chmod(stack.folder, 0o755);
  await run('chown', ['-R', 'postgres', stack.folder]);
  await using server = await restlessServer({ archive_mode: 'on', archive_command: `HOME=/tmp ${HOLDFAST} wal push db %p -C ${stack.folder}` });
  await work(server);
  const last = await server.sql('select pg_walfile_name(pg_current_wal_lsn()); select pg_switch_wal()').then((text) => text.split('\n')[0] ?? '');
  for (;;) {
    const [archived = '', failed = ''] = (await server.sql('select last_archived_wal, failed_count from pg_stat_archiver')).split('|');
    expect(failed).toBe('0');
    if (archived >= last) break;
    await server.sql('select pg_sleep(0.2)');
  }
  await expectWhole(stack, server.data, '0/0');
  expect((await stack.wal()).sources).toHaveLength(1);
  const segment = join(server.data, 'pg_wal', last);
  const push = (path: string): ReturnType<typeof stack.holdfast> => stack.holdfast(['wal', 'push', 'db', path, '--json']);
  expect((await push(segment)).stdout).toContain('"state":"known"');
  await using other = await scratch('push');
  const changed = await readFile(segment);
  changed[9_000_000] = (changed[9_000_000] ?? 0) ^ 1;
  await writeFile(other.path(last), changed);
  const refused = await push(other.path(last));
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('is stored already with another content')]);
  await writeFile(other.path(`${last.slice(0, 23)}F`), changed.subarray(0, 100));
  expect((await push(other.path(`${last.slice(0, 23)}F`))).code).toBe(1);
  await writeFile(other.path('00000002.history'), '1\t0/5000000\tno reason\n');
  await writeFile(other.path(`${last}.00000028.backup`), '');
  expect([(await push(other.path('00000002.history'))).code, (await push(other.path(`${last}.00000028.backup`))).code]).toEqual([0, 0]);
  const fetch = (name: string): ReturnType<typeof stack.holdfast> => stack.holdfast(['wal', 'fetch', 'db', name, other.path('got')]);
  expect((await fetch(last)).code).toBe(0);
  expect((await readFile(other.path('got'))).equals(await readFile(segment))).toBe(true);
  expect((await fetch('00000002.history')).code).toBe(0);
  expect((await fetch('0000000100000000000000FE')).code).toBe(1);
  await copyFile(stack.path('password'), other.path('password'));
  await writeFile(stack.path('password'), 'wrong\n', { mode: 0o600 });
  expect((await fetch(last)).code).toBe(200);
});

it('pushes at the same time lose nothing', async () => {
  await using server = await restlessServer();
  await work(server);
  await using stack = await walStack(server.url);
  const names = (await readdir(join(server.data, 'pg_wal'))).filter((name) => /^[0-9A-F]{24}$/.test(name)).sort().slice(0, 3);
  const results = await Promise.all(names.map((name) => stack.holdfast(['wal', 'push', 'db', join(server.data, 'pg_wal', name)])));
  expect(results.map(({ code, stderr }) => [code, stderr])).toEqual(names.map(() => [0, '']));
  const wal = await stack.wal();
  expect(wal.newest?.segments.map(({ file }) => file)).toEqual(names);
});

it('at its limit the slot is given up rather than fill the disk, and what is missing then is said', async () => {
  await using server = await restlessServer({ wal_keep_size: '0', max_wal_size: '64MB', min_wal_size: '32MB' });
  await using stack = await walStack(server.url, 'flush: 0.3s, limit: 40M');
  await work(server);
  expect((await stack.holdfast(['wal', 'follow', '--once'])).code).toBe(0);
  await work(server, 700_000);
  // Nobody has followed meanwhile; the repository cannot take anything now either.
  await chmod(stack.path('repository/locks'), 0o500);
  await run('mv', [stack.path('repository/locks'), stack.path('locks')]);
  const follower = stack.follow();
  expect(await follower.ended).toBe(1);
  expect(follower.stderr).toContain('was given up');
  expect(await server.sql("select count(*) from pg_replication_slots where slot_name = 'holdfast_db'")).toBe('0');
  await run('mv', [stack.path('locks'), stack.path('repository/locks')]);
  await server.sql('checkpoint');
  await work(server, 700_000);
  await server.sql('checkpoint');
  const gap = await stack.holdfast(['wal', 'follow', '--once']);
  expect([gap.code, gap.stderr]).toEqual([1, expect.stringContaining('no longer has the log')]);
  expect(await server.sql('select count(*) from pg_replication_slots')).toBe('0');
  expect((await stack.holdfast(['wal', 'follow', '--once', '--new-slot'])).code).toBe(0);
  const status = statusOf((await stack.holdfast(['wal', 'status', '--verify', '--json'])).stdout);
  expect(status.clusters[0]?.holes).toHaveLength(1);
  expect(status.problems).toEqual([]);
  expect((await stack.holdfast(['wal', 'slot', 'drop', 'db', '--yes'])).stdout).toContain('Dropped');
  expect(await server.sql('select count(*) from pg_replication_slots')).toBe('0');
});

it('a quiet server costs a snapshot now and then and no packs, and is known to be quiet', async () => {
  await using server = await restlessServer();
  await work(server, 1000);
  await using stack = await walStack(server.url);
  expect((await stack.holdfast(['wal', 'follow', '--once'])).code).toBe(0);
  const packs = async (): Promise<number> => (await readdir(stack.path('repository/data'), { recursive: true })).filter((name) => name.length > 60).length;
  const before = await packs();
  const first = statusOf((await stack.holdfast(['wal', 'status', '--json'])).stdout).clusters[0]?.ranges[0]?.covered ?? '';
  const follower = stack.follow();
  await follower.event(({ kind, coveredAt }) => kind === 'stored' && coveredAt !== undefined);
  follower.signal('SIGTERM');
  expect(await follower.ended).toBe(0);
  const then = statusOf((await stack.holdfast(['wal', 'status', '--json'])).stdout).clusters[0]?.ranges[0]?.covered ?? '';
  expect(then > first).toBe(true);
  expect((await packs()) - before).toBeLessThanOrEqual(3);
});
