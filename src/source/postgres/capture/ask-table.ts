/** A session of a held snapshot turns to tables that a change may be waiting for. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { sqlState } from '../../../client/postgres/failure.ts';
import { qualified } from '../../../client/postgres/sql-quote.ts';
import type { Lend } from './lend.ts';

const LOCK_NOT_AVAILABLE = '55P03';

/** The sessions that read a database. */
export interface Readers {
  readonly pool: Lend;
  /** The one that holds the snapshot and the locks. */
  readonly lead: Lend;
}

/**
 * When a change of a table waits for the leader's lock, another session would wait behind that change, and both for
 * ever. So it only asks; if the answer is no, the leader itself does the work, because it has its locks already.
 */
export async function withTables({ pool, lead }: Readers, tables: readonly { readonly schema: string; readonly name: string }[], doing: string, work: (session: Connection) => Promise<void>): Promise<void> {
  const names = tables.map(({ schema, name }) => `ONLY ${qualified(schema, name)}`).join(', ');
  await pool(async (worker) => {
    const free = await worker.query(`SAVEPOINT ask; LOCK TABLE ${names} IN ACCESS SHARE MODE NOWAIT; RELEASE SAVEPOINT ask`, doing).then(() => true, async (error: unknown) => {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      await worker.query('ROLLBACK TO SAVEPOINT ask', doing);
      return false;
    });
    await (free ? work(worker) : lead(work));
  });
}
