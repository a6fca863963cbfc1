/** Restores one table: into a database of its own, or in place in one transaction that keeps the old table under another name. */
import { HoldfastError } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { dumpSchema, findDumpProgram } from '../../client/postgres/pg-dump.ts';
import { identifier, literal, qualified } from '../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { ProofLine, RestoreReport } from '../source.ts';
import { sequencesSql } from './catalog.ts';
import { readDetail, type DatabaseManifest, type PostgresDetail, type TableManifest } from './manifest.ts';
import { proveTable } from './prove.ts';
import { loadTable, type Rebuild } from './rebuild.ts';
import { createBeside, dropDatabase, makeRoles, rebuildOf, refuseUnproven, type RestoreJob } from './restore.ts';
import { runStatements, statementsOf } from './script.ts';
import { prepareWriting } from './session.ts';
import { databaseExists, maintenance, nameBeside, stamp } from './swap.ts';

interface Chosen {
  readonly detail: PostgresDetail;
  readonly database: DatabaseManifest;
  readonly table: TableManifest;
}

/** `part` is `schema.table`, or the table alone where its name is unique. Throws `path-missing`, `usage`, `target-exists`, `restore-unproven`. */
export async function restoreTable(job: RestoreJob, part: string): Promise<RestoreReport> {
  const chosen = choose(readDetail(job.manifest), part);
  const { into } = job.request;
  const scratch = into ?? nameBeside(chosen.database.name, `_holdfast_new_${stamp(job.clock.now())}`);
  await using admin = await maintenance(job.server, [chosen.database.name, scratch]);
  if (await databaseExists(admin, scratch)) {
    throw new HoldfastError('target-exists', `The database ${scratch} exists already.`, { hint: 'Name one that does not exist, or drop it first.' });
  }
  await makeRoles(admin, job.files, chosen.detail);
  const rebuild = await rebuildOf(admin, job, chosen.detail, chosen.database);
  let done = false;
  try {
    await createBeside(admin, job.files, chosen.detail, chosen.database, scratch);
    const report = into === undefined ? await restoreInPlace(job, chosen, rebuild, scratch) : await restoreInto(job, chosen, rebuild, into);
    done = true;
    return report;
  } finally {
    // In place, the scratch database only lent its schema.
    if (into === undefined || !done) await dropDatabase(admin, scratch);
  }
}

function choose(detail: PostgresDetail, part: string): Chosen {
  const all = detail.databases.flatMap((database) => database.tables.map((table) => ({ detail, database, table })));
  const exact = all.filter(({ database, table }) => [`${table.schema}.${table.name}`, `${database.name}.${table.schema}.${table.name}`].includes(part));
  const found = exact.length > 0 ? exact : all.filter(({ table }) => table.name === part);
  const [first, second] = found;
  if (first === undefined) throw new HoldfastError('path-missing', `The snapshot holds no table ${part}.`, { hint: 'Name it as schema.table; `holdfast ls` shows what there is.' });
  if (second !== undefined) throw new HoldfastError('usage', `${part} means ${found.map(({ database, table }) => `${database.name}.${table.schema}.${table.name}`).join(' or ')}.`);
  return first;
}

/** The whole schema without rows: foreign keys and triggers hold, because nothing is there yet. */
async function makeSchema(connection: Connection, { files, folder }: Rebuild): Promise<void> {
  for (const name of ['pre-data.sql', 'post-data.sql']) {
    await prepareWriting(connection);
    const script = await files.bytes(fromText(`${folder}/${name}`));
    await runStatements(connection, statementsOf(script.toString('utf8')), 'making the schema');
  }
  await prepareWriting(connection);
}

async function restoreInto(job: RestoreJob, { table }: Chosen, rebuild: Rebuild, into: string): Promise<RestoreReport> {
  await using connection = await Connection.connect({ ...job.server, database: into });
  await makeSchema(connection, rebuild);
  // The tables that it refers to are empty here.
  await connection.query(`SET session_replication_role = replica`, 'switching off foreign keys');
  await loadTable(connection, { ...table, extension: true }, rebuild);
  const proof = [await proveTable(connection, table)];
  refuseUnproven(proof, [into]);
  return { target: `${into}: ${table.schema}.${table.name}`, counts: { tables: 1, rows: table.rows, bytes: table.bytes }, proof };
}

