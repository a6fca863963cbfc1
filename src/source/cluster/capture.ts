/** Takes a base backup: a whole server, with the write-ahead log that makes it consistent. */
import type { Clock } from '../../base/clock.ts';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { encodeBackupManifest, parseBackupManifest, type BackupManifest } from '../../client/postgres/replication/backup-manifest.ts';
import { baseBackup } from '../../client/postgres/replication/base-backup.ts';
import type { BaseBackupEnd } from '../../client/postgres/replication/backup-stream.ts';
import { formatLsn } from '../../client/postgres/replication/lsn.ts';
import type { ServerIdentity } from '../../client/postgres/replication/session.ts';
import { uploadManifest } from '../../client/postgres/replication/upload-manifest.ts';
import { LOCAL, type PostgresTarget } from '../../client/postgres/target.ts';
import type { EntryFeed, FedDirectoryEntry } from '../../repository/entry.ts';
import { folder, plainMetadata } from '../postgres/capture/entries.ts';
import type { Capture, CaptureContext, StoreManifest } from '../source.ts';
import { readConfigFiles, type ConfigFiles } from './config-files.ts';
import { readCatalogFacts, readServerFacts, type CatalogFacts, type ServerFacts } from './facts.ts';
import { BACKUP_MANIFEST, CONFIG_FOLDER, DATA_FOLDER, type ClusterDetail } from './manifest.ts';
import { findBase, wholeLabel, wholeManifest } from './incremental.ts';
import { Increments } from './increments.ts';
import { LABEL, Receiver } from './receive.ts';
import { proveReceived } from './received-proof.ts';
import { openSession } from './session.ts';

export interface CaptureOptions {
  readonly target: PostgresTarget;
  readonly checkpoint: 'fast' | 'spread';
  /** `auto`: the server compresses when it is not on this host. */
  readonly compression: 'auto' | 'server' | 'none';
  /** Bytes per second. */
  readonly maxRate: number | undefined;
  readonly clock: Clock;
}

interface Taken {
  readonly receiver: Receiver;
  readonly end: BaseBackupEnd;
  readonly stoppedAt: Date;
  readonly config: ConfigFiles;
  readonly label: Buffer;
  /** The snapshot that it builds on, or why it builds on none. */
  readonly parent?: string | undefined;
  readonly whole?: string | undefined;
}

export async function captureCluster(options: CaptureOptions, context: CaptureContext): Promise<Capture> {
  const { clock, target } = options;
  await using stack = new AsyncDisposableStack();
  const { connection, server } = await openSession(target);
  stack.use(connection);
  context.signal.addEventListener('abort', () => connection.destroy(), { once: true });
  const facts = await readServerFacts(connection);
  const catalog = await readCatalogFacts(target);
  const name = fromText(context.store);
  let taken: Taken | undefined;
  const feed = async (into: EntryFeed): Promise<void> => {
    taken = await take({ connection, server, facts, options, context }, into);
  };
  const lifetime = stack.move();
  const metadata = plainMetadata(clock);
  const store: FedDirectoryEntry = { type: 'fed-dir', name, metadata: { ...metadata, mode: 0o040700 }, feed };
  return {
    paths: [`/${name}`],
    root: folder('', metadata, [store]),
    parallel: 2,
    manifest: () => {
      if (taken === undefined) throw new HoldfastError('source-failed', 'the base backup did not come to its end');
      const { meter } = target;
      const traffic = meter === undefined ? undefined : { received: meter.received, sent: meter.sent };
      return Promise.resolve({ ...manifestOf(taken, { server, facts, catalog, context }), traffic });
    },
    [Symbol.asyncDispose]: () => lifetime.disposeAsync(),
  };
}

interface Job {
  readonly connection: Connection;
  readonly server: ServerIdentity;
  readonly facts: ServerFacts;
  readonly options: CaptureOptions;
  readonly context: CaptureContext;
}

