/** The rows of one table, as COPY text, into the archive. */
import { HoldfastError } from '../../base/errors.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { copyOut, type Copied } from '../../client/postgres/copy-out.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { qualified } from '../../client/postgres/sql-quote.ts';
import type { ContentSink } from '../../repository/entry.ts';
import { copyOutSql, type CatalogTable } from './catalog.ts';
import { tableFile } from './file-name.ts';
import type { Lend } from './lend.ts';
import type { TableManifest } from './manifest.ts';

const LOCK_NOT_AVAILABLE = '55P03';

/**
 * When a change of the table waits for the leader's lock, another session would wait behind that change, and both for
 * ever. So it only asks; if the answer is no, the leader itself reads the table, because it has its lock already.
 */
export async function readTable(worker: Connection, lead: Lend, table: CatalogTable, sink: ContentSink): Promise<TableManifest> {
  const { schema, name, columns, condition, extension } = table;
  const doing = `reading the table ${schema}.${name}`;
  let copied: Copied | undefined;
  const copy = async (session: Connection): Promise<void> => {
    copied = await copyOut(session, copyOutSql(table), doing, (bytes) => sink.write(bytes));
  };
  await worker.query('SAVEPOINT ask', doing);
  const free = await worker.query(`LOCK TABLE ONLY ${qualified(schema, name)} IN ACCESS SHARE MODE NOWAIT`, doing).then(() => true, async (error: unknown) => {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
    await worker.query('ROLLBACK TO SAVEPOINT ask', doing);
    return false;
  });
  await (free ? copy(worker) : lead(copy));
  if (copied === undefined) throw new HoldfastError('internal', `${schema}.${name} was read without a result.`);
  return { schema, name, file: tableFile(schema, name), columns: [...columns], condition, extension, rows: copied.rows, bytes: copied.bytes, fingerprint: copied.sum };
}
