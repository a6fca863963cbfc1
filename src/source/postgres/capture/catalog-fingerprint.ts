/**
 * A fingerprint of all that pg_dump reads of a schema, computed by the server: some bytes cross the network where a dump of the smallest
 * schema takes 700 KB. Equal fingerprints of one server with one pg_dump mean an equal dump.
 */
import { createHash } from 'node:crypto';
import { VERSION } from '../../../base/version.ts';
import type { Connection } from '../../../client/postgres/connection.ts';
import { identifier } from '../../../client/postgres/sql-quote.ts';

/** What changes without a change of the schema: statistics, the age of rows, where a table lies, hints that VACUUM clears. */
const VOLATILE: Readonly<Record<string, readonly string[]>> = {
  pg_class: ['relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid', 'relfilenode', 'relrewrite', 'relhasindex', 'relhasrules', 'relhastriggers', 'relhassubclass'],
  pg_index: ['indcheckxmin'],
  pg_database: ['datfrozenxid', 'datminmxid'],
};

/** Of catalogues that all databases share, what a dump of this one shows: itself, the names of owners and tablespaces, comments and labels. */
const SHARED: Readonly<Record<string, string>> = {
  pg_database: 'c.datname = pg_catalog.current_database()',
  pg_db_role_setting: 'c.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())',
  pg_shdescription: 'true',
  pg_shseclabel: 'true',
};
/** Schemas of temporary tables stay when their sessions have ended. A temporary table that is there now only costs a dump. */
const PERMANENT: Readonly<Record<string, string>> = { pg_namespace: "c.nspname !~ '^pg_(toast_)?temp_'" };
const NAMES = ['SELECT oid, rolname FROM pg_catalog.pg_roles', 'SELECT oid, spcname FROM pg_catalog.pg_tablespace'];

/** Rows of data, or of a state that is not dumped. */
const LEFT_OUT = ['pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata', 'pg_subscription_rel'];

/** 64 hex digits. The session sees what its snapshot shows. Catalogues that its user may not read, pg_dump does not read for it either. */
export async function catalogFingerprint(connection: Connection): Promise<string> {
  const found = await connection.query<{ name: string; shared: boolean }>(
    `SELECT relname AS name, relisshared AS shared FROM pg_catalog.pg_class WHERE relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND relkind = 'r'
     AND pg_catalog.has_table_privilege(oid, 'SELECT') ORDER BY 1`,
    'listing the catalogues',
  );
  const catalogs = found.filter(({ name, shared }) => (shared ? name in SHARED : !LEFT_OUT.includes(name)));
  const parts = [...catalogs.map(({ name }) => sumOf(name, `SELECT * FROM pg_catalog.${identifier(name)} c WHERE ${SHARED[name] ?? PERMANENT[name] ?? 'true'}`)), ...NAMES.map((query, i) => sumOf(`names ${i}`, query))];
  const sums = await connection.query<{ line: string }>(parts.join('\nUNION ALL '), 'fingerprinting the catalogue');
  const [server] = await connection.query<{ version: string }>(`SELECT pg_catalog.version() AS version`, 'asking for the version');
  return createHash('sha256').update([VERSION, server?.version, ...sums.map(({ line }) => line).toSorted()].join('\n')).digest('hex');
}

/** Order of rows does not matter. Two seeds: 128 bits. */
function sumOf(name: string, query: string): string {
  const volatile = VOLATILE[name];
  const text = volatile === undefined ? 'holdfast_row::text' : `(pg_catalog.to_jsonb(holdfast_row) - '{${volatile.join(',')}}'::text[])::text`;
  const sum = (seed: number): string => `pg_catalog.sum(pg_catalog.hashtextextended(${text}, ${seed}))`;
  return `SELECT pg_catalog.format('${name} %s %s %s', pg_catalog.count(*), ${sum(0)}, ${sum(1)}) AS line FROM (${query}) holdfast_row`;
}