/** Asks for what has changed where the server can tell, and for all of it where that does not work out: never does a backup fail for want of an increment. */
async function take(job: Job, into: EntryFeed): Promise<Taken> {
  const { connection, server, options, context, facts } = job;
  await keepLog(connection);
  const base = await findBase(connection, server, facts.blockBytes, context);
  if ('because' in base) return await takeWhole(job, into, base.because);
  const increments = new Increments(base, into, facts.blockBytes);
  const receiver = new Receiver(into, context.startedAt, increments);
  let because: string;
  try {
    return await takeChanges(job, receiver, increments);
  } catch (error) {
    const { failure } = increments;
    increments.fail(error);
    // Where the backup had begun, and all could be made whole, something else is wrong that a full backup would meet, too.
    if (context.signal.aborted || (receiver.start !== undefined && failure === undefined)) throw error;
    because = failure === undefined ? `the server refuses an incremental backup: ${refusalOf(error)}` : `the snapshot before cannot be built on: ${messageOf(failure.error)}`;
  }
  if (receiver.start === undefined) return await takeWhole(job, into, because);
  await receiver.abandon();
  await into.restart();
  const { connection: again } = await openSession(options.target);
  await using _again = again;
  context.signal.addEventListener('abort', () => again.destroy(), { once: true });
  await keepLog(again);
  return await takeWhole({ ...job, connection: again }, into, because);
}

async function takeWhole(job: Job, into: EntryFeed, because: string | undefined): Promise<Taken> {
  const { server, context } = job;
  const { major, systemId } = server;
  const receiver = new Receiver(into, context.startedAt);
  const end = await receive(job, receiver, `reading the whole server${because === undefined ? '' : `, because ${because}`}`);
  const bytes = receiver.manifestBytes;
  const manifest = major < 13 ? ownManifest(receiver, end) : bytes;
  proveReceived(parseBackupManifest(manifest), receiver.files, systemId);
  return { ...(await complete(job, receiver, manifest)), end, label: receiver.label, whole: because };
}

async function takeChanges(job: Job, receiver: Receiver, increments: Increments): Promise<Taken> {
  const { base } = increments;
  await uploadManifest(job.connection, base.manifest);
  const end = await receive(job, receiver, `reading what has changed on the server since snapshot ${base.snapshotId.slice(0, 10)}`, true);
  const sent = parseBackupManifest(receiver.manifestBytes);
  proveReceived(sent, receiver.files, job.server.systemId);
  const whole = await increments.whole();
  for (const { size } of whole.values()) receiver.counts.bytes += size;
  const label = wholeLabel(receiver.label);
  receiver.addOwn(`${DATA_FOLDER}/${LABEL}`, label);
  return { ...(await complete(job, receiver, wholeManifest(sent, whole, new Map([[LABEL, label]])))), end, label, parent: base.snapshotId };
}

async function receive({ connection, server, options, context }: Job, receiver: Receiver, doing: string, incremental = false): Promise<BaseBackupEnd> {
  const { checkpoint, compression, maxRate } = options;
  const zstd = compression === 'server' || (compression === 'auto' && !LOCAL.test(connection.target.host));
  context.step(checkpoint === 'fast' ? doing : `waiting for the next checkpoint of the server, then ${doing}`);
  return await baseBackup(connection, { major: server.major, label: `holdfast ${context.store}`, checkpoint, maxRate, incremental, zstd }, receiver).catch((error: unknown) => Promise.reject(damagedPages(error)));
}

/** Adds what does not come in the stream. */
async function complete({ options }: Job, receiver: Receiver, manifest: Buffer): Promise<Pick<Taken, 'receiver' | 'stoppedAt' | 'config'>> {
  receiver.addOwn(`${DATA_FOLDER}/${BACKUP_MANIFEST}`, manifest);
  const config = await readConfigFiles(options.target);
  addConfig(receiver, config);
  return { receiver, stoppedAt: options.clock.now(), config };
}

function refusalOf(error: unknown): string {
  return messageOf(error instanceof HoldfastError && error.cause !== undefined ? error.cause : error);
}

/**
 * The server must not remove log between the start and the end of the backup, however long that takes: a slot that goes with this session
 * keeps it. Where none is left, the server keeps what wal_keep_size says, and tells when that was not enough.
 */
async function keepLog(connection: Connection): Promise<void> {
  try {
    await connection.query(`CREATE_REPLICATION_SLOT "holdfast_base_${connection.backend.pid}" TEMPORARY PHYSICAL RESERVE_WAL`, 'keeping the log of the backup');
  } catch (error) {
    if (!['53400', '55000', '42501'].includes(sqlState(error) ?? '')) throw error;
  }
}

