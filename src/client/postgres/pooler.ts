/**
 * Poolers between us and the server. In session mode each of our sessions has a server process of its own, and all works. In transaction or
 * statement mode any process may run the next statement: settings, locks and exported snapshots would be those of strangers, and strangers
 * would get ours.
 *
 * How it is told: a server says its process id at the login (BackendKeyData), and a pooler, which logs in before it has a server, makes one
 * up. So where the id of the login is not `pg_backend_pid()`, somebody stands between, for the price of one question. Only then a second
 * session is opened. While it is inside a transaction, the first session is asked again: in session mode it answers with its own process
 * every time; in transaction mode its process was free between two questions, so the second session got it, or the first got another. Poolers
 * hand out the process that was freed last, so the first round tells; on a busy pool, where others may be quicker, one of the later does.
 */
import { HoldfastError, isHoldfastError, messageOf } from '../../base/errors.ts';
import { Connection } from './connection.ts';
import { sqlState } from './failure.ts';
import { describeTarget, type PostgresTarget } from './target.ts';

const ROUNDS = 4;
/** PgBouncer lets a session wait for two minutes when its pool is used up. */
const WAIT_MS = 15_000;
const PROTOCOL_VIOLATION = '08P01';

/** What cannot be used at all is refused before a connection is made. Throws `database-unreachable`. */
export function refuseTransactionPort(target: PostgresTarget): void {
  const { host, port } = target;
  if (port === 6543 && /\.supabase\.(co|com)$/.test(host)) throw refusal(target, 'port 6543 of Supabase is a pooler in transaction mode');
}

/** Throws `database-unreachable` when this session goes through a pooler that does not keep a server process for it. Changes nothing. */
export async function refuseTransactionPooler(connection: Connection): Promise<void> {
  if ((await processOf(connection)) === connection.backend.pid) return;
  const { target } = connection;
  const second = await inTime(target, Connection.connect(target));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const before = await processOf(connection);
      await inTime(target, second.query('BEGIN', 'asking the pooler'));
      const other = await inTime(target, processOf(second));
      // Where there is one process only, the first session would now wait for the second.
      const moved = other === before || (await inTime(target, processOf(connection))) !== before;
      await second.query('COMMIT', 'asking the pooler');
      if (moved) throw refusal(target, 'a pooler in transaction mode stands before the server (the process behind one session changes from statement to statement)');
    }
  } catch (error) {
    if (sqlState(error) === PROTOCOL_VIOLATION && messageOf(error).includes('statement pooling')) throw refusal(target, 'a pooler in statement mode stands before the server, which allows no transactions');
    throw error;
  } finally {
    second.destroy();
  }
}

async function processOf(connection: Connection): Promise<number> {
  const [row] = await connection.query<{ pid: number }>('SELECT pg_catalog.pg_backend_pid() AS pid', 'asking for the process of the session');
  return row?.pid ?? 0;
}

function refusal(target: PostgresTarget, reason: string): HoldfastError {
  const { host } = target;
  const use = /\.supabase\.(co|com)$/.test(host)
    ? 'Use port 5432: of the pooler (session mode, host aws-0-REGION.pooler.supabase.com, user postgres.PROJECT), or of the server itself (db.PROJECT.supabase.co, which needs IPv6).'
    : 'Connect to the server itself, or to a pool of the pooler in session mode (PgBouncer: `pool_mode=session` in the line of a database or user).';
  return new HoldfastError('database-unreachable', `${describeTarget(target)} cannot be used for backups: ${reason}, so its sessions hold no snapshot. Nothing was read.`, { hint: use });
}

/** A pool that is used up makes a session wait. */
async function inTime<T>(target: PostgresTarget, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new HoldfastError('database-unreachable', `The pooler before ${describeTarget(target)} gave no second session within ${WAIT_MS / 1000} s.`, {
    hint: 'A backup reads with four sessions at once: make the pool of this user and database at least that large (PgBouncer: default_pool_size).', transient: true,
  })), WAIT_MS);
  try {
    return await Promise.race([work, late.promise]);
  } catch (error) {
    if (isHoldfastError(error)) work.catch(() => undefined);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
