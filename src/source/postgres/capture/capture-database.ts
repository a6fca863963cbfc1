/** One database of a backup: a snapshot that is held, the sessions that read it, and the folder of files that comes out. */
import { HoldfastError } from '../../../base/errors.ts';
import { fromText } from '../../../base/raw-name.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import type { ContentSink, DirectoryEntry, Entry, Metadata } from '../../../repository/entry.ts';
import type { CaptureContext, Part } from '../../source.ts';
import type { Readers } from './ask-table.ts';
import { beginSchema } from './capture-schema.ts';
import { TableCapture } from './capture-table.ts';
import { readLargeObjects, readLeftOut, readSequences, sequencesSql } from '../catalog.ts';
import type { TableChoice } from './choose-tables.ts';
import { file, folder } from './entries.ts';
import { encodeName } from '../file-name.ts';
import { rightsOf, sameLargeObjects, writeLargeObjects } from '../large-object.ts';
import { lend, SessionPool, type IdleSessions } from './lend.ts';
import type { DatabaseManifest, LargeObjectManifest } from '../manifest.ts';
import { planTables } from './plan-tables.ts';
import { previousDatabase } from './previous.ts';
import { restoreScript } from './restore-script.ts';
import { holdSnapshot, joinSnapshot, type HeldSnapshot } from '../snapshot.ts';
import type { SplitSizes } from './table-layout.ts';

/** Sessions that read at once; each keeps one core of the server busy. */
export const PARALLEL = 2;

export interface DatabaseRequest {
  readonly target: PostgresTarget;
  readonly metadata: Metadata;
  readonly context: CaptureContext;
  /** Undefined: all tables. */
  readonly choice: TableChoice | undefined;
  readonly sizes: SplitSizes | undefined;
  /** Those of all databases of the store. */
  readonly idle: IdleSessions;
}

export interface HeldDatabase {
  readonly held: HeldSnapshot;
  /** Undefined: none of the tables that were asked for is in this database. */
  readonly folder: DirectoryEntry | undefined;
  readonly leftOut: readonly { subject: string; because: string }[];
  readonly schemaBy: string;
  account(): DatabaseManifest;
  release(): Promise<void>;
}

export async function holdDatabase(request: DatabaseRequest): Promise<HeldDatabase> {
  const { target, context, choice } = request;
  const rows = context.part?.only !== 'schema';
  const held = await holdSnapshot(target, (all) => (rows ? (choice?.of(all) ?? all) : []));
  const stopped = new AbortController();
  const signal = AbortSignal.any([context.signal, stopped.signal]);
  const workers = new SessionPool(() => joinSnapshot(target, held.id), PARALLEL, request.idle, signal);
  const release = async (): Promise<void> => {
    stopped.abort();
    await workers[Symbol.asyncDispose]();
    await held[Symbol.asyncDispose]();
  };
  try {
    const none = rows && choice !== undefined && held.tables.length === 0;
    const made = none ? undefined : await capture(request, held, workers, signal);
    return { held, folder: made?.folder, leftOut: made?.leftOut ?? [], schemaBy: made?.schemaBy ?? '', release, account: () => made?.account() ?? missing(target.database) };
  } catch (error) {
    await release();
    throw error;
  }
}

const missing = (database: string): never => {
  throw new HoldfastError('internal', `${database} was not captured.`);
};

async function capture(request: DatabaseRequest, held: HeldSnapshot, workers: SessionPool, signal: AbortSignal): Promise<Omit<HeldDatabase, 'held' | 'release'>> {
  const { target, metadata, context, sizes } = request;
  const { leader } = held;
  const previous = previousDatabase(context.previous, target.database);
  const schemaDone = await beginSchema({ held, metadata, signal, withScripts: scriptsOf(context.part), frugal: context.frugal ?? false, previous });
  const all = context.part === undefined;
  const sequences = context.part?.only === 'schema' ? [] : await readSequences(leader, context.part?.tables === undefined ? undefined : held.tables);
  const objects = all || (context.part?.only === 'data' && context.part.tables === undefined) ? await readLargeObjects(leader) : [];
  const leftOut = await readLeftOut(leader);
  const extensions = await leader.query<{ name: string; version: string }>('SELECT extname AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1', 'listing the extensions');
  const schema = await schemaDone();
  const readers: Readers = { pool: workers.lend, lead: lend([leader], signal) };
  const plans = await planTables(held, readers, { frugal: context.frugal ?? false, previous, sizes, step: (sentence) => context.step(sentence) });
  const tables = plans.map((plan) => new TableCapture(plan, readers));
  let read: LargeObjectManifest[] | undefined;
  let unchanged = false;
  const stream = { from: 'stream' as const, write: (sink: ContentSink) => readers.pool(async (worker) => void (read = await writeLargeObjects(worker, objects, sink))) };
  const same = context.frugal === true && objects.length > 0 && previous !== undefined && (await sameLargeObjects(leader, objects, previous.database)) ? previous : undefined;
  const large: Entry[] = objects.length === 0 ? [] : [file('large-objects.sql', metadata, same === undefined ? stream : {
    from: 'previous', path: fromText(`${same.folder}/large-objects.sql`), otherwise: stream,
    kept: () => {
      read = [...same.database.largeObjects];
      unchanged = true;
    },
  })];
  const name = encodeName(target.database);
  const withRows = context.part?.only !== 'schema';
  const children = [
    ...(withRows ? [folder('data', metadata, tables.map((table) => table.entry(metadata, previous?.dataFolder))), file('sequences.sql', metadata, sequencesSql(sequences))] : []),
    ...large, ...schema.files, file('restore.sql', metadata, restoreScript(target.database, plans, { part: context.part, largeObjects: objects.length > 0 })),
  ];
  const account = (): DatabaseManifest => {
    const unread = tables.filter((table) => table.account() === undefined).map((table) => table.name);
    if (objects.length > 0 && read === undefined) unread.push('large objects');
    if (unread.length > 0) throw new HoldfastError('source-failed', `Not all of ${target.database} was read: ${unread.slice(0, 5).join(', ')}${unread.length > 5 ? ` and ${unread.length - 5} more` : ''}.`);
    const { id, lsn, moment } = held;
    return {
      name: target.database, folder: name, snapshot: id, ...(lsn === undefined ? {} : { lsn }), moment, tables: tables.flatMap((table) => table.account() ?? []), sequences, largeObjects: read ?? [],
      ...(objects.length === 0 ? {} : { largeObjectRights: rightsOf(objects) }), ...(unchanged ? { largeObjectsUnchanged: true } : {}), extensions,
      ...(schema.fingerprint === undefined ? {} : { catalogFingerprint: schema.fingerprint }), ...(schema.unchanged() ? { schemaUnchanged: true } : {}),
    };
  };
  return { folder: folder(name, metadata, children), leftOut, schemaBy: schema.by, account };
}

/** Rows alone come without the scripts that make their tables. */
function scriptsOf(part: Part | undefined): boolean {
  return part?.only !== 'data';
}
