/** The backup of databases: one exported snapshot each, two sessions that stream the tables, the tree of files. */
import { HoldfastError } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import type { Clock } from '../../base/clock.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import type { DirectoryEntry, Entry, Metadata } from '../../repository/entry.ts';
import type { Capture, CaptureContext, StoreManifest } from '../source.ts';
import { beginSchema } from './capture-schema.ts';
import { readTable } from './capture-table.ts';
import { readLargeObjects, readLeftOut, readSequences, sequencesSql } from './catalog.ts';
import { file, folder, plainMetadata } from './entries.ts';
import { encodeName, tableFile } from './file-name.ts';
import { readGlobalFiles } from './globals-sql.ts';
import { writeLargeObjects } from './large-object.ts';
import { lend } from './lend.ts';
import type { DatabaseManifest, LargeObjectManifest, PostgresDetail, TableManifest } from './manifest.ts';
import { restoreScript } from './restore-script.ts';
import { holdSnapshot, joinSnapshot, type HeldSnapshot } from './snapshot.ts';

/** Sessions that read at once; each keeps one core of the server busy. */
const PARALLEL = 2;

interface HeldDatabase {
  readonly held: HeldSnapshot;
  readonly folder: DirectoryEntry;
  readonly leftOut: readonly { subject: string; because: string }[];
  readonly schemaBy: string;
  account(): DatabaseManifest;
  release(): Promise<void>;
}

export async function capturePostgres(targets: readonly PostgresTarget[], clock: Clock, context: CaptureContext, { globals: wanted }: { readonly globals: boolean }): Promise<Capture> {
  const held: HeldDatabase[] = [];
  const metadata = plainMetadata(clock);
  const release = async (): Promise<void> => {
    await Promise.all(held.map((one) => one.release()));
  };
  try {
    for (const target of targets) held.push(await holdDatabase(target, metadata, context));
    const [first] = held;
    if (first === undefined) throw new HoldfastError('config', `The store ${context.store} names no database.`);
    const globals = await readGlobalFiles(first.held.leader, wanted);
    for (const { subject, because } of globals.leftOut) context.step(`Left out: ${subject}, because ${because}.`);
    const top = folder(encodeName(context.store), metadata, [...held.map((one) => one.folder), ...globals.files.map(({ name, text }) => file(name, metadata, text))]);
    return {
      paths: [fromText(`/${encodeName(context.store)}`)],
      root: folder('', metadata, [top]),
      parallel: PARALLEL,
      manifest: async () => manifestOf(context.store, held, globals.leftOut),
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
    const schemaDone = await beginSchema(held, metadata, AbortSignal.any([context.signal, stopped.signal]));
    const sequences = await readSequences(leader);
    const objects = await readLargeObjects(leader);
    const leftOut = await readLeftOut(leader);
    const extensions = await leader.query<{ name: string; version: string }>('SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1', 'listing the extensions');
    for (let n = 0; n < PARALLEL; n++) workers.push(await joinSnapshot(target, held.id));
    const schema = await schemaDone();
    const pool = lend(workers, context.signal);
    const lead = lend([leader], context.signal);
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
      folder('data', metadata, streams), ...large, ...schema.files,
      file('sequences.sql', metadata, sequencesSql(sequences)), file('restore.sql', metadata, restoreScript(target.database, held.tables, objects.length > 0)),
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
    return { held, folder: folder(name, metadata, children), leftOut, schemaBy: schema.by, account, release };
  } catch (error) {
    await release();
    throw error;
  }
}
