/** The properties of a database itself: encoding, locale, owner, privileges, settings; kept as `database.json`. */
import { z } from 'zod';
import type { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';
import { settingSql } from './globals.ts';

const grant = z.object({ grantee: z.string().nullable(), privilege: z.string(), grantable: z.boolean() });

export const databaseProperties = z.object({
  name: z.string(),
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  /** `c` libc, `i` ICU, `b` builtin. */
  provider: z.string(),
  locale: z.string().nullable(),
  icuRules: z.string().nullable(),
  owner: z.string(),
  connectionLimit: z.number(),
  comment: z.string().nullable(),
  /** Null: those that every database has. */
  grants: z.array(grant).nullable(),
  /** `name=value`; role null means all roles. */
  settings: z.array(z.object({ role: z.string().nullable(), setting: z.string() })),
});

export type DatabaseProperties = z.infer<typeof databaseProperties>;
export type Grant = z.infer<typeof grant>;

export async function readDatabase(connection: Connection): Promise<DatabaseProperties | undefined> {
  const [found] = await connection.query<{ properties: DatabaseProperties }>(
    `SELECT pg_catalog.json_build_object('name', d.datname, 'encoding', pg_catalog.pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
       'provider', coalesce(j->>'datlocprovider', 'c'), 'locale', coalesce(j->>'datlocale', j->>'daticulocale'), 'icuRules', j->>'daticurules',
       'owner', pg_catalog.pg_get_userbyid(d.datdba), 'connectionLimit', d.datconnlimit, 'comment', pg_catalog.shobj_description(d.oid, 'pg_database'),
       'grants', CASE WHEN d.datacl IS NOT NULL THEN (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
         'grantee', CASE WHEN x.grantee <> 0 THEN pg_catalog.pg_get_userbyid(x.grantee) END, 'privilege', x.privilege_type, 'grantable', x.is_grantable)), '[]')
         FROM pg_catalog.aclexplode(d.datacl) x) END,
       'settings', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('role', CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole) END,
         'setting', v)), '[]') FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) v WHERE s.setdatabase = d.oid)) AS properties
     FROM pg_catalog.pg_database d, LATERAL pg_catalog.to_jsonb(d) j WHERE d.datname = pg_catalog.current_database()`,
    'reading the properties of the database',
  );
  return found?.properties;
}

/** The same with a locale of the C library in place of its own. */
export function withLocale(like: DatabaseProperties, locale: string | undefined): DatabaseProperties {
  return locale === undefined ? like : { ...like, collate: locale, ctype: locale, provider: 'c', locale: null, icuRules: null };
}

/** CREATE DATABASE of the same kind under another name, for a server of this major version. */
export function createDatabaseSql(name: string, like: DatabaseProperties, major: number): string {
  const parts = [`CREATE DATABASE ${identifier(name)} TEMPLATE template0 ENCODING ${literal(like.encoding)}`];
  parts.push(`LC_COLLATE ${literal(like.collate)} LC_CTYPE ${literal(like.ctype)}`);
  if (major >= 15 && like.provider === 'i') parts.push(`LOCALE_PROVIDER icu ICU_LOCALE ${literal(like.locale ?? 'und')}`);
  if (major >= 16 && like.icuRules !== null) parts.push(`ICU_RULES ${literal(like.icuRules)}`);
  if (major >= 17 && like.provider === 'b') parts.push(`LOCALE_PROVIDER builtin BUILTIN_LOCALE ${literal(like.locale ?? 'C')}`);
  if (major >= 15 && like.provider === 'c') parts.push('LOCALE_PROVIDER libc');
  return parts.join(' ');
}

/** Owner, privileges, settings and comment, to be run once the content is in. */
export function databasePropertiesSql(name: string, like: DatabaseProperties): string[] {
  const database = identifier(name);
  const run = [`ALTER DATABASE ${database} OWNER TO ${identifier(like.owner)}`];
  if (like.grants !== null) {
    run.push(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC, ${identifier(like.owner)}`);
    run.push(...like.grants.map((one) => grantSql(one, `DATABASE ${database}`)));
  }
  for (const { role, setting } of like.settings) {
    run.push(role === null ? `ALTER DATABASE ${database} ${settingSql(setting)}` : `ALTER ROLE ${identifier(role)} IN DATABASE ${database} ${settingSql(setting)}`);
  }
  if (like.connectionLimit !== -1) run.push(`ALTER DATABASE ${database} CONNECTION LIMIT ${like.connectionLimit}`);
  if (like.comment !== null) run.push(`COMMENT ON DATABASE ${database} IS ${literal(like.comment)}`);
  return run;
}

export function grantSql({ grantee, privilege, grantable }: Grant, object: string): string {
  return `GRANT ${privilege} ON ${object} TO ${grantee === null ? 'PUBLIC' : identifier(grantee)}${grantable ? ' WITH GRANT OPTION' : ''}`;
}
