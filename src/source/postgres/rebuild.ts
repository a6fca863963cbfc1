/** Fills an empty database from a snapshot: schema, rows, indexes as soon as their table is loaded, the rest; and reads all of it back. */
import type { Connection } from '../../client/postgres/connection.ts';
import { Connection as Connections } from '../../client/postgres/connection.ts';
import { copyIn } from '../../client/postgres/copy-in.ts';
import { qualified } from '../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import { HoldfastError } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import type { ProofLine, RestoreRequest } from '../source.ts';
import { analyzeDerived, analyzedWithParent } from './analyze.ts';
import { columnList } from './catalog.ts';
import { piecesOf, type DatabaseManifest, type TableManifest } from './manifest.ts';
import { releaseByTable, spelling, type TableStatement } from './post-data.ts';
import { proveCatalog, proveConstraints, proveLargeObjects, proveSequences, proveTable } from './prove.ts';
import { runStatements, statementsOf } from './script.ts';
import { prepareWriting } from './session.ts';
import { runQueue, type Work } from './work-queue.ts';

/** Sessions that load and build at once. */
const PARALLEL = 2;

export interface Rebuild {
  readonly files: SnapshotFiles;
  /** Folder of the database in the snapshot: `/store/database`. */
  readonly folder: string;
  readonly manifest: DatabaseManifest;
  /** Is the server of the same major version as the source? */
  readonly sameVersion: boolean;
  readonly request: RestoreRequest;
}

/** Gives the comparison of everything with the manifest. `target` names the new database. */
export async function rebuildDatabase(target: PostgresTarget, job: Rebuild): Promise<ProofLine[]> {
  const { files, folder, manifest, request } = job;
  const text = async (name: string): Promise<string> => (await files.bytes(fromText(`${folder}/${name}`))).toString('utf8');
  await using leader = await Connections.connect(target);
  await prepareWriting(leader);
  request.step(`Making the schema of ${manifest.name}`);
  await runStatements(leader, statementsOf(await text('pre-data.sql')), 'making the schema');
  const { byTable, rest } = releaseByTable(statementsOf(await text('post-data.sql')));
  const proof: ProofLine[] = [];
  request.step(`Loading ${manifest.tables.length} tables of ${manifest.name}`);
  await loadTables(target, job, byTable, proof, await analyzedWithParent(leader));
  // The script before left its own settings behind.
  await prepareWriting(leader);
  await runStatements(leader, statementsOf(await text('sequences.sql')), 'setting the sequences');
  if (manifest.largeObjects.length > 0) await runLines(leader, files.read(fromText(`${folder}/large-objects.sql`)));
  request.step(`Making foreign keys, triggers and policies of ${manifest.name}`);
  await runStatements(leader, rest, 'making constraints, triggers and privileges');
  await analyzeDerived(leader);
  request.step(`Comparing ${manifest.name} with the manifest`);
  await prepareWriting(leader);
  const facts = parseLines(await text('catalog.json'));
  proof.push(await proveSequences(leader, manifest), await proveLargeObjects(leader, manifest));
  proof.push(await proveCatalog(leader, facts, job.sameVersion), await proveConstraints(leader, facts));
  return proof;
}

export function parseLines(json: string): string[] {
  const lines: unknown = JSON.parse(json);
  return Array.isArray(lines) ? lines.filter((line) => typeof line === 'string') : [];
}

async function loadTables(target: PostgresTarget, job: Rebuild, statements: readonly TableStatement[], proof: ProofLine[], later: ReadonlySet<string>): Promise<void> {
  const waiting = Map.groupBy(statements, ({ table }) => spelling(table));
  const works: Work[] = [];
  for (const table of job.manifest.tables) {
    const key = spelling(qualified(table.schema, table.name));
    const released = (waiting.get(key) ?? []).map((statement) => build(statement, true));
    waiting.delete(key);
    const analyze: Work = { table: key, lock: 'analyze', rank: 3, run: async (connection) => void (await connection.query(`ANALYZE ${qualified(table.schema, table.name)}`, 'gathering statistics')) };
    const prove: Work = { table: key, lock: 'read', rank: 2, run: async (connection) => void proof.push(await proveTable(connection, table)) };
    works.push({ table: key, lock: 'exclusive', rank: 0, run: async (connection) => {
      await loadTable(connection, table, job);
      return [...released, prove, ...(later.has(key) ? [] : [analyze])];
    } });
  }
  // What belongs to no table with rows, such as a partitioned table or a view, need not wait.
  works.push(...[...waiting.values()].flat().map((statement) => build(statement, false)));
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
function build({ table, sql, exclusive, steps }: TableStatement, loaded: boolean): Work {
  const work = (text: string, lock: Work['lock'], next: readonly Work[] = []): Work => ({ table: spelling(table), lock, rank: 1, run: async (connection) => {
    await connection.query(text, `building on ${table}`);
    return next;
  } });
  if (steps !== undefined && loaded) return work(steps.index, 'build index', [work(steps.constraint, 'exclusive')]);
  return work(sql, exclusive ? 'exclusive' : 'build index');
}

/**
 * A table that was emptied in the same transaction is loaded frozen: no second write of every row later by VACUUM. A table
 * of an extension may hold rows that came with the extension; it keeps them.
 */
export async function loadTable(connection: Connection, table: TableManifest, job: Rebuild, transaction: { begun: boolean } = { begun: false }): Promise<void> {
  const name = qualified(table.schema, table.name);
  const doing = `loading the table ${table.schema}.${table.name}`;
  const steps = [...(transaction.begun ? [] : ['BEGIN']), ...(table.extension ? [] : [`TRUNCATE ONLY ${name}`])];
  await connection.query(steps.join('; '), doing);
  const sql = `COPY ${name}${columnList(table.columns)} FROM STDIN${table.extension ? '' : ' WITH (FREEZE)'}`;
  // All pieces in the one session: only the transaction that emptied the table may load it frozen, and the rows then stand in their order.
  await copyIn(connection, sql, doing, guarded(rowsOf(table, job), job.request.signal), (bytes) => job.request.progress(bytes));
  if (!transaction.begun) await connection.query('COMMIT', doing);
}

async function* rowsOf(table: TableManifest, { files, folder }: Rebuild): AsyncGenerator<Uint8Array> {
  for (const { file } of piecesOf(table)) yield* files.read(fromText(`${folder}/data/${file}`));
}

async function* guarded(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    if (signal.aborted) throw new HoldfastError('interrupted', 'Stopped while tables were loaded. The database that stood there is as it was.');
    yield piece;
  }
}

/** A script of one statement a line, of any length as a whole. */
async function runLines(connection: Connection, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const doing = 'writing large objects';
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of pieces) {
    rest = Buffer.concat([rest, piece]);
    const end = rest.lastIndexOf(10) + 1;
    for (const line of linesOf(rest.subarray(0, end))) await connection.query(line, doing);
    rest = rest.subarray(end);
  }
}

function* linesOf(bytes: Buffer): Generator<string> {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    yield bytes.toString('utf8', at, end);
    at = end + 1;
  }
}
