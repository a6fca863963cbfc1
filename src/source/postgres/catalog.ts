/** What is in a database that we carry ourselves: tables, sequences, large objects. Read under one snapshot. */
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal, qualified } from '../../client/postgres/sql-quote.ts';
import type { SequenceManifest } from './manifest.ts';

export interface CatalogTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** Bytes on disk. */
  readonly size: number;
  /** Without generated columns, in order. */
  readonly columns: readonly string[];
  readonly condition: string;
  readonly extension: boolean;
  /** Of the main fork, without what is stored apart. */
  readonly blocks: number;
  /** A hash of the names and types of all columns. */
  readonly shape: string;
  /** The first column of a unique index that knows no null, where its type is one that can be written as text and read again without loss. */
  readonly key?: { readonly column: string; readonly type: string } | undefined;
  /** The partitioned tables above it, as `schema.table`. */
  readonly above: readonly string[];
}

export interface LargeObject {
  readonly oid: string;
  readonly owner: string;
  readonly comment: string | null;
  readonly grants: readonly { readonly grantee: string | null; readonly privilege: string; readonly grantable: boolean }[];
}

const USER_SCHEMA = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`;
const OF_EXTENSION = `EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.objid = c.oid AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass)`;

/** int8, int2, int4, text, date, timestamp, timestamptz, numeric, varchar, uuid: pg_type.dat of Postgres. */
const KEY_TYPES = '20, 21, 23, 25, 1082, 1114, 1184, 1700, 1043, 2950';

/** Tables with rows of their own, largest first: plain ones and leaves of partitions, unlogged ones too; of extensions only configuration. */
export async function readTables(connection: Connection): Promise<CatalogTable[]> {
  const rows = await connection.query<Omit<CatalogTable, 'key'> & { size: string; blocks: string; key: CatalogTable['key'] | null }>(
    `SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name, pg_catalog.pg_table_size(c.oid)::text AS size,
       coalesce((SELECT pg_catalog.json_agg(a.attname ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), '[]') AS columns,
       coalesce(e.condition, '') AS condition, e.extension IS NOT NULL AS extension,
       (pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8)::text AS blocks,
       (SELECT pg_catalog.md5(coalesce(pg_catalog.string_agg(pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated), ', ' ORDER BY a.attnum), '')) FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS shape,
       (SELECT pg_catalog.json_build_object('column', a.attname, 'type', 'pg_catalog.' || t.typname) FROM pg_catalog.pg_index i
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
         WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND a.attnotnull AND a.atttypid IN (${KEY_TYPES})
         ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1) AS key,
       coalesce((SELECT pg_catalog.json_agg(pg_catalog.format('%s.%s', an.nspname, ac.relname)) FROM pg_catalog.pg_partition_ancestors(c.oid) x
         JOIN pg_catalog.pg_class ac ON ac.oid = x.relid JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace WHERE x.relid <> c.oid), '[]') AS above
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN (SELECT extname AS extension, pg_catalog.unnest(extconfig) AS oid, pg_catalog.unnest(extcondition) AS condition
       FROM pg_catalog.pg_extension) e ON e.oid = c.oid
     WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ((${USER_SCHEMA} AND NOT ${OF_EXTENSION}) OR e.oid IS NOT NULL)
       AND (c.relpersistence <> 'u' OR NOT pg_catalog.pg_is_in_recovery())
     ORDER BY pg_catalog.pg_table_size(c.oid) DESC, n.nspname, c.relname`,
    'listing the tables',
  );
  return rows.map((row) => ({ ...row, size: Number(row.size), blocks: Number(row.blocks), key: row.key ?? undefined }));
}

/** Tables without rows of their own here, with the reason. */
export async function readLeftOut(connection: Connection): Promise<{ subject: string; because: string }[]> {
  return await connection.query(
    `SELECT n.nspname || '.' || c.relname AS subject, 'foreign table: its rows are on another server' AS because
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND ${USER_SCHEMA}
     UNION ALL SELECT n.nspname || '.' || c.relname, 'unlogged table: a standby has no rows of it' FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery() AND ${USER_SCHEMA}
     UNION ALL SELECT spcname, 'tablespace: its tables go to the default tablespace' FROM pg_catalog.pg_tablespace WHERE spcname !~ '^pg_' ORDER BY 1`,
    'listing what is left out',
  );
}

/** Values as the server shows them now: sequences stand outside of transactions. Of tables only those that belong to their columns. */
export async function readSequences(connection: Connection, of?: readonly { readonly oid: string }[]): Promise<SequenceManifest[]> {
  const oids = `pg_catalog.unnest(${literal(`{${of?.map(({ oid }) => oid).join(',') ?? ''}}`)}::oid[]) o`;
  const owned = of === undefined ? '' : ` AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
       AND d.refobjid IN (SELECT o FROM ${oids} UNION SELECT x.relid FROM ${oids}, pg_catalog.pg_partition_ancestors(o) x))`;
  const names = await connection.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ${USER_SCHEMA} AND (NOT ${OF_EXTENSION}
       OR c.oid IN (SELECT pg_catalog.unnest(extconfig) FROM pg_catalog.pg_extension))${owned} ORDER BY 1, 2`,
    'listing the sequences',
  );
  const found: SequenceManifest[] = [];
  for (let at = 0; at < names.length; at += 500) {
    const part = names.slice(at, at + 500).map(({ schema, name }) =>
      `SELECT ${literal(schema)}::text AS schema, ${literal(name)}::text AS name, last_value::text AS "lastValue", is_called AS "isCalled" FROM ${qualified(schema, name)}`);
    found.push(...(await connection.query<SequenceManifest>(part.join(' UNION ALL '), 'reading the sequences')));
  }
  return found;
}

export function sequencesSql(sequences: readonly SequenceManifest[]): string {
  return sequences
    .map(({ schema, name, lastValue, isCalled }) => `SELECT pg_catalog.setval(${literal(qualified(schema, name))}, ${lastValue}, ${isCalled});\n`)
    .join('');
}

export async function readLargeObjects(connection: Connection): Promise<LargeObject[]> {
  return await connection.query<LargeObject>(
    `SELECT m.oid::text AS oid, pg_catalog.pg_get_userbyid(m.lomowner) AS owner, pg_catalog.obj_description(m.oid, 'pg_largeobject') AS comment,
       coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('grantee', CASE WHEN x.grantee <> 0 THEN pg_catalog.pg_get_userbyid(x.grantee) END,
         'privilege', x.privilege_type, 'grantable', x.is_grantable)) FROM pg_catalog.aclexplode(m.lomacl) x), '[]') AS grants
     FROM pg_catalog.pg_largeobject_metadata m ORDER BY m.oid`,
    'listing the large objects',
  );
}

/** The list of columns as COPY takes it; a table without columns takes none. */
export function columnList(columns: readonly string[]): string {
  return columns.length === 0 ? '' : ` (${columns.map(identifier).join(', ')})`;
}

/** Reads the rows of a table that belong to the backup, or those of a range of it: `WHERE …`, which may say an order. */
export function copyOutSql(table: { schema: string; name: string; columns: readonly string[]; condition: string }, range = ''): string {
  const name = qualified(table.schema, table.name);
  if (range !== '') return `COPY (SELECT ${table.columns.map(identifier).join(', ')} FROM ONLY ${name} ${range}) TO STDOUT`;
  if (table.condition === '') return `COPY ${name}${columnList(table.columns)} TO STDOUT`;
  return `COPY (SELECT ${table.columns.map(identifier).join(', ')} FROM ONLY ${name} ${table.condition}) TO STDOUT`;
}
