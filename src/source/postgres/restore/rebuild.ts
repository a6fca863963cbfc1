/** Fills an empty database from a snapshot: schema, rows, indexes as soon as their table is loaded, the rest; and reads all of it back. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { Connection as Connections } from '../../../client/postgres/connection.ts';
import { copyIn } from '../../../client/postgres/copy-in.ts';
import { qualified } from '../../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import { HoldfastError } from '../../../base/errors.ts';
import { fromText } from '../../../base/raw-name.ts';
import type { SnapshotFiles } from '../../../repository/entry.ts';
import type { ProofLine, RestoreRequest } from '../../source.ts';
import { adaptEntries, adaptStatement, type Lost } from './adapt.ts';
import { analyzeDerived, analyzedWithParent } from './analyze.ts';
import { columnList } from '../catalog.ts';
import { explains } from './expected-facts.ts';
import { piecesOf, type DatabaseManifest, type TableManifest } from '../manifest.ts';
import { placements, releaseByTable, spelling, type TableStatement } from './post-data.ts';
import { proveCatalog, proveConstraints, proveLargeObjects, proveSequences, proveTable } from './prove.ts';
import type { Built } from './restore-job.ts';
import { runEntries, type Tolerance } from './run-entries.ts';
import type { SchemaEntry } from './schema-entry.ts';
import { statementsOf } from './script.ts';
import { prepareWriting } from '../session.ts';
import type { StoredDatabase } from './stored.ts';
import type { TargetPlan } from './target-plan.ts';
import { runQueue, type Work } from './work-queue.ts';

/** Sessions that load and build at once. */
const PARALLEL = 2;

/** Where rows come from. */
export interface Rows {
  readonly files: SnapshotFiles;
  /** Folder of the database in the snapshot: `/store/database`. */
  readonly folder: string;
  readonly request: RestoreRequest;
}

export interface Rebuild extends Rows {
  readonly manifest: DatabaseManifest;
  readonly stored: StoredDatabase;
  readonly plan: TargetPlan;
}

/** May the server refuse an object without ending the restore? Only where the plan says that something will be missing. */
export function isTolerant({ target, choices }: TargetPlan): boolean {
  return !target.superuser || (choices.skipExtensions ?? []).length > 0 || choices.roles === 'skip';
}

/** Gives the comparison of everything with the manifest, and what could not be made. `target` names the new database. */
export async function rebuildDatabase(target: PostgresTarget, job: Rebuild): Promise<Built> {
  const { files, folder, manifest, request, plan, stored } = job;
  const text = async (name: string): Promise<string> => (await files.bytes(fromText(`${folder}/${name}`))).toString('utf8');
  const tolerant = isTolerant(plan);
  await using leader = await Connections.connect(target);
  await prepareWriting(leader);
  request.step(`Making the schema of ${manifest.name}`);
  const [before, after] = [adaptEntries(stored.preData, plan), adaptEntries(stored.postData, plan)];
  const lost = [...before.lost, ...after.lost, ...(await runEntries(leader, before.entries, 'making the schema', tolerant))];
  const { byTable, rest } = releaseEntries(after.entries);
  const proof: ProofLine[] = [];
  const rows = request.only === 'schema' ? { ...manifest, tables: [], sequences: [], largeObjects: [] } : manifest;
  const tables = tolerant ? await thoseThere(leader, rows.tables, lost) : rows.tables;
  request.step(`Loading ${tables.length} tables of ${manifest.name}`);
  await loadTables(target, { ...job, manifest: { ...manifest, tables } }, byTable, { proof, lost, tolerant, later: await analyzedWithParent(leader) });
  // The script before left its own settings behind.
  await prepareWriting(leader);
  const values = statementsOf(rows.sequences.length === 0 ? '' : await text('sequences.sql')).map((sql) => ({ kind: 'SEQUENCE SET', schema: undefined, name: sql, owner: undefined, statements: [sql] }));
  lost.push(...(await runEntries(leader, values, 'setting the sequences', tolerant)));
  if (rows.largeObjects.length > 0) lost.push(...(await writeLargeObjects(leader, files.read(fromText(`${folder}/large-objects.sql`)), plan, tolerant)));
  request.step(`Making foreign keys, triggers and policies of ${manifest.name}`);
  lost.push(...(await runEntries(leader, rest, 'making constraints, triggers and privileges', tolerant)));
  await analyzeDerived(leader);
  request.step(`Comparing ${manifest.name} with the manifest`);
  await prepareWriting(leader);
  const facts = parseLines(await text('catalog.json'));
  if (request.only !== 'schema') proof.push(await proveSequences(leader, rows, explains(lost)), await proveLargeObjects(leader, rows));
  proof.push(await proveCatalog(leader, facts, stored.major, { plan, lost }), await proveConstraints(leader, facts));
  return { proof, lost };
}

