/** Makes objects on a target, and where that is not ours to command, tells which ones it refused instead of ending in the middle. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { sqlState } from '../../../client/postgres/failure.ts';
import { isHoldfastError } from '../../../base/errors.ts';
import type { Lost } from './adapt.ts';
import type { SchemaEntry } from './schema-entry.ts';
import { runStatements } from './script.ts';

/** Objects in one transaction: enough to save round trips, few enough not to run the server out of locks. */
const BATCH = 100;

/** No privilege; and what follows when something was left out before: no such object, schema, table, function, role, or a feature that is off. */
const REFUSED = new Set(['42501', '42704', '3F000', '42P01', '42883', '42703', '0LP01', '0A000', '2BP01']);

/** `by savepoints` where a transaction is open, which a refusal would end. */
export type Tolerance = boolean | 'by savepoints';

/**
 * Runs all in order. With `tolerant`, an object that the server refuses for want of a privilege, or because it needs one that was left
 * out, is given back as lost; everything else throws.
 */
export async function runEntries(connection: Connection, entries: readonly SchemaEntry[], doing: string, tolerant: Tolerance): Promise<Lost[]> {
  if (tolerant === false) {
    await runStatements(connection, entries.flatMap(({ statements }) => statements), doing);
    return [];
  }
  const lost: Lost[] = [];
  for (let at = 0; at < entries.length; at += BATCH) {
    const batch = entries.slice(at, at + BATCH);
    const whole = batch.flatMap(({ statements }) => statements);
    // One message is one transaction: when it fails, nothing of it stays, and each object is tried alone.
    if (whole.length > 0 && !(await refused(connection, whole, doing, tolerant))) continue;
    for (const entry of batch) lost.push(...(await runAlone(connection, entry, doing, tolerant)));
  }
  return lost;
}

async function runAlone(connection: Connection, entry: SchemaEntry, doing: string, tolerant: Tolerance): Promise<Lost[]> {
  const lost: Lost[] = [];
  for (const [index, statement] of entry.statements.entries()) {
    const because = await refused(connection, [statement], doing, tolerant);
    if (because !== false) lost.push({ entry, because });
    // What was not made has no owner either.
    if (because !== false && index === 0) break;
  }
  return lost;
}

/** What the server said; false when it took the statements. */
async function refused(connection: Connection, statements: readonly string[], doing: string, tolerant: Tolerance): Promise<string | false> {
  const within = tolerant === 'by savepoints';
  if (within) await connection.query('SAVEPOINT holdfast', doing);
  try {
    await runStatements(connection, statements, doing);
    if (within) await connection.query('RELEASE SAVEPOINT holdfast', doing);
    return false;
  } catch (error) {
    if (!isHoldfastError(error) || !REFUSED.has(sqlState(error) ?? '')) throw error;
    if (within) await connection.query('ROLLBACK TO SAVEPOINT holdfast', doing);
    const { cause } = error;
    return cause instanceof Error ? cause.message : error.message;
  }
}
