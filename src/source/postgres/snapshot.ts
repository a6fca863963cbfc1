/** A database that stands still: a transaction whose snapshot is exported, with every table locked against change of shape. */
import { Connection } from '../../client/postgres/connection.ts';
import { HoldfastError } from '../../base/errors.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { literal, qualified } from '../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import { readTables, type CatalogTable } from './catalog.ts';
import { prepareReading } from './session.ts';

export interface HeldSnapshot extends AsyncDisposable {
  readonly leader: Connection;
  readonly id: string;
  readonly lsn: string | undefined;
  readonly moment: string;
  readonly server: string;
  readonly tables: readonly CatalogTable[];
}

const ATTEMPTS = 5;

/**
 * Opens the snapshot. A table that is dropped, truncated or rewritten between the snapshot and the lock would be read as
 * empty without an error (TRUNCATE pays no heed to snapshots), so then it starts over with a new snapshot. Only the tables that
 * are chosen are locked.
 */
export async function holdSnapshot(target: PostgresTarget, choose: (all: readonly CatalogTable[]) => readonly CatalogTable[] = (all) => all): Promise<HeldSnapshot> {
  for (let attempt = 1; ; attempt++) {
    const leader = await Connection.connect(target);
    try {
      await prepareReading(leader);
      const held = await tryHold(leader, choose);
      if (held !== undefined) return held;
    } catch (error) {
      if (!(sqlState(error) === '42P01' && attempt < ATTEMPTS)) {
        await leader.close();
        throw error;
      }
    }
    await leader.close();
    if (attempt >= ATTEMPTS) {
      throw new HoldfastError('source-failed', `Tables of ${target.database} are dropped or truncated faster than they can be locked.`, { hint: 'Run the backup when no migration is running.', transient: true });
    }
  }
}

async function tryHold(leader: Connection, choose: (all: readonly CatalogTable[]) => readonly CatalogTable[]): Promise<HeldSnapshot | undefined> {
  await leader.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', 'beginning the snapshot');
  const [first] = await leader.query<{ id: string; moment: string; server: string; recovery: boolean }>(
    `SELECT pg_catalog.pg_export_snapshot() AS id, pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS moment, pg_catalog.current_setting('server_version') AS server, pg_catalog.pg_is_in_recovery() AS recovery`,
    'exporting the snapshot',
  );
  if (first === undefined) return undefined;
  const tables = choose(await readTables(leader));
  const names = tables.map(({ schema, name }) => `ONLY ${qualified(schema, name)}`);
  if (names.length > 0) await leader.query(`LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`, 'locking the tables');
  const changed = await leader.query(
    `SELECT FROM pg_catalog.pg_class c WHERE c.oid = ANY (${literal(`{${tables.map(({ oid }) => oid).join(',')}}`)}::oid[])
     AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid) LIMIT 1`,
    'looking for changed tables',
  );
  if (changed.length > 0) return undefined;
  const lsnSql = first.recovery ? 'pg_catalog.pg_last_wal_replay_lsn()' : 'pg_catalog.pg_current_wal_lsn()';
  await leader.query('SAVEPOINT lsn', 'asking for the position of the log');
  const lsn = await leader.query<{ lsn: string }>(`SELECT ${lsnSql}::text AS lsn`, 'asking for the position of the log').catch(() => []);
  await leader.query('ROLLBACK TO SAVEPOINT lsn', 'asking for the position of the log');
  const server = first.server.split(' ')[0] ?? first.server;
  return { leader, id: first.id, lsn: lsn[0]?.lsn, moment: first.moment, server, tables, [Symbol.asyncDispose]: () => leader.close() };
}

/** Another session that sees the same. */
export async function joinSnapshot(target: PostgresTarget, id: string): Promise<Connection> {
  const connection = await Connection.connect(target);
  await prepareReading(connection);
  await connection.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT ${literal(id)}`, 'joining the snapshot');
  return connection;
}
