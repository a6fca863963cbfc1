/** The tables of a target that are to get rows: are they there, do the columns fit, do they hold rows already? */
import type { Connection } from '../../../client/postgres/connection.ts';
import { literal, qualified } from '../../../client/postgres/sql-quote.ts';
import type { TableManifest } from '../manifest.ts';

export interface RowTarget {
  readonly table: TableManifest;
  readonly oid: string;
  /** Of the backup, those that the target has, in the order of the backup. */
  readonly columns: string[];
  /** Types of `columns` as SQL. */
  readonly types: readonly string[];
  /** Of the backup, those that the target does not have. */
  readonly absent: readonly string[];
  readonly filled: boolean;
}

interface Found {
  readonly schema: string;
  readonly name: string;
  readonly oid: string;
  readonly kind: string;
  readonly mine: boolean;
  readonly readable: boolean;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly needed: boolean; readonly generated: boolean }[];
}

/** `problems`: everything in the way, as clauses. */
export async function readRowTargets(connection: Connection, tables: readonly TableManifest[]): Promise<{ targets: RowTarget[]; problems: string[] }> {
  if (tables.length === 0) return { targets: [], problems: [] };
  const doing = 'looking at the tables of the target';
  const names = tables.map(({ schema, name }) => `(${literal(schema)}, ${literal(name)})`).join(', ');
  const rows = await connection.query<Found>(
    `SELECT n.nspname AS schema, c.relname AS name, c.oid::text AS oid, c.relkind::text AS kind, pg_catalog.pg_has_role(c.relowner, 'USAGE') AS mine,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
       coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
         'needed', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', 'generated', a.attgenerated <> '') ORDER BY a.attnum)
         FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname, c.relname) IN (${names})`, doing);
  const found = new Map(rows.map((row) => [JSON.stringify([row.schema, row.name]), row]));
  const targets: RowTarget[] = [];
  const problems: string[] = [];
  for (const table of tables) {
    const there = found.get(JSON.stringify([table.schema, table.name]));
    const shown = `${table.schema}.${table.name}`;
    if (there === undefined || there.kind !== 'r') {
      problems.push(there === undefined ? `table ${shown} is not there` : `${shown} is there, but not as a table with rows of its own`);
      continue;
    }
    if (!there.mine) problems.push(`table ${shown} belongs to somebody else, and only its owner may replace rows`);
    const known = new Set(table.columns);
    const needed = there.columns.filter((column) => column.needed && !known.has(column.name)).map(({ name }) => name);
    if (needed.length > 0) problems.push(`table ${shown} has columns that the backup does not know and that must have a value: ${needed.join(', ')}`);
    const types = new Map(there.columns.filter(({ generated }) => !generated).map(({ name, type }) => [name, type]));
    const columns = table.columns.filter((column) => types.has(column));
    // What we may not read may hold rows.
    const [any] = there.readable ? await connection.query<{ filled: boolean }>(`SELECT EXISTS (SELECT FROM ONLY ${qualified(table.schema, table.name)}) AS filled`, doing) : [{ filled: true }];
    targets.push({ table, oid: there.oid, columns, types: columns.map((column) => types.get(column) ?? 'text'), absent: table.columns.filter((column) => !types.has(column)), filled: any?.filled === true });
  }
  return { targets, problems };
}
