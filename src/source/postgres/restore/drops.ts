/** What must go from a database so that a backup's objects can come, and what hangs on it from outside. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { literal } from '../../../client/postgres/sql-quote.ts';
import { shownEntry, type SchemaEntry } from './schema-entry.ts';

export interface Drop {
  readonly entry: SchemaEntry;
  /** As SQL names it: `app.orders`, `app.f(integer)`. */
  readonly identity: string;
  readonly statement: string;
}

/** Containers that may hold what is not ours, and what is more than an object of the schema. */
const STAYS = new Set(['SCHEMA', 'EXTENSION', 'PROCEDURAL LANGUAGE', 'DATABASE', 'LARGE OBJECT', 'BLOB']);

/** pg_dump writes an object's name as DROP takes it where it gives it to its owner; `_getObjectDescription` in pg_backup_archiver.c does the same the other way round. */
const OWNED = /^ALTER ((?:[A-Z]+ )+)(.+) OWNER TO .+$/s;
const CAST = /^CREATE CAST (\(.+? AS .+?\)) /s;

/** In the order in which to run them: what was made last goes first. */
export function dropsOf(entries: readonly SchemaEntry[]): Drop[] {
  return entries.toReversed().flatMap((entry) => {
    if (STAYS.has(entry.kind)) return [];
    // An identity column brings its sequence and takes it along.
    if (entry.kind === 'SEQUENCE' && entry.statements[0]?.startsWith('ALTER TABLE ') === true) return [];
    const cast = entry.kind === 'CAST' ? CAST.exec(entry.statements[0] ?? '')?.[1] : undefined;
    const identity = cast ?? entry.statements.map((statement) => OWNED.exec(statement)?.[2]).find((name) => name !== undefined);
    // The caller knows that nothing from outside hangs on it, or was told to take it along.
    return identity === undefined ? [] : [{ entry, identity, statement: `DROP ${entry.kind} IF EXISTS ${identity} CASCADE` }];
  });
}

/** Those of the objects that are there now, for people; large ones as tables with their rows come first. */
export async function thoseToDrop(connection: Connection, drops: readonly Drop[]): Promise<string[]> {
  const found = await connection.query<{ identity: string; kind: string }>(existing(drops), 'looking at what will be dropped');
  const there = new Set(found.map(({ identity, kind }) => `${kind} ${identity}`));
  return drops.filter(({ entry, identity }) => there.has(`${entry.kind} ${identity}`)).map(({ entry }) => shownEntry(entry)).toReversed();
}

/** Objects that would go with them although the backup does not have them. */
export async function dependentsOutside(connection: Connection, drops: readonly Drop[]): Promise<string[]> {
  const rows = await connection.query<{ name: string }>(
    `WITH ours AS (${existing(drops)}),
     ends AS (SELECT d.classid, d.objid, d.objsubid, CASE d.classid
         WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN (SELECT NULLIF(k.conrelid, 0) FROM pg_catalog.pg_constraint k WHERE k.oid = d.objid)
         WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN (SELECT w.ev_class FROM pg_catalog.pg_rewrite w WHERE w.oid = d.objid)
         WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass THEN (SELECT a.adrelid FROM pg_catalog.pg_attrdef a WHERE a.oid = d.objid)
         WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN (SELECT t.tgrelid FROM pg_catalog.pg_trigger t WHERE t.oid = d.objid)
         WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN (SELECT p.polrelid FROM pg_catalog.pg_policy p WHERE p.oid = d.objid)
         WHEN 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass THEN (SELECT s.stxrelid FROM pg_catalog.pg_statistic_ext s WHERE s.oid = d.objid)
         WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN (SELECT NULLIF(coalesce(NULLIF(t.typrelid, 0), (SELECT e.typrelid FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)), 0) FROM pg_catalog.pg_type t WHERE t.oid = d.objid)
         WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN coalesce((SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid = d.objid), d.objid) END AS relation
       FROM pg_catalog.pg_depend d JOIN ours ON ours.class = d.refclassid AND ours.oid = d.refobjid WHERE d.deptype IN ('n', 'a'))
     SELECT DISTINCT CASE e.classid WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, e.relation, 0)
       ELSE pg_catalog.pg_describe_object(e.classid, e.objid, e.objsubid) END AS name FROM ends e
     WHERE NOT EXISTS (SELECT FROM ours o WHERE o.oid = coalesce(e.relation, e.objid) AND (e.relation IS NULL AND o.class = e.classid OR e.relation IS NOT NULL AND o.class = 'pg_catalog.pg_class'::pg_catalog.regclass))
       AND NOT EXISTS (SELECT FROM ours o JOIN pg_catalog.pg_depend x ON x.classid = e.classid AND x.objid = e.objid AND x.refobjid = o.oid AND x.deptype = 'i')
       AND NOT EXISTS (SELECT FROM ours o JOIN pg_catalog.pg_constraint k ON k.contypid = o.oid WHERE e.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = e.objid)
       AND e.classid NOT IN ('pg_catalog.pg_publication_rel'::pg_catalog.regclass, 'pg_catalog.pg_default_acl'::pg_catalog.regclass) ORDER BY 1`,
    'looking at what depends on it',
  );
  return rows.map(({ name }) => name);
}

const RELATIONS = new Set(['TABLE', 'VIEW', 'MATERIALIZED VIEW', 'SEQUENCE', 'FOREIGN TABLE']);
const ROUTINES = new Set(['FUNCTION', 'PROCEDURE', 'AGGREGATE']);

/** SQL that gives `class`, `oid`, `kind` and `identity` of those that exist; kinds without a reg type do not count. */
function existing(drops: readonly Drop[]): string {
  const parts = drops.flatMap(({ entry: { kind }, identity }) => {
    const name = literal(identity);
    const row = (catalog: string, oid: string): string => `('pg_catalog.${catalog}'::pg_catalog.regclass, ${oid}::pg_catalog.oid, ${literal(kind)}, ${name})`;
    if (RELATIONS.has(kind)) return [row('pg_class', `pg_catalog.to_regclass(${name})`)];
    if (ROUTINES.has(kind)) return [row('pg_proc', kind === 'AGGREGATE' ? 'NULL' : `pg_catalog.to_regprocedure(${literal(withoutNames(identity))})`)];
    return kind === 'TYPE' || kind === 'DOMAIN' ? [row('pg_type', `pg_catalog.to_regtype(${name})`)] : [];
  });
  const values = parts.length === 0 ? `(NULL::pg_catalog.regclass, NULL::pg_catalog.oid, '', '')` : parts.join(', ');
  return `SELECT * FROM (VALUES ${values}) v(class, oid, kind, identity) WHERE oid IS NOT NULL`;
}

/** `app.f(x integer, OUT y text)` as `app.f(integer)`: to_regprocedure takes types of what goes in. */
function withoutNames(identity: string): string {
  const at = identity.indexOf('(');
  const list = identity.slice(at + 1, -1).split(/,\s*/).filter((one) => one !== '' && !/^(?:OUT|TABLE) /.test(one));
  const type = (one: string): string => one.replace(/^(?:IN|INOUT|VARIADIC) /, '').replace(/^(?:"(?:[^"]|"")+"|[a-z_][\w$]*) (?=\S)(?!precision|varying|with|without)/, '');
  return `${identity.slice(0, at)}(${list.map(type).join(', ')})`;
}
