/** The backup of databases: one exported snapshot each, two sessions that stream the tables, the tree of files. */
import { HoldfastError } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import type { Clock } from '../../base/clock.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { copyOut, type Copied } from '../../client/postgres/copy-out.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { dumpSchema, findDumpProgram } from '../../client/postgres/pg-dump.ts';
import { qualified } from '../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { Content, ContentSink, DirectoryEntry, Entry, FileEntry, Metadata } from '../../repository/entry.ts';
import type { Capture, CaptureContext, StoreManifest } from '../source.ts';
import { copyOutSql, readLargeObjects, readLeftOut, readSequences, sequencesSql, type CatalogTable } from './catalog.ts';
import { readDatabase } from './database.ts';
import { readFacts } from './facts.ts';
import { encodeName, tableFile } from './file-name.ts';
import { readGlobals } from './globals.ts';
import { writeLargeObjects } from './large-object.ts';
import type { DatabaseManifest, LargeObjectManifest, PostgresDetail, TableManifest } from './manifest.ts';
import { restoreScript } from './restore-script.ts';
import { holdSnapshot, joinSnapshot, type HeldSnapshot } from './snapshot.ts';

/** Sessions that read at once; each keeps one core of the server busy. */
const PARALLEL = 2;
const LOCK_NOT_AVAILABLE = '55P03';

interface HeldDatabase {
  readonly held: HeldSnapshot;
  readonly folder: DirectoryEntry;
  readonly leftOut: readonly { subject: string; because: string }[];
  readonly schemaBy: string;
  account(): DatabaseManifest;
  release(): Promise<void>;
}

