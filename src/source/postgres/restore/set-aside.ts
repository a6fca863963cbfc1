/** Tables under other names: the old ones out of the way, and new ones where nobody is. */
import { HoldfastError } from '../../../base/errors.ts';
import type { Connection } from '../../../client/postgres/connection.ts';
import { identifier, literal, qualified } from '../../../client/postgres/sql-quote.ts';
import { nameBeside } from './swap.ts';

interface TableName {
  readonly schema: string;
  readonly name: string;
}

const LONGEST_NAME = 63;

/**
 * Renames the tables that stand there, and what of them has names of its own; gives the new names. Refuses when others than these hang on
 * them, for they would stay with the old ones.
 */
export async function setAside(connection: Connection, tables: readonly TableName[], suffix: string): Promise<string[]> {
  const doing = `looking at ${tables.map(({ schema, name }) => `${schema}.${name}`).join(', ')}`;
  const names = tables.map(({ schema, name }) => `(${literal(schema)}, ${literal(name)})`).join(', ');
  const old = await connection.query<TableName & { oid: string }>(
    `SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname, c.relname) IN (${names})`, doing);
  if (old.length === 0) return [];
  const set = old.map(({ oid }) => oid).join(', ');
  const dependent = await connection.query<{ name: string }>(
    `SELECT DISTINCT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, oid, 0) AS name FROM pg_catalog.pg_constraint WHERE confrelid IN (${set}) AND conrelid NOT IN (${set})
     UNION SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, w.ev_class, 0) FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
       WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refobjid IN (${set}) AND w.ev_class NOT IN (${set})
     UNION SELECT 'partition of ' || inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits WHERE inhrelid IN (${set}) AND inhparent NOT IN (${set})`, doing);
  if (dependent.length > 0) {
    const which = old.map(({ schema, name }) => `${schema}.${name}`).join(', ');
    throw new HoldfastError('target-exists', `${which} cannot be replaced alone, because others refer to it: ${dependent.map(({ name }) => name).join('; ')}.`, {
      hint: 'Replace only its rows, in one transaction (--data-only --clean), restore those others with it (--table for each), or restore it into a database of its own (--into NAME).',
    });
  }
  for (const { oid, schema, name } of old) {
    await connection.query(await renames(connection, oid, { schema, name }, (one) => nameBeside(one, suffix)), `setting aside ${schema}.${name}`);
  }
  return old.map(({ schema, name }) => `${schema}.${nameBeside(name, suffix)}`);
}

/** Gives a table another name, and its indexes and sequences such that go with it. */
export async function renameTable(connection: Connection, from: TableName, to: TableName): Promise<void> {
  const doing = `renaming ${from.schema}.${from.name}`;
  const [found] = await connection.query<{ oid: string }>(`SELECT ${literal(qualified(from.schema, from.name))}::pg_catalog.regclass::oid::text AS oid`, doing);
  const named = (name: string): string => shortened(name === from.name ? to.name : name.startsWith(from.name) ? to.name + name.slice(from.name.length) : `${to.name}_${name}`);
  await connection.query(await renames(connection, found?.oid ?? '0', from, named), doing);
  if (to.schema !== from.schema) await connection.query(`CREATE SCHEMA IF NOT EXISTS ${identifier(to.schema)}; ALTER TABLE ${qualified(from.schema, to.name)} SET SCHEMA ${identifier(to.schema)}`, doing);
}

function shortened(name: string): string {
  let cut = name;
  while (Buffer.byteLength(cut) > LONGEST_NAME) cut = cut.slice(0, -1);
  return cut;
}

async function renames(connection: Connection, oid: string, { schema, name }: TableName, renamed: (name: string) => string): Promise<string> {
  const named = await connection.query<{ name: string; kind: string }>(
    `SELECT c.relname AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END AS kind FROM pg_catalog.pg_class c
     WHERE c.oid IN (SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = ${oid})
     OR (c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_catalog.pg_depend WHERE refobjid = ${oid} AND deptype IN ('a', 'i') AND classid = 'pg_catalog.pg_class'::pg_catalog.regclass))`, `looking at ${schema}.${name}`);
  return [...named, { name, kind: 'TABLE' }].map((one) => `ALTER ${one.kind} ${qualified(schema, one.name)} RENAME TO ${identifier(renamed(one.name))}`).join('; ');
}
