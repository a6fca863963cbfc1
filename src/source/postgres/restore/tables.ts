/** Restores some tables: into a database of their own, or in place in one transaction that keeps the old ones under other names. */
import { HoldfastError } from '../../../base/errors.ts';
import { fromText } from '../../../base/raw-name.ts';
import { Connection } from '../../../client/postgres/connection.ts';
import { renderSection } from '../../../client/postgres/archive/render.ts';
import { dumpSchema, findDumpProgram } from '../../../client/postgres/pg-dump.ts';
import { literal, qualified } from '../../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import type { ProofLine, RestoreReport } from '../../source.ts';
import { adaptEntries, lostLine, type Lost } from './adapt.ts';
import { sequencesSql } from '../catalog.ts';
import { chooseStoredTables, partitionsOf, type ChosenTables } from './stored-tables.ts';
import { makeRoles } from './make-roles.ts';
import { readDetail, type SequenceManifest } from '../manifest.ts';
import { prepare, type Prepared } from './prepare.ts';
import { proveTable } from './prove.ts';
import { isTolerant, loadTable, parseLines, type Rebuild } from './rebuild.ts';
import { createBeside, dropDatabase, rebuildOf, refuseUnproven } from './restore.ts';
import type { RestoreJob } from './restore-job.ts';
import { runEntries } from './run-entries.ts';
import { runStatements, statementsOf } from './script.ts';
import { prepareWriting } from '../session.ts';
import { renameTable, setAside } from './set-aside.ts';
import { encodeName } from '../file-name.ts';
import { databaseExists, nameBeside, stamp } from './swap.ts';
import type { SchemaEntry } from './schema-entry.ts';
import { spelling } from './post-data.ts';

/** The tables that `request` names. Throws `path-missing`, `usage`. */
export async function chosenTables(job: RestoreJob): Promise<ChosenTables> {
  const detail = readDetail(job.manifest);
  const { part, tables = [] } = job.request;
  const partitions = new Map<string, ReturnType<typeof partitionsOf>>();
  for (const { name, folder } of detail.databases) {
    const facts = await job.files.bytes(fromText(`/${encodeName(detail.store)}/${folder}/catalog.json`));
    partitions.set(name, partitionsOf(parseLines(facts.toString('utf8'))));
  }
  return chooseStoredTables(detail, part === undefined ? tables : [part, ...tables], partitions);
}

/** Throws `path-missing`, `usage`, `target-exists`, `missing-on-target`, `restore-unproven`. */
export async function restoreTables(job: RestoreJob): Promise<RestoreReport> {
  const chosen = await chosenTables(job);
  const { into } = job.request;
  const scratch = into ?? nameBeside(chosen.database.name, `_holdfast_new_${stamp(job.clock.now())}`);
  await using prepared = await prepareTables(job, chosen);
  const { admin } = prepared;
  if (await databaseExists(admin, scratch)) {
    throw new HoldfastError('target-exists', `The database ${scratch} exists already.`, { hint: 'Name one that does not exist, or drop it first.' });
  }
  const lost = await makeRoles(admin, prepared.plan);
  const [database] = prepared.databases;
  if (database === undefined) throw new HoldfastError('internal', 'no database was prepared');
  const rebuild = rebuildOf(prepared, job, database);
  let done = false;
  try {
    await createBeside(prepared, database, scratch);
    const report = into === undefined ? await restoreInPlace(job, chosen, rebuild, scratch) : await restoreInto(job, chosen, rebuild, into);
    done = true;
    return { ...report, proof: [...report.proof, ...lost] };
  } finally {
    // In place, the scratch database only lent its schema.
    if (into === undefined || !done) await dropDatabase(admin, scratch);
  }
}

export async function prepareTables(job: RestoreJob, chosen: ChosenTables): Promise<Prepared> {
  // The scratch database is new whatever stands there; the one in which the tables are need not be ours as a whole.
  return await prepare(job, 'create', [chosen.database], []);
}

const key = ({ schema, name }: { readonly schema: string; readonly name: string }): string => spelling(qualified(schema, name));
const shownTables = ({ tables }: ChosenTables): string => tables.map(({ schema, name }) => `${schema}.${name}`).join(', ');