/** The statements that need only one table, and of every object what has to wait. */
function releaseEntries(entries: readonly SchemaEntry[]): { byTable: TableStatement[]; rest: SchemaEntry[] } {
  const byTable: TableStatement[] = [];
  const placing = placements(entries);
  const rest = entries.map((entry, index) => {
    const released = releaseByTable(entry.statements, placing[index]);
    byTable.push(...released.byTable);
    return { ...entry, statements: released.rest };
  });
  return { byTable, rest: rest.filter(({ statements }) => statements.length > 0) };
}

/** A table that could not be made takes its rows with it, and that is told. */
async function thoseThere(connection: Connection, tables: readonly TableManifest[], lost: Lost[]): Promise<TableManifest[]> {
  const names = await connection.query<{ schema: string; name: string }>('SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace', 'listing tables');
  const there = new Set(names.map(({ schema, name }) => JSON.stringify([schema, name])));
  return tables.filter((table) => {
    if (there.has(JSON.stringify([table.schema, table.name]))) return true;
    const because = `${table.rows.toLocaleString('en')} rows are not restored, because the table is not there`;
    lost.push({ entry: { kind: 'TABLE', schema: table.schema, name: table.name, owner: undefined, statements: [] }, because });
    return false;
  });
}

export function parseLines(json: string): string[] {
  const lines: unknown = JSON.parse(json);
  return Array.isArray(lines) ? lines.filter((line) => typeof line === 'string') : [];
}

interface Loading {
  readonly proof: ProofLine[];
  readonly lost: Lost[];
  readonly tolerant: boolean;
  /** Tables that are analysed together with another. */
  readonly later: ReadonlySet<string>;
}

async function loadTables(target: PostgresTarget, job: Rebuild, statements: readonly TableStatement[], loading: Loading): Promise<void> {
  const { proof, later } = loading;
  const waiting = Map.groupBy(statements, ({ table }) => spelling(table));
  const works: Work[] = [];
  for (const table of job.manifest.tables) {
    const key = spelling(qualified(table.schema, table.name));
    const released = (waiting.get(key) ?? []).map((statement) => build(statement, true, loading));
    waiting.delete(key);
    const analyze: Work = { table: key, lock: 'analyze', rank: 3, run: async (connection) => void (await connection.query(`ANALYZE ${qualified(table.schema, table.name)}`, 'gathering statistics')) };
    const prove: Work = { table: key, lock: 'read', rank: 2, run: async (connection) => void proof.push(await proveTable(connection, table)) };
    works.push({ table: key, lock: 'exclusive', rank: 0, run: async (connection) => {
      await loadTable(connection, table, job);
      return [...released, prove, ...(later.has(key) ? [] : [analyze])];
    } });
  }
  // What belongs to no table with rows, such as a partitioned table or a view, need not wait.
  works.push(...[...waiting.values()].flat().map((statement) => build(statement, false, loading)));
  const sessions: Connection[] = [];
  try {
    for (let n = 0; n < PARALLEL; n++) {
      const session = await Connections.connect(target);
      sessions.push(session);
      await prepareWriting(session);
    }
    await runQueue(sessions, works);
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
  }
}

