/** The planner's statistics, which no dump carries and without which a restored database is slow. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { qualified } from '../../../client/postgres/sql-quote.ts';
import { spelling } from './post-data.ts';

/** From here on a partitioned table can be analysed without all its partitions once more. */
const ANALYZE_ONLY = 180_000;

async function versionOf(connection: Connection): Promise<number> {
  const [row] = await connection.query<{ version: number }>(`SELECT pg_catalog.current_setting('server_version_num')::int AS version`, 'asking for the version');
  return row?.version ?? 0;
}

/** Tables, in one spelling, that are analysed together with the table that they are a partition of. */
export async function analyzedWithParent(connection: Connection): Promise<ReadonlySet<string>> {
  if ((await versionOf(connection)) >= ANALYZE_ONLY) return new Set();
  const leaves = await connection.query<{ schema: string; name: string }>(
    'SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relispartition', 'listing partitions');
  return new Set(leaves.map(({ schema, name }) => spelling(qualified(schema, name))));
}

/** What gets its rows from other tables: partitioned tables, from their roots down, and materialised views. */
export async function analyzeDerived(connection: Connection): Promise<void> {
  const only = (await versionOf(connection)) >= ANALYZE_ONLY;
  const names = await connection.query<{ name: string }>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE ((c.relkind = 'p' AND (${only} OR NOT c.relispartition)) OR (c.relkind = 'm' AND c.relispopulated)) AND n.nspname !~ '^pg_'`, 'listing materialised views');
  if (names.length > 0) await connection.query(`ANALYZE ${names.map(({ name }) => (only ? `ONLY ${name}` : name)).join(', ')}`, 'gathering statistics');
}