function addConfig(receiver: Receiver, { files, settings }: ConfigFiles): void {
  receiver.addFolder(CONFIG_FOLDER);
  if (settings !== '') receiver.addOwn(`${CONFIG_FOLDER}/settings.conf`, Buffer.from(settings));
  for (const { path, bytes } of files) {
    const parts = fromText(path).split('/').filter((part) => part !== '' && part !== '.' && part !== '..');
    for (let depth = 1; depth < parts.length; depth++) receiver.addFolder([CONFIG_FOLDER, ...parts.slice(0, depth)].join('/'));
    receiver.addOwn([CONFIG_FOLDER, ...parts].join('/'), bytes);
  }
}

/** The server reads every page and compares its checksum, where it has checksums. */
function damagedPages(error: unknown): unknown {
  if (sqlState(error) === '55000' && messageOf(error).includes('full_page_writes')) {
    return new HoldfastError('source-failed', messageOf(error), { hint: 'A backup of a standby needs whole pages in the log: set full_page_writes = on at the primary, wait for the next checkpoint there, and run this again.', cause: error });
  }
  if (sqlState(error) !== 'XX001') return error;
  return new HoldfastError('source-failed', `the server has found damaged pages in its own files: ${messageOf(error instanceof HoldfastError ? error.cause : error)}`, {
    hint: 'Nothing was recorded; earlier snapshots stay. Look at the disk of the server, find the table with `SELECT pg_filenode_relation(0, NUMBER)`, and bring it back from an earlier snapshot.', cause: error,
  });
}

/** Servers before 13 write none. */
function ownManifest(receiver: Receiver, end: BaseBackupEnd): Buffer {
  const files: BackupManifest['files'] = [...receiver.files].filter(([path]) => !path.startsWith('pg_wal/')).map(([path, { size, crc32c, mtime }]) => ({
    path, size, modified: `${new Date(mtime * 1000).toISOString().slice(0, 19).replace('T', ' ')} GMT`, algorithm: 'CRC32C', checksum: crc32c,
  }));
  const walRanges = receiver.start === undefined ? [] : [{ timeline: end.timeline, start: formatLsn(receiver.start.lsn), end: formatLsn(end.lsn) }];
  return encodeBackupManifest({ version: 1, systemId: undefined, files, walRanges });
}

function manifestOf({ receiver, end, stoppedAt, config, label, parent, whole }: Taken, known: { readonly server: ServerIdentity; readonly facts: ServerFacts; readonly catalog: CatalogFacts; readonly context: CaptureContext }): StoreManifest {
  const { server, facts, catalog, context } = known;
  const { start } = receiver;
  if (start === undefined) throw new HoldfastError('source-failed', 'the server did not say where the backup begins');
  const tablespaces = start.tablespaces.flatMap(({ oid, location }) => {
    const name = catalog.tablespaces.get(oid ?? '');
    return oid === undefined ? [] : [{ oid, location, ...(name === undefined ? {} : { name }) }];
  });
  const detail: ClusterDetail = {
    store: context.store, systemId: server.systemId, server: server.version, timeline: start.timeline, startLsn: formatLsn(start.lsn), endLsn: formatLsn(end.lsn), endTimeline: end.timeline,
    startedAt: context.startedAt.toISOString(), stoppedAt: stoppedAt.toISOString(), segmentBytes: server.segmentBytes, blockBytes: facts.blockBytes, dataChecksums: facts.dataChecksums,
    standby: /^BACKUP FROM: standby$/m.test(label.toString('latin1')), ...(facts.dataDirectory === undefined ? {} : { dataDirectory: facts.dataDirectory }),
    settings: facts.settings, tablespaces, databases: [...catalog.databases], configuration: config.paths,
    ...(parent === undefined ? {} : { parent }), ...(whole === undefined ? {} : { whole }),
  };
  return {
    kind: 'cluster', moment: stoppedAt.toISOString(), consistency: 'transactional', counts: { databases: catalog.databases.length, ...receiver.counts }, problems: [], leftOut: config.leftOut,
    position: `${detail.endLsn} on timeline ${detail.endTimeline}`, detail,
  };
}
