/** Takes a base backup: a whole server, with the write-ahead log that makes it consistent. */
import type { Clock } from '../../base/clock.ts';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { encodeBackupManifest, parseBackupManifest, type BackupManifest } from '../../client/postgres/replication/backup-manifest.ts';
import { baseBackup, type BaseBackupEnd } from '../../client/postgres/replication/base-backup.ts';
import { formatLsn } from '../../client/postgres/replication/lsn.ts';
import type { ServerIdentity } from '../../client/postgres/replication/session.ts';
import { LOCAL, type PostgresTarget } from '../../client/postgres/target.ts';
import type { EntryFeed, FedDirectoryEntry } from '../../repository/entry.ts';
import { folder, plainMetadata } from '../postgres/capture/entries.ts';
import type { Capture, CaptureContext, StoreManifest } from '../source.ts';
import { readConfigFiles, type ConfigFiles } from './config-files.ts';
import { readCatalogFacts, readServerFacts, type CatalogFacts, type ServerFacts } from './facts.ts';
import { BACKUP_MANIFEST, CONFIG_FOLDER, DATA_FOLDER, type ClusterDetail } from './manifest.ts';
import { Receiver } from './receive.ts';
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
    taken = await take({ connection, server, options, context }, into);
  };
  const lifetime = stack.move();
  const metadata = plainMetadata(clock);
  const store: FedDirectoryEntry = { type: 'fed-dir', name, metadata: { ...metadata, mode: 0o040700 }, feed };
  return {
    paths: [`/${name}`],
    root: folder('', metadata, [store]),
    parallel: 1,
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
  readonly options: CaptureOptions;
  readonly context: CaptureContext;
}

async function take({ connection, server, options, context }: Job, into: EntryFeed): Promise<Taken> {
  const { major, systemId } = server;
  const { checkpoint, compression, maxRate, clock } = options;
  const zstd = compression === 'server' || (compression === 'auto' && !LOCAL.test(connection.target.host));
  const receiver = new Receiver(into, context.startedAt);
  await keepLog(connection);
  context.step(checkpoint === 'fast' ? 'reading the whole server' : 'waiting for the next checkpoint of the server, then reading it whole');
  const end = await baseBackup(connection, { major, label: `holdfast ${context.store}`, checkpoint, maxRate, zstd }, receiver).catch((error: unknown) => Promise.reject(damagedPages(error)));
  const bytes = receiver.manifestBytes;
  const manifest = major < 13 ? ownManifest(receiver, end) : bytes;
  proveReceived(parseBackupManifest(manifest), receiver.files, systemId);
  receiver.addOwn(`${DATA_FOLDER}/${BACKUP_MANIFEST}`, manifest);
  const config = await readConfigFiles(options.target);
  addConfig(receiver, config);
  return { receiver, end, stoppedAt: clock.now(), config };
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

function manifestOf({ receiver, end, stoppedAt, config }: Taken, known: { readonly server: ServerIdentity; readonly facts: ServerFacts; readonly catalog: CatalogFacts; readonly context: CaptureContext }): StoreManifest {
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
    standby: /^BACKUP FROM: standby$/m.test(receiver.label), ...(facts.dataDirectory === undefined ? {} : { dataDirectory: facts.dataDirectory }),
    settings: facts.settings, tablespaces, databases: [...catalog.databases], configuration: config.paths,
  };
  return {
    kind: 'cluster', moment: stoppedAt.toISOString(), consistency: 'transactional', counts: { databases: catalog.databases.length, ...receiver.counts }, problems: [], leftOut: config.leftOut,
    position: `${detail.endLsn} on timeline ${detail.endTimeline}`, detail,
  };
}
