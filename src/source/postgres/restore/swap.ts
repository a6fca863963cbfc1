/** Databases beside, in place and out of the way. */
import { setTimeout as wait } from 'node:timers/promises';
import { Connection } from '../../../client/postgres/connection.ts';
import { isHoldfastError } from '../../../base/errors.ts';
import { identifier, literal } from '../../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';

const LONGEST_NAME = 63;

/** `20261121_014501`: names without capitals need no quotes. */
export function stamp(now: Date): string {
  return now.toISOString().replaceAll(/[-:]/g, '').replace('T', '_').slice(0, 15);
}

/** `shop_before_20261121_014501`, cut to what Postgres takes. */
export function nameBeside(name: string, suffix: string): string {
  let cut = name;
  while (Buffer.byteLength(cut + suffix) > LONGEST_NAME) cut = cut.slice(0, /[\udc00-\udfff]$/.test(cut) ? -2 : -1);
  return cut + suffix;
}

/** A session in a database that nobody renames. */
export async function maintenance(target: PostgresTarget, not: readonly string[]): Promise<Connection> {
  const [first = 'postgres', ...others] = ['postgres', 'template1'].filter((name) => !not.includes(name));
  try {
    return await Connection.connect({ ...target, database: first });
  } catch (error) {
    const [second] = others;
    if (second === undefined || !isHoldfastError(error, 'database-unreachable')) throw error;
    return await Connection.connect({ ...target, database: second });
  }
}

export async function databaseExists(connection: Connection, name: string): Promise<boolean> {
  return (await connection.query(`SELECT FROM pg_catalog.pg_database WHERE datname = ${literal(name)}`, 'looking for the database')).length > 0;
}

export interface Swap {
  readonly beside: string;
  readonly name: string;
  /** Where the old one goes; undefined: there is none. */
  readonly keep: string | undefined;
}

/**
 * Renames all in one transaction, so that at every moment a whole database stands under each name. The rename holds the
 * database's lock, which keeps new sessions out, and waits five seconds for the old ones; a second session ends them
 * meanwhile. Nothing has to be undone when this dies halfway.
 */
export async function swapDatabases(target: PostgresTarget, swaps: readonly Swap[]): Promise<void> {
  const names = swaps.flatMap(({ beside, name }) => [beside, name]);
  await using renamer = await maintenance(target, names);
  await using ender = await maintenance(target, names);
  const renames = swaps.flatMap(({ beside, name, keep }) => [
    ...(keep === undefined ? [] : [`ALTER DATABASE ${identifier(name)} RENAME TO ${identifier(keep)}`]),
    `ALTER DATABASE ${identifier(beside)} RENAME TO ${identifier(name)}`,
  ]);
  const over = new AbortController();
  const ending = endSessions(ender, names, over.signal);
  try {
    await renamer.query(`BEGIN; ${renames.join('; ')}; COMMIT`, 'putting the restored database in place');
  } finally {
    over.abort();
    await ending;
  }
}

async function endSessions(connection: Connection, names: readonly string[], over: AbortSignal): Promise<void> {
  const list = names.map(literal).join(', ');
  while (!over.aborted) {
    await connection.query(
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname IN (${list}) AND pid <> pg_catalog.pg_backend_pid()`,
      'ending the sessions of the old database',
    ).catch(() => undefined); // The rename then fails and says that the database is in use.
    await wait(100, undefined, { signal: over }).catch(() => undefined);
  }
}