function countsOf({ tables }: ChosenTables): RestoreReport['counts'] {
  return { tables: tables.length, rows: tables.reduce((sum, { rows }) => sum + rows, 0), bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** The whole schema, but rows of these tables only. What refers to tables that stay empty is made, and not held against the rows. */
async function restoreInto(job: RestoreJob, chosen: ChosenTables, rebuild: Rebuild, into: string): Promise<RestoreReport> {
  await using connection = await Connection.connect({ ...job.server, database: into });
  const { plan, stored } = rebuild;
  const tolerant = isTolerant(plan);
  await prepareWriting(connection);
  const [before, after] = [adaptEntries(stored.preData, plan), adaptEntries(stored.postData, plan)];
  const lost: Lost[] = [...before.lost, ...after.lost, ...(await runEntries(connection, before.entries, 'making the schema', tolerant))];
  await prepareWriting(connection);
  for (const table of chosen.tables) await loadTable(connection, table, rebuild);
  const proof: ProofLine[] = [];
  for (const table of chosen.tables) proof.push(await proveTable(connection, table));
  lost.push(...(await runEntries(connection, withoutChecks(after.entries, chosen), 'making constraints and indexes', tolerant)));
  await prepareWriting(connection);
  await connection.query(sequencesSql(await ownedSequences(connection, chosen)), 'setting the sequences');
  refuseUnproven(proof, [into]);
  return { target: `${into}: ${shownTables(chosen)}`, counts: countsOf(chosen), proof: [...proof, ...lost.map((one) => lostLine(one))] };
}

const NAME = `(?:"(?:[^"]|"")+"|[^\\s".(]+)`;
const FOREIGN_KEY = new RegExp(`^ALTER TABLE (?:ONLY )?(${NAME}\\.${NAME})\\s+ADD CONSTRAINT .* REFERENCES (${NAME}\\.${NAME})\\(`, 's');

/** A foreign key from a table with rows to one without would not hold: it is made for rows to come. Partitioned tables cannot have such. */
function withoutChecks(entries: readonly SchemaEntry[], chosen: ChosenTables): SchemaEntry[] {
  const filled = new Set([...chosen.tables, ...chosen.parents].map(key));
  const partitioned = new Set(chosen.parents.map(key));
  return entries.map((entry) => {
    const [first = '', ...others] = entry.statements;
    const [, from, to] = entry.kind === 'FK CONSTRAINT' ? FOREIGN_KEY.exec(first) ?? [] : [];
    if (from === undefined || to === undefined || !filled.has(spelling(from)) || filled.has(spelling(to)) || first.endsWith('NOT VALID')) return entry;
    return { ...entry, statements: partitioned.has(spelling(from)) ? [] : [`${first} NOT VALID`, ...others] };
  });
}

async function restoreInPlace(job: RestoreJob, chosen: ChosenTables, rebuild: Rebuild, scratch: string): Promise<RestoreReport> {
  const { database, tables } = chosen;
  const { as } = job.request;
  const made = await makeSchema({ ...job.server, database: scratch }, rebuild);
  const renamed = as === undefined ? chosen : await renameChosen({ ...job.server, database: scratch }, chosen, as);
  const script = await scriptOf({ ...job.server, database: scratch }, renamed, rebuild);
  const suffix = `_before_${stamp(job.clock.now())}`;
  await using connection = await Connection.connect({ ...job.server, database: database.name });
  await prepareWriting(connection);
  await connection.query('BEGIN', 'beginning the restore');
  const kept = as === undefined ? await setAside(connection, [...chosen.parents, ...tables], suffix) : await refuseExisting(connection, as);
  job.request.step(`Loading ${shownTables(renamed)}`);
  await runStatements(connection, script.before, `making ${shownTables(renamed)}`);
  for (const [index, table] of tables.entries()) {
    await prepareWriting(connection);
    await loadTable(connection, table, rebuild, { begun: true, name: renamed.tables[index] });
  }
  await runStatements(connection, script.after, `making indexes, constraints and privileges of ${shownTables(renamed)}`);
  await connection.query(`SET search_path = ''; ${as === undefined ? sequencesSql(await ownedSequences(connection, chosen)) : ''}`, 'setting the sequences');
  const proof: ProofLine[] = [];
  for (const table of renamed.tables) proof.push(await proveTable(connection, table));
  refuseUnproven(proof, []);
  await connection.query('COMMIT', `putting ${shownTables(renamed)} in place`);
  return { target: `${database.name}: ${shownTables(renamed)}`, ...(kept.length === 0 ? {} : { kept: kept.join(', ') }), counts: countsOf(chosen), proof: [...proof, ...made.map((one) => lostLine(one))] };
}

/** The whole schema without rows: foreign keys and triggers hold, because nothing is there yet. */
async function makeSchema(scratch: PostgresTarget, { plan, stored }: Rebuild): Promise<Lost[]> {
  await using connection = await Connection.connect(scratch);
  const lost: Lost[] = [];
  for (const entries of [stored.preData, stored.postData]) {
    await prepareWriting(connection);
    const adapted = adaptEntries(entries, plan);
    lost.push(...adapted.lost, ...(await runEntries(connection, adapted.entries, 'making the schema', isTolerant(plan))));
  }
  return lost;
}

async function renameChosen(scratch: PostgresTarget, chosen: ChosenTables, as: string): Promise<ChosenTables> {
  const [table, ...others] = chosen.tables;
  if (table === undefined || others.length > 0 || chosen.parents.length > 0) throw new HoldfastError('usage', `${as} can be the name of one table, and ${chosen.tables.length} are chosen.`);
  const at = as.indexOf('.');
  const renamed = at === -1 ? { schema: table.schema, name: as } : { schema: as.slice(0, at), name: as.slice(at + 1) };
  await Connection.with(scratch, async (connection) => await renameTable(connection, table, renamed));
  return { ...chosen, tables: [{ ...table, ...renamed }] };
}

async function refuseExisting(connection: Connection, as: string): Promise<string[]> {
  const found = await connection.query(`SELECT WHERE pg_catalog.to_regclass(${literal(as.includes('.') ? qualified(as.slice(0, as.indexOf('.')), as.slice(as.indexOf('.') + 1)) : `"${as}"`)}) IS NOT NULL`, 'looking for the table');
  if (found.length > 0) throw new HoldfastError('target-exists', `The table ${as} exists already.`, { hint: 'Give another name with --as.' });
  return [];
}

/** What makes these tables and all that belongs to them, as pg_dump says from a database that has only the schema. */
async function scriptOf(scratch: PostgresTarget, chosen: ChosenTables, rebuild: Rebuild): Promise<{ before: string[]; after: string[] }> {
  const server = await Connection.with(scratch, async (connection) => await connection.query<{ version: string }>(`SELECT pg_catalog.current_setting('server_version') AS version`, 'asking for the version'));
  const program = await findDumpProgram(server[0]?.version.split(' ')[0] ?? '0');
  const names = [...chosen.parents, ...chosen.tables].map(({ schema, name }) => qualified(schema, name));
  const toc = await dumpSchema(program, scratch, { snapshot: undefined, tables: names }, rebuild.request.signal);
  const statements = (section: 'pre-data' | 'post-data'): string[] => statementsOf(renderSection(toc, section, { tablespaces: 'where it is' }));
  return { before: statements('pre-data'), after: statements('post-data') };
}

/** The values, as backed up, of the sequences that came with the tables. */
export async function ownedSequences(connection: Connection, { database, tables, parents }: ChosenTables): Promise<SequenceManifest[]> {
  const names = [...tables, ...parents].map(({ schema, name }) => `${literal(qualified(schema, name))}::pg_catalog.regclass`);
  const owned = await connection.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE d.refobjid IN (${names.join(', ')}) AND d.deptype IN ('a', 'i')`,
    'looking for sequences',
  );
  return database.sequences.filter((one) => owned.some(({ schema, name }) => schema === one.schema && name === one.name));
}
