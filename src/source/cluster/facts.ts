/** What a server says of itself that a restore needs to know. All of it can be asked by a user that may only replicate; more is told to others. */
import { HoldfastError, isHoldfastError } from '../../base/errors.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { parseAmount } from '../../client/postgres/replication/session.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { ClusterDatabase, RecoverySettings } from './manifest.ts';

/** Asked for one by one with SHOW, which a session for replication can do, too. Undefined: not told to this user. */
export async function readSetting(session: Connection, name: string): Promise<string | undefined> {
  try {
    const [row] = await session.query<Record<string, string>>(`SHOW ${name}`, `asking for ${name}`);
    return row?.[name];
  } catch (error) {
    if (sqlState(error) === '42501' || sqlState(error) === '42704') return undefined;
    throw error;
  }
}

const NEEDED = ['max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction', 'wal_level', 'shared_preload_libraries'] as const satisfies (keyof RecoverySettings)[];

export interface ServerFacts {
  readonly blockBytes: number;
  readonly dataChecksums: boolean;
  readonly dataDirectory: string | undefined;
  readonly settings: RecoverySettings;
}

export async function readServerFacts(session: Connection): Promise<ServerFacts> {
  const settings: Record<string, string | undefined> = {};
  for (const name of NEEDED) settings[name] = await readSetting(session, name);
  return {
    blockBytes: parseAmount((await readSetting(session, 'block_size')) ?? '8192'), dataChecksums: (await readSetting(session, 'data_checksums')) === 'on',
    dataDirectory: await readSetting(session, 'data_directory'), settings,
  };
}

export interface CatalogFacts {
  /** By their OIDs. */
  readonly tablespaces: ReadonlyMap<string, string>;
  readonly databases: readonly ClusterDatabase[];
}

/** Names that stand in catalogues: of databases, extensions and tablespaces. A user that pg_hba.conf lets in for replication only learns none of them. */
export async function readCatalogFacts(target: PostgresTarget): Promise<CatalogFacts> {
  let session: Connection;
  try {
    session = await Connection.connect(target);
  } catch (error) {
    if (isHoldfastError(error, 'database-unreachable') && ['28000', '3D000', '42501'].includes(sqlState(error) ?? '')) return { tablespaces: new Map(), databases: [] };
    throw error;
  }
  await using connection = session;
  const doing = 'reading the names of databases';
  const spaces = await connection.query<{ oid: string; name: string }>(`SELECT oid::text AS oid, spcname AS name FROM pg_catalog.pg_tablespace ORDER BY 2`, doing);
  const found = await connection.query<{ name: string; encoding: string; open: boolean }>(
    `SELECT datname AS name, pg_catalog.pg_encoding_to_char(encoding) AS encoding, datallowconn AND pg_catalog.has_database_privilege(oid, 'CONNECT') AS open FROM pg_catalog.pg_database ORDER BY 1`, doing,
  );
  const databases: ClusterDatabase[] = [];
  for (const { name, encoding, open } of found) databases.push({ name, encoding, ...(open ? await extensionsOf({ ...target, database: name }) : {}) });
  return { tablespaces: new Map(spaces.map(({ oid, name }) => [oid, name])), databases };
}

async function extensionsOf(target: PostgresTarget): Promise<Pick<ClusterDatabase, 'extensions'>> {
  try {
    return { extensions: await Connection.with(target, async (connection) => await connection.query<{ name: string; version: string }>('SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1', 'reading the extensions')) };
  } catch (error) {
    if (isHoldfastError(error, 'database-unreachable', 'database-failed')) return {};
    throw error;
  }
}

/** Throws `database-failed` with what to change when the server cannot give a base backup at all. */
export async function refuseUnable(session: Connection): Promise<void> {
  if ((await readSetting(session, 'wal_level')) !== 'minimal') return;
  throw new HoldfastError('database-failed', 'the server writes too little log for a base backup (wal_level is minimal)', { hint: 'Set wal_level = replica and max_wal_senders = 10 in postgresql.conf, and restart the server.' });
}
