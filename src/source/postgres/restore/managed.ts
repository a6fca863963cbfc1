/**
 * Schemas of a target that belong to somebody else, as a hosting service keeps them: what is in them is made and changed by the service, so a
 * restore by another role replaces only the rows of their tables, as far as it may.
 */
import { HoldfastError, isHoldfastError } from '../../../base/errors.ts';
import type { Connection } from '../../../client/postgres/connection.ts';
import { literal, qualified } from '../../../client/postgres/sql-quote.ts';
import type { ProofLine } from '../../source.ts';
import type { Lost } from './adapt.ts';
import { loadColumns } from './load-columns.ts';
import type { TableManifest } from '../manifest.ts';
import { proveTable } from './prove.ts';
import type { Rows } from './rebuild.ts';
import { readRowTargets, type RowTarget } from './row-target.ts';
import type { SchemaEntry } from './schema-entry.ts';

/** By name, whose they are. Everybody's schema `public` is ours wherever we may create in it. */
export async function managedSchemas(connection: Connection): Promise<ReadonlyMap<string, string>> {
  const rows = await connection.query<{ name: string; owner: string }>(
    `SELECT nspname AS name, pg_catalog.pg_get_userbyid(nspowner) AS owner FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
     AND NOT pg_catalog.pg_has_role(nspowner, 'USAGE') AND NOT (nspname = 'public' AND pg_catalog.has_schema_privilege(oid, 'CREATE'))`, 'looking at the schemas of others');
  return new Map(rows.map(({ name, owner }) => [name, owner]));
}

/** Without what is in those schemas, or is about them. Triggers and policies on their tables stay: users add those, and may. */
export function withoutManaged(entries: readonly SchemaEntry[], managed: ReadonlyMap<string, string>): SchemaEntry[] {
  return entries.filter(({ kind, schema, name }) => {
    if (schema !== undefined) return !managed.has(schema) || kind === 'TRIGGER' || kind === 'POLICY';
    return !managed.has(/^(?:SCHEMA )?"?(.*?)"?$/.exec(name)?.[1] ?? '');
  });
}

/** Those of them that the backup knows, as something that is not given back as it was. */
export function managedLost(entries: readonly SchemaEntry[], managed: ReadonlyMap<string, string>): Lost[] {
  const known = new Set(entries.flatMap(({ schema }) => schema ?? []));
  return [...managed].filter(([name]) => known.has(name)).map(([name, owner]) => ({
    entry: { kind: 'SCHEMA', schema: undefined, name, owner, statements: [] }, because: `it belongs to ${owner} on the target: its objects stay as they are there, and rows of its tables are replaced where that is allowed`,
  }));
}

/** Within the transaction that is open; a table that refuses keeps its rows and is told. */
export async function replaceManagedRows(connection: Connection, tables: readonly TableManifest[], rows: Rows): Promise<{ proof: ProofLine[]; lost: Lost[] }> {
  const lost: Lost[] = [];
  const proof: ProofLine[] = [];
  const lose = (table: TableManifest, because: string): void => void lost.push({ entry: { kind: 'TABLE DATA', schema: table.schema, name: table.name, owner: undefined, statements: [] }, because });
  const { targets } = await readRowTargets(connection, tables);
  for (const table of tables) if (!targets.some((one) => one.table === table)) lose(table, 'the table is not there');
  // Those that refer to others are emptied first and filled last.
  const ordered = await byReference(connection, targets);
  const emptied: RowTarget[] = [];
  for (const target of ordered.toReversed()) {
    const refused = await attempt(connection, async () => void (await connection.query(`DELETE FROM ONLY ${qualified(target.table.schema, target.table.name)}`, `emptying ${target.table.name}`)));
    if (refused === undefined) emptied.push(target);
    else lose(target.table, refused);
  }
  for (const target of emptied.toReversed()) {
    const refused = await attempt(connection, async () => {
      // Added to what is there, which is nothing: TRUNCATE is for owners.
      await loadColumns(connection, { ...target, table: { ...target.table, extension: true } }, rows);
      const line = await proveTable(connection, { ...target.table, columns: target.columns });
      if (target.absent.length === 0 && !line.equal) throw new HoldfastError('restore-unproven', `${line.subject}: ${line.detail}`);
      const without = `${target.table.rows.toLocaleString('en')} rows, without ${target.absent.join(', ')}, which the table there does not have`;
      proof.push(target.absent.length === 0 ? line : { ...line, equal: true, detail: without });
    });
    if (refused !== undefined) throw new HoldfastError('target-failed', `The rows of ${target.table.schema}.${target.table.name} could not be replaced: ${refused}`, { hint: 'Nothing was changed. Restore without --clean, or grant INSERT on it.' });
  }
  return { proof, lost };
}

/** What the server refused; undefined when it did not. */
async function attempt(connection: Connection, work: () => Promise<void>): Promise<string | undefined> {
  await connection.query('SAVEPOINT managed', 'replacing rows');
  try {
    await work();
    await connection.query('RELEASE SAVEPOINT managed', 'replacing rows');
    return undefined;
  } catch (error) {
    if (!isHoldfastError(error, 'database-failed', 'target-failed')) throw error;
    await connection.query('ROLLBACK TO SAVEPOINT managed', 'replacing rows');
    return error.cause instanceof Error ? error.cause.message : error.message;
  }
}

/** What others refer to comes first; in a ring of references the order is as it came. */
async function byReference(connection: Connection, targets: readonly RowTarget[]): Promise<RowTarget[]> {
  if (targets.length === 0) return [];
  const oids = targets.map(({ oid }) => literal(oid)).join(', ');
  const keys = await connection.query<{ from: string; to: string }>(`SELECT conrelid::text AS "from", confrelid::text AS "to" FROM (SELECT conrelid::pg_catalog.oid, confrelid::pg_catalog.oid FROM pg_catalog.pg_constraint
    WHERE contype = 'f' AND conrelid <> confrelid AND conrelid IN (${oids}) AND confrelid IN (${oids})) k`, 'looking at the foreign keys');
  const ordered: RowTarget[] = [];
  let left = [...targets];
  while (left.length > 0) {
    const ready = left.filter(({ oid }) => !keys.some(({ from, to }) => from === oid && left.some((one) => one.oid === to)));
    const next = ready.length > 0 ? ready : left;
    ordered.push(...next);
    left = left.filter((one) => !next.includes(one));
  }
  return ordered;
}
