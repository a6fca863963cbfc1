/** Runs a stored script over a connection, without psql. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { splitStatements } from '../../../client/postgres/sql-statements.ts';
import { HoldfastError } from '../../../base/errors.ts';

/** So many at once are one transaction: enough to save round trips, few enough not to run the server out of locks. */
const BATCH = 200;

/** The statements of a script, without commands of psql, comments and semicolons. */
export function statementsOf(script: string): string[] {
  return splitStatements(script).filter(({ meta, code }) => !meta && code !== '').map(({ code }) => code);
}

/** Runs all; the error names the statement that failed. */
export async function runStatements(connection: Connection, statements: readonly string[], doing: string): Promise<void> {
  for (let at = 0; at < statements.length; at += BATCH) {
    const batch = statements.slice(at, at + BATCH);
    try {
      await connection.query(`${batch.join(';\n')};`, doing);
    } catch (error) {
      throw named(error, batch, doing);
    }
  }
}

/** The server says where in the text it failed, at least for mistakes of syntax and of names; else the batch is all we know. */
function named(error: unknown, batch: readonly string[], doing: string): unknown {
  if (!(error instanceof HoldfastError)) return error;
  const { cause } = error;
  const position = cause instanceof Error && 'position' in cause ? Number(cause.position) : Number.NaN;
  let passed = 0;
  const culprit = batch.length === 1 ? batch[0] : batch.find((statement) => (passed += statement.length + 2) >= position);
  if (culprit === undefined) return error;
  const start = culprit.replaceAll(/\s+/g, ' ').slice(0, 160);
  return new HoldfastError(error.code, `${error.message} (${doing}: ${start})`, { cause, transient: error.transient, ...(error.hint === undefined ? {} : { hint: error.hint }) });
}

