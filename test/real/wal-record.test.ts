import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Connection } from '../../src/client/postgres/connection.ts';
import { formatLsn, parseSegmentName, readLsn } from '../../src/client/postgres/replication/lsn.ts';
import { WalScanner } from '../../src/client/postgres/replication/wal-record.ts';
import type { RestorePoint, TransactionEnd } from '../../src/client/postgres/replication/wal-transaction.ts';
import { parseTarget } from '../../src/client/postgres/target.ts';
import { DEBIAN_POSTGRES, MAJORS, postgresOf } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';

const MIB = 1 << 20;
const SETTINGS = { max_prepared_transactions: '10', track_commit_timestamp: 'on', wal_level: 'replica', full_page_writes: 'on', synchronous_commit: 'on' };

/** Every kind of end that a transaction can have, and records that span pages and segments. */
const WORK = [
  'create table t (i int primary key, x text)', "insert into t select i, repeat(md5(i::text), 20) from generate_series(1, 20000) i",
  'begin; insert into t values (-1); rollback', 'begin; savepoint a; insert into t values (-2); savepoint b; insert into t values (-3); release b; commit',
  'create table gone as select * from t; drop table gone', "begin; insert into t values (-4); prepare transaction 'one'", "begin; create table in_two (i int); savepoint s; insert into t values (-5); prepare transaction 'two'",
  "begin; insert into t values (-6); prepare transaction 'three'", "commit prepared 'two'", "rollback prepared 'three'", "commit prepared 'one'", "select pg_create_restore_point('before the deploy')", 'select pg_switch_wal()',
  "select pg_logical_emit_message(true, 'holdfast', repeat('x', 20000000))", 'insert into t values (-7)', 'alter table t alter x type varchar; truncate t; insert into t values (1)',
];

async function work(url: string): Promise<void> {
  await Connection.with(parseTarget(url, undefined, {}), async (connection) => {
    for (const sql of WORK) await connection.query(sql, 'the test');
  });
}

interface Read {
  readonly ends: readonly TransactionEnd[];
  readonly points: readonly RestorePoint[];
  readonly records: number;
  readonly stopped: string | undefined;
}

/** All that lies in pg_wal, in pieces of odd sizes as a network delivers them. */
async function scan(data: string): Promise<Read> {
  const ends: TransactionEnd[] = [];
  const points: RestorePoint[] = [];
  let records = 0;
  const scanner = new WalScanner(16 * MIB, { transaction: (end) => ends.push(end), restorePoint: (point) => points.push(point), record: () => records++ });
  for (const name of (await readdir(join(data, 'pg_wal'))).sort()) {
    const file = parseSegmentName(name, 16 * MIB);
    if (file === undefined || scanner.stopped !== undefined) continue;
    const bytes = await readFile(join(data, 'pg_wal', name));
    for (let length = 0; length < bytes.length; length += 1 + ((length * 7 + 131) % 70_001)) scanner.scan(file.start, bytes.subarray(0, length));
    scanner.scan(file.start, bytes);
  }
  return { ends, points, records, stopped: scanner.stopped && `${scanner.stopped.why} ${formatLsn(scanner.stopped.at)}` };
}

describe.each(MAJORS)('the log of PostgreSQL %i', (major) => {
  it('names every end of a transaction with the time that the server knows for it', async () => {
    await using server = await postgresOf(major, { ...SETTINGS, [major >= 13 ? 'wal_keep_size' : 'wal_keep_segments']: major >= 13 ? '1GB' : '64' });
    await work(server.url);
    await Connection.with(parseTarget(server.url, undefined, {}), async (connection) => {
      const [row] = await connection.query<{ data: string; end: string }>("select current_setting('data_directory') as data, pg_current_wal_flush_lsn()::text as end", 'the test');
      const { ends, points, stopped } = await scan(row?.data ?? '');
      expect(stopped).toBe(`zero ${row?.end ?? ''}`);
      expect(points).toMatchObject([{ name: 'before the deploy' }]);
      const commits = ends.filter(({ kind, xid }) => kind === 'commit' && xid >= 3);
      expect(commits.filter(({ prepared }) => prepared)).toHaveLength(2);
      expect(ends.filter(({ kind, prepared }) => kind === 'abort' && prepared)).toHaveLength(1);
      expect(ends.filter(({ kind, prepared }) => kind === 'abort' && !prepared)).toHaveLength(1);
      const last = ends.at(-1);
      const times = await connection.query<{ xid: string; us: string }>(
        `select x::text as xid, (extract(epoch from pg_xact_commit_timestamp(x::text::xid)) * 1000000)::bigint::text as us from generate_series(3, ${last?.xid ?? 0}) x where pg_xact_commit_timestamp(x::text::xid) is not null order by x`, 'the test');
      // Commits that the server has no time for are those of initdb; what it has one for must be here, at the same microsecond.
      const found = new Map(commits.map(({ xid, timeUs }) => [String(xid), String(timeUs)]));
      const children = times.filter(({ xid }) => !found.has(xid));
      expect(children).toHaveLength(3);
      for (const { xid, us } of times) if (found.has(xid)) expect(found.get(xid)).toBe(us);
    });
  });
});

it('the ends of transactions are those that pg_waldump shows, over borders of pages and segments', async () => {
  await using server = await postgresOf(15, { max_prepared_transactions: '10', full_page_writes: 'on', synchronous_commit: 'on', wal_keep_size: '1GB' });
  await work(server.url);
  await run('pgbench', ['-q', '-i', '-s', '2', server.url]);
  await run('pgbench', ['-c', '4', '-t', '500', server.url]);
  const [data = '', end = ''] = (await run('psql', ['-XAtq', '-F', '\n', server.url, '-c', "select current_setting('data_directory'), pg_current_wal_flush_lsn()"])).stdout.split('\n');
  const { ends } = await scan(data);
  const { stdout } = await run(join(DEBIAN_POSTGRES, 'pg_waldump'), ['-r', 'Transaction', '-p', join(data, 'pg_wal'), '-s', '0/1000000', '-e', end], { accept: [0, 1], env: { TZ: 'UTC' } });
  const shown = stdout.split('\n').flatMap((line) => {
    const [, lsn, kind, prepared, xid, time] = /lsn: ([0-9A-F/]+), .*desc: (COMMIT|ABORT)(_PREPARED)? (?:(\d+): )?([\d-]+ [\d:.]+) UTC/.exec(line) ?? [];
    const own = / tx: +(\d+),/.exec(line)?.[1];
    return lsn === undefined ? [] : [`${formatLsn(readLsn(lsn))} ${kind}${prepared ?? ''} ${prepared === undefined ? own : xid} ${time}`];
  });
  const ours = ends.map(({ lsn, kind, prepared, xid, timeUs }) => {
    const time = new Date(Number(timeUs / 1000n)).toISOString().replace('T', ' ').slice(0, 19);
    return `${formatLsn(lsn)} ${kind.toUpperCase()}${prepared ? '_PREPARED' : ''} ${xid} ${time}.${String(timeUs % 1_000_000n).padStart(6, '0')}`;
  });
  expect(ours.length).toBeGreaterThan(2000);
  expect(ours).toEqual(shown);
});
