/** A database that exists and holds nothing, to be filled by somebody who may not make one. */
import { HoldfastError } from '../../../base/errors.ts';
import { Connection } from '../../../client/postgres/connection.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';

/** What is not of the system, of an extension, or the schema that every database has. */
const OWN = `SELECT pg_catalog.format('%s %s', i.type, i.identity) AS name, i.type, i.identity FROM (
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass AS class, oid FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
    UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'
    UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = 'public' AND t.typtype IN ('d', 'e', 'r')
  ) o, LATERAL pg_catalog.pg_identify_object(o.class, o.oid, 0) i
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')`;

/** Throws `path-missing` when it is not there, `target-exists` with what it holds. */
export async function refuseNotEmpty(admin: Connection, target: PostgresTarget): Promise<void> {
  const there = await admin.query<{ name: string }>('SELECT datname AS name FROM pg_catalog.pg_database', 'looking for the database');
  if (!there.some(({ name }) => name === target.database)) {
    throw new HoldfastError('missing-on-target', `There is no database ${target.database}.`, { hint: 'Have an empty one made, or let the restore make it: --into NAME.' });
  }
  const held = await Connection.with(target, async (connection) => await connection.query<{ name: string }>(OWN, 'asking whether the database is empty'));
  if (held.length === 0) return;
  throw new HoldfastError('target-exists', `The database ${target.database} is not empty: it holds ${held.slice(0, 5).map(({ name }) => name).join(', ')}${held.length > 5 ? ` and ${held.length - 5} more` : ''}.`, {
    hint: 'Name an empty one; nothing that exists is overwritten.',
  });
}

/** After a failed restore. What cannot be dropped stays; the error of the restore is what is told. */
export async function emptyAgain(target: PostgresTarget): Promise<void> {
  await Connection.with(target, async (connection) => {
    const held = await connection.query<{ type: string; identity: string }>(OWN, 'emptying the database');
    for (const { type, identity } of held) await connection.query(`DROP ${type.toUpperCase()} IF EXISTS ${identity} CASCADE`, 'emptying the database').catch(() => undefined);
    await connection.query('SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata', 'emptying the database').catch(() => undefined);
  }).catch(() => undefined);
}
