/** May this user read everything? All that is missing, in all databases, is told at once and before the first byte. */
import { HoldfastError } from '../../base/errors.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { findDumpProgram } from '../../client/postgres/pg-dump.ts';
import { identifier } from '../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { Part } from '../source.ts';
import { missingRights, type MissingRights } from './rights.ts';

/** Databases that are asked at once. */
const PARALLEL = 4;
/** How many of what is missing an error names; the statements give all of it. */
const NAMED = 8;

/**
 * Throws one `source-failed` with the statements that would give what is missing. `closed` are databases that are known not to let this
 * user in. Costs a connection and two questions for each database; `entered` is one that is open already.
 */
export async function checkRights(entered: Connection, targets: readonly PostgresTarget[], closed: readonly string[], part: Part | undefined): Promise<void> {
  const found: MissingRights[] = [];
  const left = targets.filter(({ database }) => !closed.includes(database)).values();
  const ask = async (): Promise<void> => {
    for (const target of left) {
      const here = target.database === entered.target.database;
      const lacking = here ? await missingRights(entered, part) : await Connection.with(target, (connection) => missingRights(connection, part));
      if (lacking !== undefined) found.push(lacking);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, ask));
  const user = found[0]?.user ?? targets[0]?.user ?? '';
  const connects = closed.map((name): MissingRights => ({ database: name, user, missing: [`CONNECT on database ${name}`], statements: [`GRANT CONNECT ON DATABASE ${identifier(name)} TO ${identifier(user)}`] }));
  const all = [...connects, ...found.toSorted((a, b) => (a.database < b.database ? -1 : 1))];
  if (all.length > 0) throw lackingError(user, all, closed);
}

function lackingError(user: string, lacking: readonly MissingRights[], closed: readonly string[]): HoldfastError {
  const named = lacking.flatMap(({ database, missing }) => missing.map((one) => (closed.includes(database) || lacking.length === 1 ? one : `${one} in ${database}`)));
  const more = named.length > NAMED ? ` and ${named.length - NAMED} more` : '';
  const where = lacking.length === 1 ? `the database ${lacking[0]?.database}` : `${lacking.length} databases`;
  const count = named.length === 1 ? 'a privilege is' : `${named.length} privileges are`;
  // Statements for the whole server are the same in every database; CONNECT can be granted from anywhere.
  const said = new Set<string>();
  const script = lacking.flatMap(({ database, statements }) => {
    const fresh = statements.filter((statement) => !said.has(statement));
    for (const statement of fresh) said.add(statement);
    const connect = closed.includes(database) || fresh.length === 0 ? [] : [`\\connect ${/^[a-z0-9_]+$/.test(database) ? database : identifier(database)}`];
    return [...connect, ...fresh.map((statement) => `${statement};`)];
  });
  const after = closed.length > 0 ? ' Then run this again: what is in databases that let nobody in could not be looked at.' : '';
  return new HoldfastError('source-failed', `${user} may not read all of ${where}: ${count} missing (${named.slice(0, NAMED).join(', ')}${more}).`, {
    hint: `Nothing was read.${after} Run with psql as a superuser:\n${script.map((line) => `    ${line}`).join('\n')}`,
  });
}

/** Is a pg_dump here that is new enough for this server? Throws `program-missing`. */
export async function checkDumpProgram(connection: Connection): Promise<void> {
  const [row] = await connection.query<{ version: string }>(`SELECT pg_catalog.current_setting('server_version') AS version`, 'asking for the version');
  await findDumpProgram(row?.version.split(' ')[0] ?? '0');
}
