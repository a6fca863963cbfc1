/** The session that a base backup comes through. */
import { HoldfastError } from '../../base/errors.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { connectReplication, identify, type ServerIdentity } from '../../client/postgres/replication/session.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import { refuseUnable } from './facts.ts';

const OLDEST = 12;

/** Throws what the server lacks, with what to change: the right to replicate, senders, log. */
export async function openSession(target: PostgresTarget): Promise<{ readonly connection: Connection; readonly server: ServerIdentity }> {
  const connection = await connectReplication(target).catch((error: unknown) => Promise.reject(withoutSenders(error)));
  try {
    const server = await identify(connection);
    if (server.major < OLDEST) throw new HoldfastError('database-failed', `the server is PostgreSQL ${server.version}, and base backups are taken of ${OLDEST} and newer`);
    await refuseUnable(connection);
    return { connection, server };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

function withoutSenders(error: unknown): unknown {
  if (sqlState(error) !== '53300') return error;
  return new HoldfastError('database-unreachable', 'the server has no WAL sender left for a base backup', { hint: 'Raise max_wal_senders in postgresql.conf (it needs a restart), or end another replica: pg_stat_replication shows them.', cause: error, transient: true });
}
