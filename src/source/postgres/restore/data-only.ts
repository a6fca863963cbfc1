/** Rows into tables that are there: one transaction, proven before its end, so that a failure leaves everything as it was. */
import { HoldfastError, isHoldfastError } from '../../../base/errors.ts';
import { Connection } from '../../../client/postgres/connection.ts';
import { sqlState } from '../../../client/postgres/failure.ts';
import { identifier, literal, qualified } from '../../../client/postgres/sql-quote.ts';
import type { ProofLine, RestoreReport, RestoreStep } from '../../source.ts';
import { releaseForeignKeys } from './foreign-keys.ts';
import { encodeName } from '../file-name.ts';
import { loadColumns } from './load-columns.ts';
import { readDetail, type DatabaseManifest, type SequenceManifest, type TableManifest } from '../manifest.ts';
import { proveTable } from './prove.ts';
import { refuseUnproven } from './restore.ts';
import type { RestoreJob } from './restore-job.ts';
import { readRowTargets, type RowTarget } from './row-target.ts';
import { prepareWriting } from '../session.ts';
import { chosenTables, ownedSequences } from './tables.ts';

interface Rows {
  readonly database: DatabaseManifest;
  /** The database of the server that gets the rows. */
  readonly into: string;
  readonly targets: readonly RowTarget[];
  readonly whole: boolean;
}

/** How long an open transaction of somebody else may keep us from the tables. */
const LOCK_WAIT = '30s';
const LOCK_NOT_AVAILABLE = '55P03';

export async function planRows(job: RestoreJob): Promise<readonly RestoreStep[]> {
  const steps: RestoreStep[] = [];
  for (const chosen of await chosenRows(job)) {
    await Connection.with({ ...job.server, database: chosen.into }, async (connection) => {
      await prepareWriting(connection);
      const rows = await lookAt(connection, job, chosen);
      for (const { table, filled, absent } of rows.targets) {
        const subject = `rows of ${table.schema}.${table.name}`;
        if (filled) steps.push({ subject, action: 'replace', detail: `with ${table.rows.toLocaleString('en')} of the backup; those that stand there are not kept` });
        if (absent.length > 0) steps.push({ subject, action: 'map', detail: `without ${absent.join(', ')}, which the table there does not have` });
      }
    });
  }
  return steps;
}

/** Throws `missing-on-target`, `target-exists`, `target-failed`, `restore-unproven`. */
export async function restoreRows(job: RestoreJob): Promise<RestoreReport> {
  const proof: ProofLine[] = [];
  const targets: string[] = [];
  let [tables, rows, bytes] = [0, 0, 0];
  for (const chosen of await chosenRows(job)) {
    await using connection = await Connection.connect({ ...job.server, database: chosen.into });
    await prepareWriting(connection);
    const found = await lookAt(connection, job, chosen);
    proof.push(...(await writeRows(connection, job, found)));
    targets.push(chosen.into);
    for (const { table } of found.targets) [tables, rows, bytes] = [tables + 1, rows + table.rows, bytes + table.bytes];
  }
  return { target: `tables of ${targets.join(', ')}`, counts: { tables, rows, bytes }, proof };
}

async function chosenRows(job: RestoreJob): Promise<readonly { database: DatabaseManifest; tables: readonly TableManifest[]; into: string; whole: boolean }[]> {
  const { part, tables, into } = job.request;
  const detail = readDetail(job.manifest);
  if (part !== undefined || tables !== undefined) {
    const chosen = await chosenTables(job);
    return [{ database: chosen.database, tables: chosen.tables, into: into ?? chosen.database.name, whole: false }];
  }
  if (into !== undefined && detail.databases.length !== 1) throw new HoldfastError('usage', `The snapshot holds ${detail.databases.length} databases, which cannot all go into ${into}.`);
  // Configuration of extensions is not the user's data, and the target has its own.
  return detail.databases.map((database) => ({ database, tables: database.tables.filter(({ extension }) => !extension), into: into ?? database.name, whole: true }));
}

async function lookAt(connection: Connection, job: RestoreJob, chosen: Awaited<ReturnType<typeof chosenRows>>[number]): Promise<Rows> {
  const [state] = await connection.query<{ readOnly: boolean }>(`SELECT pg_catalog.current_setting('transaction_read_only') = 'on' AS "readOnly"`, 'asking whether changes are taken');
  if (state?.readOnly === true) throw new HoldfastError('missing-on-target', `The database ${chosen.into} takes no changes: the server is a standby, or default_transaction_read_only is on.`, { hint: 'Nothing was changed.' });
  const { targets, problems } = await readRowTargets(connection, chosen.tables);
  if (problems.length > 0) {
    throw new HoldfastError('missing-on-target', `The rows do not fit into ${chosen.into}, and nothing was changed:${problems.map((one) => `\n  - ${one}`).join('')}`, {
      hint: 'Restore the schema too (without --data-only), or choose tables with --table.',
    });
  }
  refuseFilled(targets, job.request.clean === true);
  return { database: chosen.database, into: chosen.into, targets, whole: chosen.whole };
}

function refuseFilled(targets: readonly RowTarget[], clean: boolean): void {
  const filled = targets.filter((one) => one.filled).map(({ table }) => `${table.schema}.${table.name}`);
  if (clean || filled.length === 0) return;
  const named = filled.slice(0, 8).join(', ');
  throw new HoldfastError('target-exists', `${filled.length === 1 ? 'A table has' : `${filled.length} tables have`} rows already: ${named}${filled.length > 8 ? ' …' : ''}. Nothing was changed.`, {
    hint: 'Add --clean to replace their rows, in one transaction; or restore into another database with --into.',
  });
}

