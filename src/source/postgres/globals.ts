/** What belongs to the server and not to a database: roles, memberships, tablespaces, privileges on settings; kept as `globals.json`. */
import { z } from 'zod';
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';

/** Beside the folders of the databases. */
export const GLOBALS_FILE = 'globals.json';

const grant = z.object({ grantee: z.string().nullable(), privilege: z.string(), grantable: z.boolean() });

const role = z.object({
  name: z.string(),
  superuser: z.boolean(),
  inherit: z.boolean(),
  createrole: z.boolean(),
  createdb: z.boolean(),
  login: z.boolean(),
  replication: z.boolean(),
  bypassrls: z.boolean(),
  limit: z.number(),
  until: z.string().nullable(),
  /** `name=value`, for all databases; those for one database are in its `database.json`. */
  settings: z.array(z.string()),
  comment: z.string().nullable(),
  /** As the server keeps it, hashed; null: it has none, or we may not read it. Never to be shown. */
  password: z.string().nullable(),
});

const membership = z.object({
  role: z.string(),
  member: z.string(),
  /** Null: the first superuser of the server, or a role that is gone. */
  grantor: z.string().nullable(),
  admin: z.boolean(),
  /** Null: the server is older than 16, which has the options INHERIT and SET. */
  inherit: z.boolean().nullable(),
  set: z.boolean().nullable(),
});

const tablespace = z.object({
  name: z.string(),
  owner: z.string(),
  /** A folder of the server; empty for one that lies within the data directory. */
  location: z.string(),
  /** `name=value` */
  options: z.array(z.string()),
  comment: z.string().nullable(),
  /** Null: those that every tablespace has. */
  grants: z.array(grant).nullable(),
});

export const globalFacts = z.object({
  /** Are the passwords of roles in it? False when the user of the backup may not read them. */
  passwords: z.boolean(),
  roles: z.array(role),
  memberships: z.array(membership),
  tablespaces: z.array(tablespace),
  /** Of servers from 15 on: who may SET a setting that is else for superusers, or ALTER SYSTEM. */
  parameters: z.array(z.object({ name: z.string(), grants: z.array(grant) })),
});

export type GlobalFacts = z.infer<typeof globalFacts>;
export type RoleFacts = z.infer<typeof role>;
export type MembershipFacts = z.infer<typeof membership>;
export type TablespaceFacts = z.infer<typeof tablespace>;

/** Settings whose value is a list that is quoted already. */
const LISTS = /^(search_path|temp_tablespaces|local_preload_libraries|session_preload_libraries|shared_preload_libraries|unix_socket_directories)$/i;

/** `name=value` of the catalogue as `SET name TO value`. */
export function settingSql(setting: string): string {
  const at = setting.indexOf('=');
  const [name, value] = [setting.slice(0, at), setting.slice(at + 1)];
  const dotted = name.split('.').map(identifier).join('.');
  return `SET ${dotted} TO ${LISTS.test(name) ? value || "''" : literal(value)}`;
}

const GRANTS = `pg_catalog.json_agg(pg_catalog.json_build_object('grantee', CASE WHEN x.grantee <> 0 THEN pg_catalog.pg_get_userbyid(x.grantee) END, 'privilege', x.privilege_type, 'grantable', x.is_grantable))`;
const PARAMETERS_SINCE = 15;

/** Everything but passwords can be read by anybody; those only when we may. */
export async function readGlobals(connection: Connection): Promise<GlobalFacts> {
  const [rights] = await connection.query<{ may: boolean; major: number }>(
    `SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS may, pg_catalog.current_setting('server_version_num')::int / 10000 AS major`, 'asking for privileges');
  const { may = false, major = 0 } = rights ?? {};
  const roles = await connection.query<RoleFacts>(
    `SELECT r.rolname AS name, rolsuper AS superuser, rolinherit AS inherit, rolcreaterole AS createrole, rolcreatedb AS createdb, rolcanlogin AS login,
       rolreplication AS replication, rolbypassrls AS bypassrls, rolconnlimit AS "limit", rolvaliduntil::text AS until,
       pg_catalog.shobj_description(r.oid, 'pg_authid') AS comment, ${may ? '(SELECT a.rolpassword FROM pg_catalog.pg_authid a WHERE a.oid = r.oid)' : 'NULL'} AS password,
       coalesce((SELECT pg_catalog.to_json(s.setconfig) FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0), '[]') AS settings
     FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1`,
    'reading the roles',
  );
  const tablespaces = await connection.query<TablespaceFacts>(
    `SELECT t.spcname AS name, pg_catalog.pg_get_userbyid(t.spcowner) AS owner, pg_catalog.pg_tablespace_location(t.oid) AS location, coalesce(pg_catalog.to_json(t.spcoptions), '[]') AS options,
       pg_catalog.shobj_description(t.oid, 'pg_tablespace') AS comment, CASE WHEN t.spcacl IS NOT NULL THEN (SELECT coalesce(${GRANTS}, '[]') FROM pg_catalog.aclexplode(t.spcacl) x) END AS grants
     FROM pg_catalog.pg_tablespace t WHERE t.spcname !~ '^pg_' ORDER BY 1`,
    'reading the tablespaces',
  );
  const parameters = major < PARAMETERS_SINCE ? [] : await connection.query<GlobalFacts['parameters'][number]>(
    `SELECT p.parname AS name, (SELECT ${GRANTS} FROM pg_catalog.aclexplode(p.paracl) x WHERE x.grantee <> 10) AS grants FROM pg_catalog.pg_parameter_acl p
     WHERE EXISTS (SELECT FROM pg_catalog.aclexplode(p.paracl) x WHERE x.grantee <> 10) ORDER BY 1`,
    'reading the privileges on settings',
  );
  return { passwords: may, roles, memberships: await readMemberships(connection), tablespaces, parameters };
}

/** A server of 16 or newer keeps one membership for each grantor; before, the grantor meant nothing. Through JSON, because the columns came with 16. */
async function readMemberships(connection: Connection): Promise<MembershipFacts[]> {
  return await connection.query<MembershipFacts>(
    `SELECT r.rolname AS role, m.rolname AS member, CASE WHEN j ? 'set_option' AND a.grantor <> 10 THEN g.rolname END AS grantor, a.admin_option AS admin,
       (j->>'inherit_option')::bool AS inherit, (j->>'set_option')::bool AS set
     FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member
     LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantor, LATERAL pg_catalog.to_jsonb(a) j
     WHERE m.rolname !~ '^pg_' ORDER BY 1, 2, 3 NULLS FIRST`,
    'reading the memberships of roles',
  );
}
