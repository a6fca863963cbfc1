/** May this user read everything? All that is missing is told at once. */
import { HoldfastError } from '../../base/errors.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { findDumpProgram } from '../../client/postgres/pg-dump.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import { prepareReading } from './session.ts';

const MISSING = `
  WITH me AS (SELECT rolsuper OR rolbypassrls AS sees_all FROM pg_catalog.pg_roles WHERE rolname = current_user),
  rel AS (SELECT c.*, n.nspname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'))
  SELECT DISTINCT pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user) AS needed FROM rel WHERE NOT pg_catalog.has_schema_privilege(nspname, 'USAGE')
  UNION SELECT pg_catalog.format('GRANT SELECT ON %s %s TO %I', CASE WHEN relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, name, current_user) FROM rel
    WHERE NOT CASE WHEN relkind = 'S' THEN pg_catalog.has_sequence_privilege(oid, 'SELECT') ELSE pg_catalog.has_table_privilege(oid, 'SELECT') END
  UNION SELECT pg_catalog.format('ALTER ROLE %I BYPASSRLS', current_user) FROM rel, me
    WHERE relrowsecurity AND NOT me.sees_all AND (relforcerowsecurity OR NOT pg_catalog.pg_has_role(relowner, 'USAGE'))
  ORDER BY 1`;

/** Throws `source-failed` with the statements that would give what is missing. */
export async function checkDatabases(targets: readonly PostgresTarget[]): Promise<void> {
  const needed: string[] = [];
  for (const target of targets) {
    await Connection.with(target, async (connection) => {
      await prepareReading(connection);
      const [row] = await connection.query<{ version: string }>(`SELECT pg_catalog.current_setting('server_version') AS version`, 'asking for the version');
      await findDumpProgram(row?.version.split(' ')[0] ?? '0');
      needed.push(...(await connection.query<{ needed: string }>(MISSING, 'checking the privileges')).map((one) => one.needed));
    });
  }
  if (needed.length === 0) return;
  throw new HoldfastError('source-failed', `The user of the backup may not read everything: ${needed.length} privileges are missing.`, {
    hint: `Run as a superuser: ${[...new Set(needed)].join('; ')};`,
  });
}
