/** Which databases of a server belong to a store: names and patterns, resolved anew at every run. */
import { HoldfastError } from '../../base/errors.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { refuseTransactionPooler, refuseTransactionPort } from '../../client/postgres/pooler.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { Problem } from '../../repository/entry.ts';

/** A database as the server lists it. */
export interface ListedDatabase {
  readonly name: string;
  /** Lets anybody in. */
  readonly open: boolean;
  readonly template: boolean;
  /** May this user connect? */
  readonly mayConnect: boolean;
}

export interface Chosen {
  readonly names: readonly string[];
  /** Chosen, but this user may not connect. */
  readonly closed: readonly string[];
  /** Names that stand in the configuration and that the server does not have. */
  readonly missing: readonly string[];
}

const UNDEFINED_DATABASE = '3D000';
const INSUFFICIENT_PRIVILEGE = '42501';

/** Does this entry (a name, or a pattern with `*` for any letters) mean that name? */
export function means(entry: string, name: string): boolean {
  if (!entry.includes('*')) return entry === name;
  const parts = entry.split('*').map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(name);
}

function split(entries: readonly string[]): { wanted: readonly string[]; without: readonly string[] } {
  const without = entries.filter((entry) => entry.startsWith('!')).map((entry) => entry.slice(1));
  const wanted = entries.filter((entry) => !entry.startsWith('!'));
  return { wanted: wanted.length === 0 ? ['*'] : wanted, without };
}

/** Would the configuration choose a database of this name, if there were one? */
export function isMeant(entries: readonly string[], name: string): boolean {
  const { wanted, without } = split(entries);
  return wanted.some((entry) => means(entry, name)) && !without.some((entry) => means(entry, name));
}

/**
 * `!pattern` takes away. Patterns never mean templates and databases that let nobody in; names do. In the order of the server's list, which
 * is by name.
 */
export function chooseDatabases(entries: readonly string[], listed: readonly ListedDatabase[]): Chosen {
  const { wanted, without } = split(entries);
  const byName = wanted.filter((entry) => !entry.includes('*') && !without.some((one) => means(one, entry)));
  const chosen = listed.filter(({ name, open, template }) => isMeant(entries, name) && (byName.includes(name) || (open && !template)));
  return {
    names: chosen.map(({ name }) => name),
    closed: chosen.filter(({ open, mayConnect }) => open && !mayConnect).map(({ name }) => name),
    missing: byName.filter((name) => !listed.some((one) => one.name === name)),
  };
}

/** The databases of the server, by name. */
export async function listDatabases(connection: Connection): Promise<ListedDatabase[]> {
  return await connection.query<ListedDatabase>(
    `SELECT datname AS name, datallowconn AS open, datistemplate AS template, pg_catalog.has_database_privilege(oid, 'CONNECT') AS "mayConnect"
     FROM pg_catalog.pg_database ORDER BY datname COLLATE "C"`,
    'listing the databases',
  );
}

/**
 * The first session of an operation, in the database of the URL, or where that is not there (`entries` are the databases of the store) in
 * another one. Its `target` names the one host that all further sessions must go to. Throws `database-unreachable`, also when a pooler stands
 * between that cannot be used.
 */
export async function enterServer(server: PostgresTarget, entries: readonly string[] = []): Promise<Connection> {
  refuseTransactionPort(server);
  const named = entries.filter((entry) => !/[*!]/.test(entry));
  const connection = await connectToAny(server, entries.length === 0 ? [server.database] : [...new Set([server.database, 'postgres', ...named, 'template1'])]);
  try {
    await refuseTransactionPooler(connection);
    return connection;
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** A session in the first of these databases that is there and lets us in. Throws what the first of them said. */
async function connectToAny(server: PostgresTarget, names: readonly string[]): Promise<Connection> {
  let first: unknown;
  for (const database of names) {
    try {
      return await Connection.connect({ ...server, database });
    } catch (error) {
      first ??= error;
      const state = sqlState(error);
      if (state !== UNDEFINED_DATABASE && state !== INSUFFICIENT_PRIVILEGE) throw error;
    }
  }
  throw first;
}

/** Throws `source-missing` for names that the server does not have, and when nothing is chosen. */
export function refuseMissing({ names, missing }: Chosen, entries: readonly string[], listed: readonly ListedDatabase[]): void {
  const there = `The server has: ${listed.filter(({ open, template }) => open && !template).map(({ name }) => name).join(', ')}.`;
  if (missing.length > 0) {
    const subject = missing.length === 1 ? `There is no database ${missing[0]}` : `There are no databases ${missing.join(', ')}`;
    throw new HoldfastError('source-missing', `${subject} on the server, and \`databases\` names ${missing.length === 1 ? 'it' : 'them'}.`, {
      hint: `${there} A pattern with * may match nothing; a name must be there.`,
    });
  }
  if (names.length === 0) throw new HoldfastError('source-missing', `No database of the server matches ${entries.join(', ')}.`, { hint: there });
}

/**
 * Databases of the previous snapshot that the configuration still means and that are gone. One that the configuration no longer means was
 * left out by intent.
 */
export function vanishedDatabases(entries: readonly string[], chosen: Chosen, previous: readonly string[]): Problem[] {
  const gone = previous.filter((name) => isMeant(entries, name) && !chosen.names.includes(name));
  return gone.map((name): Problem => ({ subject: `database ${name}`, kind: 'vanished', message: 'was in the previous snapshot and is no longer on the server, or lets nobody in' }));
}