/** `loaded`: the table has rows that are being read back, so a key is worth two steps. */
function build({ table, sql, exclusive, steps }: TableStatement, loaded: boolean, { tolerant, lost }: Loading): Work {
  const work = (text: string, lock: Work['lock'], next: readonly Work[] = []): Work => ({ table: spelling(table), lock, rank: 1, run: async (connection) => {
    const [, name = ''] = /(?:INDEX|CONSTRAINT) ("(?:[^"]|"")+"|\S+) /.exec(text) ?? [];
    const [schema, plain = table] = spelling(table).split('\u0000');
    const entry = { kind: 'CONSTRAINT', schema, name: `${plain} ${name}`, owner: undefined, statements: [text] };
    const refused = await runEntries(connection, [entry], `building on ${table}`, tolerant);
    lost.push(...refused);
    return refused.length > 0 ? [] : next;
  } });
  if (steps !== undefined && loaded) return work(steps.index, 'build index', [work(steps.constraint, 'exclusive')]);
  return work(sql, exclusive ? 'exclusive' : 'build index');
}

/**
 * A table that was emptied in the same transaction is loaded frozen: no second write of every row later by VACUUM. A table
 * of an extension may hold rows that came with the extension; it keeps them. `begun`: within the transaction that is open; `name`: another name.
 */
export async function loadTable(connection: Connection, table: TableManifest, job: Rows, how: { readonly begun: boolean; readonly name?: { readonly schema: string; readonly name: string } | undefined } = { begun: false }): Promise<void> {
  const { schema, name: plain } = how.name ?? table;
  const name = qualified(schema, plain);
  const doing = `loading the table ${schema}.${plain}`;
  const steps = [...(how.begun ? [] : ['BEGIN']), ...(table.extension ? [] : [`TRUNCATE ONLY ${name}`])];
  await connection.query(steps.join('; '), doing);
  const sql = `COPY ${name}${columnList(table.columns)} FROM STDIN${table.extension ? '' : ' WITH (FREEZE)'}`;
  // All pieces in the one session: only the transaction that emptied the table may load it frozen, and the rows then stand in their order.
  await copyIn(connection, sql, doing, rowsOf(table, job), (bytes) => job.request.progress(bytes));
  if (!how.begun) await connection.query('COMMIT', doing);
}

/** The rows of a table as COPY takes them, from all its pieces. */
export async function* rowsOf(table: TableManifest, { files, folder, request }: Rows): AsyncGenerator<Uint8Array> {
  for (const { file } of piecesOf(table)) {
    for await (const bytes of files.read(fromText(`${folder}/data/${file}`))) {
      if (request.signal.aborted) throw new HoldfastError('interrupted', 'Stopped while tables were loaded. The database that stood there is as it was.');
      yield bytes;
    }
  }
}

/** Runs `large-objects.sql`: one statement a line, of any length as a whole. */
export async function writeLargeObjects(connection: Connection, pieces: AsyncIterable<Uint8Array>, plan: TargetPlan, tolerant: Tolerance): Promise<Lost[]> {
  const doing = 'writing large objects';
  const lost: Lost[] = [];
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of pieces) {
    rest = Buffer.concat([rest, piece]);
    const end = rest.lastIndexOf(10) + 1;
    for (const line of linesOf(rest.subarray(0, end))) {
      const [, oid] = /^(?:ALTER|GRANT [A-Z]+ ON|COMMENT ON) LARGE OBJECT (\d+) /.exec(line) ?? [];
      if (oid === undefined) {
        await connection.query(line, doing);
        continue;
      }
      const entry = { kind: 'LARGE OBJECT', schema: undefined, name: oid, owner: undefined, statements: [] };
      const adapted = plan.choices.privileges === false && line.startsWith('GRANT') ? undefined : adaptStatement(line.replace(/;$/, ''), undefined, plan, (because) => lost.push({ entry, because }));
      if (adapted !== undefined) lost.push(...(await runEntries(connection, [{ ...entry, statements: [adapted] }], doing, tolerant)));
    }
    rest = rest.subarray(end);
  }
  return lost;
}

function* linesOf(bytes: Buffer): Generator<string> {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    yield bytes.toString('utf8', at, end);
    at = end + 1;
  }
}
