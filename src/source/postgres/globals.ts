/** Roles, which belong to the server and not to a database, as one statement that makes what is missing and leaves alone what is there. */
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';

interface Role {
  readonly name: string;
  readonly superuser: boolean;
  readonly inherit: boolean;
  readonly createrole: boolean;
  readonly createdb: boolean;
  readonly login: boolean;
  readonly replication: boolean;
  readonly bypassrls: boolean;
  readonly limit: number;
  readonly until: string | null;
  readonly settings: readonly string[];
  readonly comment: string | null;
}

interface Membership {
  readonly role: string;
  readonly member: string;
  readonly admin: boolean;
}

/** Settings whose value is a list that is quoted already. */
const LISTS = /^(search_path|temp_tablespaces|local_preload_libraries|session_preload_libraries|shared_preload_libraries|unix_socket_directories)$/i;

/** `name=value` of the catalogue as `SET name TO value`. */
export function settingSql(setting: string): string {
  const at = setting.indexOf('=');
  const [name, value] = [setting.slice(0, at), setting.slice(at + 1)];
  const dotted = name.split('.').map(identifier).join('.');
  return `SET ${dotted} TO ${LISTS.test(name) ? value || "''" : literal(value)}`;
}

function createRole(role: Role, password: string | undefined): string {
  const flag = (on: boolean, name: string): string => `${on ? '' : 'NO'}${name}`;
  const parts = [
    flag(role.superuser, 'SUPERUSER'), flag(role.inherit, 'INHERIT'), flag(role.createrole, 'CREATEROLE'), flag(role.createdb, 'CREATEDB'),
    flag(role.login, 'LOGIN'), flag(role.replication, 'REPLICATION'), flag(role.bypassrls, 'BYPASSRLS'), `CONNECTION LIMIT ${role.limit}`,
  ];
  if (role.until !== null) parts.push(`VALID UNTIL ${literal(role.until)}`);
  if (password !== undefined) parts.push(`PASSWORD ${literal(password)}`);
  return `CREATE ROLE ${identifier(role.name)} WITH ${parts.join(' ')}`;
}

/**
 * The roles of the server as SQL. Passwords (as the server keeps them: hashed) are in it when we may read them; else
 * `withoutPasswords` is true.
 */
export async function readGlobals(connection: Connection): Promise<{ sql: string; roles: number; withoutPasswords: boolean }> {
  const [rights] = await connection.query<{ may: boolean }>(`SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS may`, 'asking for privileges');
  const may = rights?.may === true;
  const roles = await connection.query<Role>(
    `SELECT r.rolname AS name, rolsuper AS superuser, rolinherit AS inherit, rolcreaterole AS createrole, rolcreatedb AS createdb, rolcanlogin AS login,
       rolreplication AS replication, rolbypassrls AS bypassrls, rolconnlimit AS "limit", rolvaliduntil::text AS until,
       pg_catalog.shobj_description(r.oid, 'pg_authid') AS comment,
       coalesce((SELECT pg_catalog.to_json(s.setconfig) FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0), '[]') AS settings
     FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1`,
    'reading the roles',
  );
  const passwords = may ? await connection.query<{ name: string; password: string }>(`SELECT rolname AS name, rolpassword AS password FROM pg_catalog.pg_authid WHERE rolpassword IS NOT NULL`, 'reading the passwords of roles') : [];
  const memberships = await connection.query<Membership>(
    `SELECT r.rolname AS role, m.rolname AS member, pg_catalog.bool_or(a.admin_option) AS admin FROM pg_catalog.pg_auth_members a
     JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member WHERE m.rolname !~ '^pg_' GROUP BY 1, 2 ORDER BY 1, 2`,
    'reading the memberships of roles',
  );
  const kept = new Map(passwords.map(({ name, password }) => [name, password]));
  const blocks = roles.map((role) => roleBlock(role, kept.get(role.name)));
  const grants = memberships.map(({ role, member, admin }) =>
    `  IF ${literal(member)} = ANY (made) OR ${literal(role)} = ANY (made) THEN\n    EXECUTE ${literal(`GRANT ${identifier(role)} TO ${identifier(member)}${admin ? ' WITH ADMIN OPTION' : ''}`)};\n  END IF;\n`);
  const body = `DECLARE made text[] := '{}';\nBEGIN\n${blocks.join('')}${grants.join('')}END`;
  return { sql: `${header(may)}DO ${literalBody(body)};\n`, roles: roles.length, withoutPasswords: !may };
}

function header(may: boolean): string {
  return `-- Roles of the server. Those that exist are left as they are.\n${may ? '' : '-- Without passwords: the user of the backup may not read them.\n'}`;
}

function roleBlock(role: Role, password: string | undefined): string {
  const statements = [createRole(role, password)];
  for (const setting of role.settings) statements.push(`ALTER ROLE ${identifier(role.name)} ${settingSql(setting)}`);
  if (role.comment !== null) statements.push(`COMMENT ON ROLE ${identifier(role.name)} IS ${literal(role.comment)}`);
  const runs = statements.map((statement) => `    EXECUTE ${literal(statement)};\n`).join('');
  const name = literal(role.name);
  return `  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${name}) THEN\n${runs}    made := made || ${name}::text;\n  END IF;\n`;
}

/** A dollar quote that the body does not hold. */
function literalBody(body: string): string {
  let tag = '$roles$';
  for (let turn = 0; body.includes(tag); turn++) tag = `$roles${turn}$`;
  return `${tag}\n${body}\n${tag}`;
}
