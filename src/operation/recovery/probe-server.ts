/** What is asked of a recovered server before it is called proven: the user's own statements, and amcheck over all databases. */
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { identifier, literal } from '../../client/postgres/sql-quote.ts';
import { splitStatements } from '../../client/postgres/sql-statements.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { ProofLine } from '../../source/source.ts';
import type { RecoveredServer } from './recovered-server.ts';

export interface ProbeAnswer {
  readonly statement: string;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/** Runs each statement in a transaction that can only read. Throws `restore-unproven` at the first that fails. */
export async function runProbes(target: PostgresTarget, sql: string, step: (sentence: string) => void): Promise<readonly ProbeAnswer[]> {
  await using connection = await Connection.connect(target);
  await connection.query('SET default_transaction_read_only = on', 'preparing the probes');
  const answers: ProbeAnswer[] = [];
  for (const { code: statement, meta } of splitStatements(sql)) {
    if (statement === '') continue;
    if (meta) throw new HoldfastError('usage', `a probe cannot be a command of psql: ${statement}`, { hint: 'Write SQL.' });
    step(`Probing: ${statement.split('\n')[0] ?? ''}`);
    try {
      answers.push({ statement, rows: await connection.query(statement, 'running a probe') });
    } catch (error) {
      throw new HoldfastError('restore-unproven', `A probe failed in the recovered database ${target.database}: ${messageOf(error)} (${statement.slice(0, 200)})`, { cause: error, hint: 'Nothing was put in place. Without --probe it is restored all the same.' });
    }
  }
  return answers;
}

interface Checked {
  readonly proof: readonly ProofLine[];
  readonly notes: readonly string[];
}

/** Reads every table and every B-tree index and looks whether they make sense. The extension is made for the look only, and rolled back. */
export async function amcheck(server: Pick<RecoveredServer, 'target'>, step: (sentence: string) => void, signal: AbortSignal): Promise<Checked> {
  const databases = await Connection.with(server.target('template1'), async (connection) => {
    const [installed] = await connection.query(`SELECT 1 AS one FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'`, 'looking for amcheck');
    if (installed === undefined) return undefined;
    return await connection.query<{ name: string }>('SELECT datname AS name FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1', 'listing databases');
  });
  if (databases === undefined) return { proof: [], notes: ['amcheck is not installed with the programs of the server: tables and indexes were not checked.'] };
  const proof: ProofLine[] = [];
  for (const { name } of databases) {
    signal.throwIfAborted();
    step(`Checking the tables and indexes of ${name} with amcheck`);
    proof.push(...(await checkDatabase(server.target(name))));
  }
  return { proof, notes: [] };
}

const RELATIONS = `SELECT c.oid::text AS oid, c.oid::pg_catalog.regclass::text AS name, c.relkind = 'i' AS index
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE c.relpersistence = 'p' AND ((c.relkind IN ('r', 'm', 't') AND a.amname = 'heap') OR (c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)) ORDER BY c.oid`;

async function checkDatabase(target: PostgresTarget): Promise<readonly ProofLine[]> {
  await using connection = await Connection.connect(target);
  const doing = `checking ${target.database} with amcheck`;
  await connection.query('BEGIN; CREATE EXTENSION IF NOT EXISTS amcheck', doing);
  const [place] = await connection.query<{ schema: string; heap: boolean }>(
    `SELECT n.nspname AS schema, EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'verify_heapam') AS heap
     FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'`, doing);
  const schema = identifier(place?.schema ?? 'public');
  await connection.query('SAVEPOINT here', doing);
  const wrong: ProofLine[] = [];
  let [tables, indexes] = [0, 0];
  for (const { oid, name, index } of await connection.query<{ oid: string; name: string; index: boolean }>(RELATIONS, doing)) {
    if (!index && place?.heap !== true) continue;
    const sql = index ? `SELECT ${schema}.bt_index_check(${literal(oid)}::pg_catalog.regclass) AS msg` : `SELECT msg FROM ${schema}.verify_heapam(${literal(oid)}::pg_catalog.regclass) LIMIT 1`;
    if (index) indexes++;
    else tables++;
    try {
      const [found] = await connection.query<{ msg: string }>(sql, doing);
      if (!index && found !== undefined) wrong.push({ subject: `${target.database}: table ${name}`, equal: false, detail: found.msg });
    } catch (error) {
      wrong.push({ subject: `${target.database}: ${index ? 'index' : 'table'} ${name}`, equal: false, detail: messageOf(error) });
      await connection.query('ROLLBACK TO here', doing);
    }
  }
  await connection.query('ROLLBACK', doing);
  if (wrong.length > 0) return wrong;
  return [{ subject: `amcheck of ${target.database}`, equal: true, detail: `${place?.heap === true ? `${tables} tables and ` : ''}${indexes} indexes are sound` }];
}
