/** Configuration of a server that lies outside its data directory, as on Debian: no base backup has it, and no copy starts without some. */
import { HoldfastError, isHoldfastError } from '../../base/errors.ts';
import { Connection } from '../../client/postgres/connection.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';

export interface ConfigFiles {
  /** By their absolute paths on the server. */
  readonly files: readonly { readonly path: string; readonly bytes: Buffer }[];
  /** Which of them is what, whether it could be read or not. */
  readonly paths: { readonly config?: string; readonly hba?: string; readonly ident?: string };
  readonly leftOut: readonly { readonly subject: string; readonly because: string }[];
  /** All that is set otherwise than by default, as lines of a postgresql.conf. */
  readonly settings: string;
}

const doing = 'reading the configuration of the server';
const NONE: ConfigFiles = { files: [], paths: {}, leftOut: [{ subject: 'configuration', because: 'pg_hba.conf lets this user in for replication only' }], settings: '' };

/** Whatever this user may read; the rest is named. */
export async function readConfigFiles(target: PostgresTarget): Promise<ConfigFiles> {
  try {
    return await Connection.with(target, read);
  } catch (error) {
    if (isHoldfastError(error, 'database-unreachable')) return NONE;
    throw error;
  }
}

async function read(connection: Connection): Promise<ConfigFiles> {
  const rows = await connection.query<{ name: string; setting: string | null }>(`SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('config_file', 'hba_file', 'ident_file', 'data_directory')`, doing);
  const known = new Map(rows.flatMap(({ name, setting }) => (setting === null ? [] : [[name, setting]])));
  const directory = known.get('data_directory');
  const settings = await changedSettings(connection);
  if (directory === undefined) return { files: [], paths: {}, settings, leftOut: [{ subject: 'configuration files', because: 'this user may not see where they lie; GRANT pg_read_all_settings and pg_read_server_files to it' }] };
  const [config, hba, ident] = ['config_file', 'hba_file', 'ident_file'].map((name) => known.get(name));
  const outside = new Set([config, hba, ident, ...(await includedFiles(connection))].filter((path) => path !== undefined && !path.startsWith(`${directory}/`)));
  const files: { path: string; bytes: Buffer }[] = [];
  const leftOut: { subject: string; because: string }[] = [];
  for (const path of outside) {
    if (path === undefined) continue;
    const bytes = await readServerFile(connection, path);
    if (bytes === undefined) leftOut.push({ subject: path, because: 'this user may not read files of the server; GRANT pg_read_server_files to it' });
    else files.push({ path, bytes });
  }
  const paths = { ...(config === undefined ? {} : { config }), ...(hba === undefined ? {} : { hba }), ...(ident === undefined ? {} : { ident }) };
  return { files, paths, leftOut, settings };
}

/** Files that postgresql.conf includes. Only superusers are told. */
async function includedFiles(connection: Connection): Promise<readonly string[]> {
  try {
    return (await connection.query<{ file: string }>('SELECT DISTINCT sourcefile AS file FROM pg_catalog.pg_file_settings WHERE sourcefile IS NOT NULL', doing)).map(({ file }) => file);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'database-failed') return [];
    throw error;
  }
}

async function readServerFile(connection: Connection, path: string): Promise<Buffer | undefined> {
  try {
    const [row] = await connection.query<{ content: string }>(`SELECT pg_catalog.encode(pg_catalog.pg_read_binary_file('${path.replaceAll("'", "''")}'), 'base64') AS content`, doing);
    return row === undefined ? undefined : Buffer.from(row.content, 'base64');
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'database-failed') return undefined;
    throw error;
  }
}

async function changedSettings(connection: Connection): Promise<string> {
  const rows = await connection.query<{ name: string; setting: string }>(
    `SELECT name, pg_catalog.current_setting(name) AS setting FROM pg_catalog.pg_settings WHERE source IN ('configuration file', 'command line', 'environment variable', 'global') AND setting IS NOT NULL ORDER BY 1`, doing,
  );
  return rows.map(({ name, setting }) => `${name} = '${setting.replaceAll("'", "''")}'\n`).join('');
}
