/** Which rights a backup needs in a database, and the statements that would give those that are missing. */
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';
import type { Part } from '../source.ts';
import { means } from './choose.ts';
import { prepareReading } from './session.ts';

/** What this user lacks in one database. */
export interface MissingRights {
  readonly database: string;
  readonly user: string;
  /** Each as a person would say it: `SELECT on table app.customer`. */
  readonly missing: readonly string[];
  /** To be run by a superuser in this database. */
  readonly statements: readonly string[];
}

interface Lack {
  readonly kind: 'schema' | 'table' | 'sequence' | 'policy' | 'large object';
  readonly schema: string | null;
  readonly name: string;
}

/** Which of the rights a backup of this part makes use of: pg_dump locks every table, and rows alone come without it. */
function isUsed({ kind, schema, name }: Lack, part: Part | undefined): boolean {
  if (part === undefined) return true;
  const { only, tables } = part;
  const meant = tables === undefined || (schema !== null && tables.some((pattern) => means(pattern.includes('.') ? pattern : `*.${pattern}`, `${schema}.${name}`)));
  if (kind === 'table') return only !== 'data' || meant;
  if (kind === 'policy') return only !== 'schema' && meant;
  if (kind === 'schema') return only !== 'data' || tables === undefined || tables.some((pattern) => !pattern.includes('.') || means(pattern.split('.')[0] ?? '', name));
  return only !== 'schema' && tables === undefined;
}

/** One GRANT for each up to here, then one for all. */
const SINGLY = 5;
const READ_ALL_DATA_SINCE = 14;

/**
 * Schemas and relations that pg_dump locks and we read: tables of the user, and of extensions those that hold configuration. A policy
 * hides rows unless the role bypasses all, or owns a table whose policies are not forced on its owner. Rights on large objects have no
 * function before 18, so the list of rights itself is read.
 */
const LACKING = `
  WITH me AS (SELECT rolsuper AS super, rolsuper OR rolbypassrls AS sees_all FROM pg_catalog.pg_roles WHERE rolname = current_user),
  config AS (SELECT pg_catalog.unnest(extconfig) AS oid FROM pg_catalog.pg_extension),
  rel AS (SELECT c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner, c.relname, n.oid AS schema_oid, n.nspname FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND (c.oid IN (SELECT oid FROM config) OR (n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'))))
  SELECT DISTINCT 'schema' AS kind, nspname::text AS schema, nspname::text AS name FROM rel WHERE NOT pg_catalog.has_schema_privilege(schema_oid, 'USAGE')
  UNION ALL SELECT CASE WHEN relkind = 'S' THEN 'sequence' ELSE 'table' END, nspname::text, relname::text FROM rel
    WHERE NOT CASE WHEN relkind = 'S' THEN pg_catalog.has_sequence_privilege(oid, 'SELECT') ELSE pg_catalog.has_table_privilege(oid, 'SELECT') END
  UNION ALL SELECT 'policy', nspname::text, relname::text FROM rel, me
    WHERE relrowsecurity AND NOT me.sees_all AND (relforcerowsecurity OR NOT pg_catalog.pg_has_role(relowner, 'USAGE'))
  UNION ALL SELECT 'large object', NULL, m.oid::text FROM pg_catalog.pg_largeobject_metadata m, me
    WHERE NOT me.super AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') AND pg_catalog.current_setting('lo_compat_privileges')::bool IS FALSE
    AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) x WHERE x.privilege_type = 'SELECT' AND (x.grantee = 0 OR pg_catalog.pg_has_role(x.grantee, 'USAGE')))
  ORDER BY 1, 2, 3`;

/** What is missing to read this database, or this part of it; undefined: nothing is. */
export async function missingRights(connection: Connection, part: Part | undefined): Promise<MissingRights | undefined> {
  await prepareReading(connection);
  const lacking = (await connection.query<Lack>(LACKING, 'checking the privileges')).filter((lack) => isUsed(lack, part));
  if (lacking.length === 0) return undefined;
  const [me] = await connection.query<{ user: string; major: number }>(`SELECT current_user::text AS user, pg_catalog.current_setting('server_version_num')::int / 10000 AS major`, 'asking for the version');
  const { user = '', major = 0 } = me ?? {};
  return { database: connection.target.database, user, missing: lacking.map(describe), statements: statementsFor(lacking, identifier(user), major) };
}

function describe({ kind, schema, name }: Lack): string {
  if (kind === 'schema') return `USAGE on schema ${name}`;
  if (kind === 'policy') return `BYPASSRLS for the policies of ${schema}.${name}`;
  return `SELECT on ${kind} ${schema === null ? name : `${schema}.${name}`}`;
}

function statementsFor(lacking: readonly Lack[], user: string, major: number): string[] {
  const of = (...kinds: readonly Lack['kind'][]): Lack[] => lacking.filter(({ kind }) => kinds.includes(kind));
  const relations = of('schema', 'table', 'sequence');
  const statements: string[] = [];
  if (relations.length > 0 && major >= READ_ALL_DATA_SINCE) statements.push(`GRANT pg_read_all_data TO ${user}`);
  else if (relations.length > 0) statements.push(...grantsOf(relations, user));
  if (of('policy').length > 0) statements.push(`ALTER ROLE ${user} BYPASSRLS`);
  return [...statements, ...largeObjectGrants(of('large object'), user)];
}

/** For servers before 14, which have no role that reads everything. */
function grantsOf(lacking: readonly Lack[], user: string): string[] {
  const statements: string[] = [];
  for (const [schema, lacks] of Map.groupBy(lacking, (lack) => lack.schema ?? '')) {
    const name = identifier(schema);
    if (lacks.some(({ kind }) => kind === 'schema')) statements.push(`GRANT USAGE ON SCHEMA ${name} TO ${user}`);
    for (const [kind, word] of [['table', 'TABLE'], ['sequence', 'SEQUENCE']] as const) {
      const these = lacks.filter((lack) => lack.kind === kind);
      if (these.length > SINGLY) statements.push(`GRANT SELECT ON ALL ${word}S IN SCHEMA ${name} TO ${user}`);
      else statements.push(...these.map((lack) => `GRANT SELECT ON ${word} ${name}.${identifier(lack.name)} TO ${user}`));
    }
  }
  return statements;
}

function largeObjectGrants(objects: readonly Lack[], user: string): string[] {
  if (objects.length <= SINGLY) return objects.map(({ name }) => `GRANT SELECT ON LARGE OBJECT ${name} TO ${user}`);
  const body = `DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP EXECUTE pg_catalog.format('GRANT SELECT ON LARGE OBJECT %s TO %s', o, ${literal(user)}); END LOOP; END`;
  return [`DO ${literal(body)}`];
}