async function writeRows(connection: Connection, job: RestoreJob, { database, into, targets, whole }: Rows): Promise<ProofLine[]> {
  const { request } = job;
  const doing = `loading rows into ${into}`;
  const names = targets.map(({ table }) => qualified(table.schema, table.name));
  if (names.length === 0) return [];
  await connection.query('BEGIN', doing);
  await lock(connection, names, into);
  // Whoever came before us may have brought rows.
  const now = await readRowTargets(connection, targets.map(({ table }) => table));
  refuseFilled(now.targets, request.clean === true);
  const [me] = await connection.query<{ superuser: boolean }>('SELECT rolsuper AS superuser FROM pg_catalog.pg_roles WHERE rolname = current_user', doing);
  // Event triggers of the target, too, are silent then; others may not set it.
  if (me?.superuser === true) await connection.query('SET LOCAL session_replication_role = replica', doing);
  const keys = await releaseForeignKeys(connection, names);
  const quiet = await silence(connection, targets);
  await connection.query(`TRUNCATE ONLY ${names.join(', ONLY ')}`, `emptying tables of ${into}`);
  const folder = `/${encodeName(readDetail(job.manifest).store)}/${database.folder}`;
  for (const target of targets) {
    request.step(`Loading ${target.table.schema}.${target.table.name}`);
    await loadColumns(connection, target, { files: job.files, folder, request });
  }
  await prepareWriting(connection);
  await setSequences(connection, whole ? database.sequences : await ownedSequences(connection, { database, tables: targets.map(({ table }) => table), parents: [] }));
  request.step(`Checking foreign keys of ${into}`);
  await keys.restore();
  await quiet.restore();
  request.step(`Comparing the rows in ${into} with the manifest`);
  const proof: ProofLine[] = [];
  for (const { table, columns, absent } of targets) {
    if (absent.length === 0) proof.push(await proveTable(connection, { ...table, columns }));
    else proof.push({ subject: `${table.schema}.${table.name}`, equal: true, detail: 'rows loaded without the columns that are not there, so that their fingerprint says nothing' });
  }
  refuseUnproven(proof, []);
  await connection.query('COMMIT', `putting the rows of ${into} in place`);
  await connection.query(`ANALYZE ${names.join(', ')}`, 'gathering statistics');
  return proof;
}

async function lock(connection: Connection, names: readonly string[], into: string): Promise<void> {
  const doing = `locking tables of ${into}`;
  try {
    await connection.query(`SET LOCAL lock_timeout = '${LOCK_WAIT}'; LOCK TABLE ONLY ${names.join(', ONLY ')} IN ACCESS EXCLUSIVE MODE; SET LOCAL lock_timeout = 0`, doing);
  } catch (error) {
    if (!isHoldfastError(error) || sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
    throw new HoldfastError('target-failed', `Other sessions have used the tables of ${into} for more than ${LOCK_WAIT} without an end of their transactions. Nothing was changed.`, {
      cause: error, transient: true, hint: 'Stop the programs that use them (pg_stat_activity shows who), then run this again.',
    });
  }
}

interface Undo {
  restore(): Promise<void>;
}

/** Triggers of the user do not fire for rows that are restored, and policies do not stand in their way. Both only within this transaction. */
async function silence(connection: Connection, targets: readonly RowTarget[]): Promise<Undo> {
  const doing = 'switching off triggers';
  const oids = targets.map(({ oid }) => oid).join(', ');
  const triggers = await connection.query<{ relation: string; name: string; state: string }>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation, t.tgname AS name, t.tgenabled::text AS state FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgrelid IN (${oids})`, doing);
  const forced = await connection.query<{ relation: string }>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relforcerowsecurity AND c.oid IN (${oids})`, doing);
  const off = [...triggers.map(({ relation, name }) => `ALTER TABLE ONLY ${relation} DISABLE TRIGGER ${identifier(name)}`), ...forced.map(({ relation }) => `ALTER TABLE ${relation} NO FORCE ROW LEVEL SECURITY`)];
  const word = (state: string): string => (state === 'R' ? 'ENABLE REPLICA' : state === 'A' ? 'ENABLE ALWAYS' : 'ENABLE');
  const on = [...triggers.map(({ relation, name, state }) => `ALTER TABLE ONLY ${relation} ${word(state)} TRIGGER ${identifier(name)}`), ...forced.map(({ relation }) => `ALTER TABLE ${relation} FORCE ROW LEVEL SECURITY`)];
  if (off.length > 0) await connection.query(off.join('; '), doing);
  return { restore: async () => void (on.length > 0 && (await connection.query(on.join('; '), 'switching on triggers'))) };
}

/** RESTART gives the sequence new storage, so that what setval writes there is undone with the transaction; by itself it would not be. */
async function setSequences(connection: Connection, sequences: readonly SequenceManifest[]): Promise<void> {
  const doing = 'setting the sequences';
  for (const { schema, name, lastValue, isCalled } of sequences) {
    const sequence = qualified(schema, name);
    const [there] = await connection.query<{ there: boolean }>(`SELECT pg_catalog.to_regclass(${literal(sequence)}) IS NOT NULL AS there`, doing);
    if (there?.there === true) await connection.query(`ALTER SEQUENCE ${sequence} RESTART; SELECT pg_catalog.setval(${literal(sequence)}, ${lastValue}, ${isCalled})`, doing);
  }
}