export async function capturePostgres(targets: readonly PostgresTarget[], clock: Clock, context: CaptureContext): Promise<Capture> {
  const held: HeldDatabase[] = [];
  const metadata = plainMetadata(clock);
  const release = async (): Promise<void> => {
    await Promise.all(held.map((one) => one.release()));
  };
  try {
    for (const target of targets) held.push(await holdDatabase(target, metadata, context));
    const [first] = held;
    if (first === undefined) throw new HoldfastError('config', `The store ${context.store} names no database.`);
    const globals = await readGlobals(first.held.leader);
    if (globals.withoutPasswords) context.step('The passwords of roles cannot be read by this user and are left out.');
    const passwords = globals.withoutPasswords ? [{ subject: 'passwords of roles', because: 'the user of the backup may not read them' }] : [];
    const top = folder(encodeName(context.store), metadata, [...held.map((one) => one.folder), file('globals.sql', metadata, globals.sql)]);
    return {
      paths: [fromText(`/${encodeName(context.store)}`)],
      root: folder('', metadata, [top]),
      parallel: PARALLEL,
      manifest: async () => manifestOf(context.store, held, passwords),
      [Symbol.asyncDispose]: release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

async function manifestOf(store: string, held: readonly HeldDatabase[], more: readonly { subject: string; because: string }[]): Promise<StoreManifest> {
  // Without the leader's locks a table could have been truncated under a session that came to it later.
  for (const one of held) await one.held.leader.query('SELECT', 'asking whether the snapshot was held to the end');
  const databases = held.map((one) => one.account());
  const tables = databases.flatMap((one) => one.tables);
  const detail: PostgresDetail = { store, server: held[0]?.held.server ?? '', schemaBy: held[0]?.schemaBy ?? '', databases };
  return {
    kind: 'postgres',
    moment: databases[0]?.moment ?? '',
    consistency: 'transactional',
    counts: {
      databases: databases.length, tables: tables.length, rows: tables.reduce((sum, table) => sum + table.rows, 0), bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
      sequences: databases.reduce((sum, one) => sum + one.sequences.length, 0), largeObjects: databases.reduce((sum, one) => sum + one.largeObjects.length, 0),
    },
    problems: [],
    leftOut: [...held.flatMap((one) => one.leftOut), ...more],
    detail,
  };
}

async function holdDatabase(target: PostgresTarget, metadata: Metadata, context: CaptureContext): Promise<HeldDatabase> {
  const held = await holdSnapshot(target);
  const workers: Connection[] = [];
  const stopped = new AbortController();
  const release = async (): Promise<void> => {
    stopped.abort();
    await Promise.all(workers.map((worker) => worker.close()));
    await held[Symbol.asyncDispose]();
  };
  try {
    const { leader } = held;
    const program = await findDumpProgram(held.server);
    const signal = AbortSignal.any([context.signal, stopped.signal]);
    // Beside the leader's own questions, and before a table flows: the shorter the time until pg_dump has its locks, the
    // less likely is it that a change of a table waits in front of it.
    const schema = (section: 'pre-data' | 'post-data'): Promise<string> => dumpSchema(program, target, { section, snapshot: held.id }, signal);
    const schemas = deferred(Promise.all([schema('pre-data'), schema('post-data')]));
    const sequences = await readSequences(leader);
    const properties = await readDatabase(leader);
    const facts = await readFacts(leader);
    const objects = await readLargeObjects(leader);
    const leftOut = await readLeftOut(leader);
    const extensions = await leader.query<{ name: string; version: string }>('SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1', 'listing the extensions');
    for (let n = 0; n < PARALLEL; n++) workers.push(await joinSnapshot(target, held.id));
    const [before, after] = await schemas();
    const pool = poolOf(workers, context.signal);
    const lead = poolOf([leader], context.signal);
    const tables = new Map<string, TableManifest>();
    let read: LargeObjectManifest[] | undefined;
    const streams: Entry[] = held.tables.map((table) => file(tableFile(table.schema, table.name), metadata, {
      from: 'stream', write: (sink) => pool(async (worker) => void tables.set(table.oid, await readTable(worker, lead, table, sink))),
    }, table.size));
    const large: Entry[] = objects.length === 0 ? [] : [file('large-objects.sql', metadata, {
      from: 'stream', write: (sink) => pool(async (worker) => void (read = await writeLargeObjects(worker, objects, sink))),
    })];
    const name = encodeName(target.database);
    const children = [
      folder('data', metadata, streams), ...large, file('pre-data.sql', metadata, before), file('post-data.sql', metadata, after),
      file('sequences.sql', metadata, sequencesSql(sequences)), file('database.json', metadata, `${JSON.stringify(properties, undefined, 2)}\n`),
      file('catalog.json', metadata, `${JSON.stringify(facts, undefined, 1)}\n`), file('restore.sql', metadata, restoreScript(target.database, held.tables, objects.length > 0)),
    ];
    const account = (): DatabaseManifest => {
      const unread = held.tables.filter(({ oid }) => !tables.has(oid)).map((table) => `${table.schema}.${table.name}`);
      if (objects.length > 0 && read === undefined) unread.push('large objects');
      if (unread.length > 0) throw new HoldfastError('source-failed', `Not all of ${target.database} was read: ${unread.slice(0, 5).join(', ')}${unread.length > 5 ? ` and ${unread.length - 5} more` : ''}.`);
      const { id, lsn, moment } = held;
      return {
        name: target.database, folder: name, snapshot: id, ...(lsn === undefined ? {} : { lsn }), moment, tables: held.tables.flatMap(({ oid }) => tables.get(oid) ?? []), sequences, largeObjects: read ?? [], extensions,
      };
    };
    const schemaBy = `pg_dump ${program.version}${program.path === undefined ? ' (WASM)' : ''}`;
    return { held, folder: folder(name, metadata, children), leftOut, schemaBy, account, release };
  } catch (error) {
    await release();
    throw error;
  }
}

type Lend = (work: (session: Connection) => Promise<void>) => Promise<void>;

/**
 * When a change of the table waits for the leader's lock, another session would wait behind that change, and both for
 * ever. So it only asks; if the answer is no, the leader itself reads the table, because it has its lock already.
 */
async function readTable(worker: Connection, lead: Lend, table: CatalogTable, sink: ContentSink): Promise<TableManifest> {
  const { schema, name, columns, condition, extension } = table;
  const doing = `reading the table ${schema}.${name}`;
  let copied: Copied | undefined;
  const copy = async (session: Connection): Promise<void> => {
    copied = await copyOut(session, copyOutSql(table), doing, (bytes) => sink.write(bytes));
  };
  await worker.query('SAVEPOINT ask', doing);
  const free = await worker.query(`LOCK TABLE ONLY ${qualified(schema, name)} IN ACCESS SHARE MODE NOWAIT`, doing).then(() => true, async (error: unknown) => {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
    await worker.query('ROLLBACK TO SAVEPOINT ask', doing);
    return false;
  });
  await (free ? copy(worker) : lead(copy));
  if (copied === undefined) throw new HoldfastError('internal', `${schema}.${name} was read without a result.`);
  return { schema, name, file: tableFile(schema, name), columns: [...columns], condition, extension, rows: copied.rows, bytes: copied.bytes, fingerprint: copied.sum };
}

/** Awaits later what runs already; its failure is not unhandled meanwhile. */
function deferred<T>(promise: Promise<T>): () => Promise<T> {
  promise.catch(() => undefined);
  return () => promise;
}

/** Lends one of the sessions at a time. */
function poolOf(workers: readonly Connection[], signal: AbortSignal): Lend {
  const free = [...workers];
  const waiting: ((worker: Connection) => void)[] = [];
  return async (work) => {
    if (signal.aborted) throw new HoldfastError('interrupted', 'Stopped while the database was read.');
    const worker = free.pop() ?? (await new Promise<Connection>((resolve) => waiting.push(resolve)));
    try {
      await work(worker);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free.push(worker);
      else next(worker);
    }
  };
}

function plainMetadata(clock: Clock): Metadata {
  const now = BigInt(clock.now().getTime()) * 1_000_000n;
  return { mode: 0o100600, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtimeNs: now, atimeNs: now, ctimeNs: now, inode: 0n, deviceId: 0n, links: 1, size: 0 };
}

function file(name: string, metadata: Metadata, content: string | Content, size = 0): FileEntry {
  const held: Content = typeof content === 'string' ? { from: 'bytes', bytes: Buffer.from(content) } : content;
  return { type: 'file', name: fromText(name), metadata: { ...metadata, size }, content: held };
}

function folder(name: string, metadata: Metadata, children: readonly Entry[]): DirectoryEntry {
  return { type: 'dir', name: fromText(name), metadata: { ...metadata, mode: 0o040700 }, children: async () => children };
}
