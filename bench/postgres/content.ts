/** What the tables of a database hold, as few bytes that can be compared. */
import type { Server } from './server.ts';

/** The number of rows of every table, and a sum over their texts that does not depend on their order. */
export function contentOf(server: Pick<Server, 'sql'>, database: string): string {
  const tables = server.sql(database, `SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public' ORDER BY 1`);
  const sums = tables.split('\n').map((table) => `SELECT '${table}', count(*), sum(hashtextextended(holdfast_row::text, 0)) FROM ${table} holdfast_row`);
  return server.sql(database, `${sums.join(' UNION ALL ')} ORDER BY 1`);
}

/** Throws when they differ. */
export function mustBeEqual(wanted: string, got: string, tool: string): void {
  if (wanted !== '' && wanted === got) return;
  const lines = new Set(got.split('\n'));
  const missing = wanted.split('\n').filter((line) => !lines.has(line));
  throw new Error(`${tool} restored something else, without: ${missing.slice(0, 5).join('; ')}`);
}
