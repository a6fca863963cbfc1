/** What a restore meets on the target: the server, our rights there, its roles, extensions, tablespaces and databases. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { literal } from '../../../client/postgres/sql-quote.ts';
import { sqlState } from '../../../client/postgres/failure.ts';

export interface TargetRole {
  readonly name: string;
  /** We may give things to it: SET ROLE would work. */
  readonly member: boolean;
}

export interface AvailableExtension {
  readonly name: string;
  /** What CREATE EXTENSION makes. */
  readonly version: string;
  /** Only superusers may make it. */
  readonly superuser: boolean;
}

export interface TargetDatabase {
  readonly name: string;
  readonly owner: string;
  /** We are its owner, or may be. */
  readonly ours: boolean;
}

export interface TargetFacts {
  /** 18 */
  readonly major: number;
  /** `18.4` */
  readonly version: string;
  readonly me: string;
  readonly superuser: boolean;
  readonly createdb: boolean;
  readonly createrole: boolean;
  readonly readOnly: boolean;
  readonly roles: ReadonlyMap<string, TargetRole>;
  readonly extensions: ReadonlyMap<string, AvailableExtension>;
  readonly tablespaces: readonly string[];
  readonly databases: ReadonlyMap<string, TargetDatabase>;
  /** Those that were asked for and that the C library of the server has. */
  readonly locales: ReadonlySet<string>;
  readonly icu: boolean;
}

const SERVER = `SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major, pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) AS version,
  current_user AS me, r.rolsuper AS superuser, r.rolcreatedb OR r.rolsuper AS createdb, r.rolcreaterole OR r.rolsuper AS createrole,
  pg_catalog.current_setting('default_transaction_read_only') = 'on' OR pg_catalog.pg_is_in_recovery() AS "readOnly",
  EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collprovider = 'i') AS icu,
  coalesce((SELECT pg_catalog.json_agg(spcname) FROM pg_catalog.pg_tablespace), '[]') AS tablespaces
  FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`;

/** From 16 on being a member and being able to SET ROLE are two things. */
const roles = (major: number): string => `SELECT rolname AS name, pg_catalog.pg_has_role(oid, ${major >= 16 ? `'SET'` : `'MEMBER'`}) AND pg_catalog.pg_has_role(oid, 'USAGE') AS member FROM pg_catalog.pg_roles`;

/** Trusted extensions (13) are for everybody who may create in the database. */
const extensions = (major: number): string => `SELECT e.name, e.default_version AS version, v.superuser ${major >= 13 ? 'AND NOT v.trusted' : ''} AS superuser
  FROM pg_catalog.pg_available_extensions e JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version`;

/** `locales`: names of locales that the restore needs. */
export async function readTarget(connection: Connection, wanted: readonly string[]): Promise<TargetFacts> {
  const doing = 'looking at the target';
  type Server = Omit<TargetFacts, 'roles' | 'extensions' | 'databases' | 'locales'>;
  const [server] = await connection.query<Server>(SERVER, doing);
  const major = server?.major ?? 0;
  const found = await connection.query<TargetRole>(roles(major), doing);
  const available = await connection.query<AvailableExtension>(extensions(major), doing);
  const databases = await connection.query<TargetDatabase>(
    `SELECT datname AS name, pg_catalog.pg_get_userbyid(datdba) AS owner, pg_catalog.pg_has_role(datdba, 'USAGE') AS ours FROM pg_catalog.pg_database`, doing);
  const locales = new Set<string>();
  for (const name of new Set(wanted)) if (await hasLocale(connection, name)) locales.add(name);
  return {
    ...(server ?? { major, version: '', me: '', superuser: false, createdb: false, createrole: false, readOnly: false, tablespaces: [], icu: false }),
    roles: new Map(found.map((one) => [one.name, one])), extensions: new Map(available.map((one) => [one.name, one])),
    databases: new Map(databases.map((one) => [one.name, one])), locales,
  };
}

/** Catalogues list the locales that were there at initdb; the server itself tries one when it is to write money with it. */
async function hasLocale(connection: Connection, name: string): Promise<boolean> {
  try {
    await connection.query(`SELECT pg_catalog.set_config('lc_monetary', ${literal(name)}, true)`, 'asking for a locale');
    return true;
  } catch (error) {
    if (sqlState(error) !== '22023') throw error;
    return false;
  }
}

/** 18 */
export async function majorOf(connection: Connection): Promise<number> {
  const [row] = await connection.query<{ major: number }>(`SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major`, 'asking for the version');
  return row?.major ?? 0;
}