async function restoreInPlace(job: RestoreJob, chosen: Chosen, rebuild: Rebuild, scratch: string): Promise<RestoreReport> {
  const { table, database } = chosen;
  const shown = `${table.schema}.${table.name}`;
  const script = await scriptOf({ ...job.server, database: scratch }, table, rebuild);
  const suffix = `_before_${stamp(job.clock.now())}`;
  await using connection = await Connection.connect({ ...job.server, database: database.name });
  await prepareWriting(connection);
  await connection.query('BEGIN', 'beginning the restore');
  const kept = await setAside(connection, table, suffix);
  job.request.step(`Loading ${shown}`);
  await runStatements(connection, script.before, `making ${shown}`);
  await loadWithin(connection, table, rebuild);
  await runStatements(connection, script.after, `making indexes, constraints and privileges of ${shown}`);
  await connection.query(`SET search_path = ''; ${sequencesSql(await ownedSequences(connection, chosen))}`, 'setting the sequences');
  const proof: ProofLine[] = [await proveTable(connection, table)];
  refuseUnproven(proof, []);
  await connection.query('COMMIT', `putting ${shown} in place`);
  return { target: `${database.name}: ${shown}`, ...(kept === undefined ? {} : { kept: `${table.schema}.${kept}` }), counts: { tables: 1, rows: table.rows, bytes: table.bytes }, proof };
}

/** What makes this table and all that belongs to it, as pg_dump says from a database that has only the schema. */
async function scriptOf(scratch: PostgresTarget, table: TableManifest, rebuild: Rebuild): Promise<{ before: string[]; after: string[] }> {
  const server = await Connection.with(scratch, async (connection) => {
    await makeSchema(connection, rebuild);
    return await connection.query<{ version: string }>(`SELECT pg_catalog.current_setting('server_version') AS version`, 'asking for the version');
  });
  const program = await findDumpProgram(server[0]?.version.split(' ')[0] ?? '0');
  const dump = async (section: 'pre-data' | 'post-data'): Promise<string[]> =>
    statementsOf(await dumpSchema(program, scratch, { section, snapshot: undefined, table: qualified(table.schema, table.name) }, rebuild.request.signal));
  return { before: await dump('pre-data'), after: await dump('post-data') };
}

/** Like `loadTable`, within the transaction that is open. */
async function loadWithin(connection: Connection, table: TableManifest, rebuild: Rebuild): Promise<void> {
  await prepareWriting(connection);
  await loadTable(connection, table, rebuild, { begun: true });
}

/** Renames the table that stands there, and what of it has names of its own. Refuses when others hang on it, for they would stay with the old one. */
async function setAside(connection: Connection, table: TableManifest, suffix: string): Promise<string | undefined> {
  const doing = `looking at ${table.schema}.${table.name}`;
  const [old] = await connection.query<{ oid: string }>(
    `SELECT c.oid::text AS oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ${literal(table.schema)} AND c.relname = ${literal(table.name)}`, doing);
  if (old === undefined) return undefined;
  const dependent = await connection.query<{ name: string }>(
    `SELECT DISTINCT pg_catalog.pg_describe_object('pg_catalog.pg_constraint'::pg_catalog.regclass, oid, 0) AS name FROM pg_catalog.pg_constraint WHERE confrelid = ${old.oid} AND conrelid <> ${old.oid}
     UNION SELECT pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, w.ev_class, 0) FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
       WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refobjid = ${old.oid} AND w.ev_class <> ${old.oid}
     UNION SELECT 'partition of ' || inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits WHERE inhrelid = ${old.oid}`, doing);
  if (dependent.length > 0) {
    throw new HoldfastError('target-exists', `${table.schema}.${table.name} cannot be replaced alone, because others refer to it: ${dependent.map(({ name }) => name).join('; ')}.`, {
      hint: 'Restore it into a database of its own (--into NAME) and copy the rows that you need.',
    });
  }
  const named = await connection.query<{ name: string; kind: string }>(
    `SELECT c.relname AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END AS kind FROM pg_catalog.pg_class c
     WHERE c.oid IN (SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = ${old.oid})
     OR (c.relkind = 'S' AND c.oid IN (SELECT objid FROM pg_catalog.pg_depend WHERE refobjid = ${old.oid} AND deptype IN ('a', 'i') AND classid = 'pg_catalog.pg_class'::pg_catalog.regclass))`, doing);
  const kept = nameBeside(table.name, suffix);
  const renames = [...named, { name: table.name, kind: 'TABLE' }].map(({ name, kind }) =>
    `ALTER ${kind} ${qualified(table.schema, name)} RENAME TO ${identifier(nameBeside(name, suffix))}`);
  await connection.query(renames.join('; '), `setting aside ${table.schema}.${table.name}`);
  return kept;
}

/** The values, as backed up, of the sequences that came with the table. */
async function ownedSequences(connection: Connection, { database, table }: Chosen): Promise<DatabaseManifest['sequences']> {
  const owned = await connection.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE d.refobjid = ${literal(qualified(table.schema, table.name))}::pg_catalog.regclass AND d.deptype IN ('a', 'i')`,
    'looking for sequences',
  );
  return database.sequences.filter((one) => owned.some(({ schema, name }) => schema === one.schema && name === one.name));
}
