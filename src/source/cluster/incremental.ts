/**
 * What an incremental base backup builds on, and what becomes of the server's account of it. Every snapshot stands alone: what the server
 * sends as increments is made whole on the way (increments.ts), and the manifest then describes whole files.
 */
import { isHoldfastError, messageOf } from '../../base/errors.ts';
import { fromText, type RawName } from '../../base/raw-name.ts';
import { Crc32c } from '../../client/postgres/crc32c.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { encodeBackupManifest, parseBackupManifest, type BackupManifest, type ManifestFile } from '../../client/postgres/replication/backup-manifest.ts';
import { incrementOf } from '../../client/postgres/replication/increment.ts';
import type { ServerIdentity } from '../../client/postgres/replication/session.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import type { CaptureContext, StoreManifest } from '../source.ts';
import { readSetting } from './facts.ts';
import { BACKUP_MANIFEST, DATA_FOLDER, readClusterDetail, type ClusterDetail } from './manifest.ts';

const OLDEST = 17;

/** A file of the combined data directory, as the manifest lists it. */
export interface WholeFile {
  readonly size: number;
  readonly crc32c: string;
}

export interface IncrementalBase {
  readonly snapshotId: string;
  readonly detail: ClusterDetail;
  readonly files: SnapshotFiles;
  /** To be uploaded, and what it lists by path. */
  readonly manifest: Buffer;
  readonly listed: ReadonlyMap<string, ManifestFile>;
}

/** A clause that completes "because …"; undefined where nobody would expect an increment: no snapshot to build on, an older server. */
export type NoBase = { readonly because: string | undefined };

/** Finds out whether the server can be asked for changes only. Never throws for what a full backup does not need. */
export async function findBase(connection: Connection, server: ServerIdentity, blockBytes: number, { previous }: CaptureContext): Promise<IncrementalBase | NoBase> {
  if (server.major < OLDEST || previous?.files === undefined) return { because: undefined };
  if ((await readSetting(connection, 'summarize_wal')) !== 'on') return { because: 'the server keeps no account of what changes (summarize_wal is off)' };
  const { snapshotId, files } = previous;
  const detail = clusterDetail(previous.manifest);
  if (detail === undefined) return { because: 'the manifest of the snapshot before is not understood' };
  if (detail.systemId !== server.systemId) return { because: 'the snapshot before is one of another server' };
  if (detail.blockBytes !== blockBytes) return { because: 'the snapshot before has blocks of another size' };
  const path: RawName = fromText(`/${detail.store}/${DATA_FOLDER}/${BACKUP_MANIFEST}`);
  try {
    const manifest = await files.bytes(path);
    const parsed = parseBackupManifest(manifest);
    return { snapshotId, detail, files, manifest, listed: new Map(parsed.files.map((file) => [file.path, file])) };
  } catch (error) {
    if (!isHoldfastError(error, 'source-failed', 'path-missing', 'repository-damaged')) throw error;
    return { because: `the snapshot before cannot be read: ${messageOf(error)}` };
  }
}

function clusterDetail(manifest: StoreManifest): ClusterDetail | undefined {
  try {
    return readClusterDetail(manifest);
  } catch (error) {
    if (isHoldfastError(error, 'restore-unproven')) return undefined;
    throw error;
  }
}

/** Without the lines that say that it is not whole, at which a server would refuse to start. */
export function wholeLabel(label: Buffer): Buffer {
  return Buffer.from(label.toString('latin1').replace(/^INCREMENTAL FROM [^\n]*\n/gm, ''), 'latin1');
}

/** The server's manifest of an incremental backup, made into one of whole files. */
export function wholeManifest(sent: BackupManifest, whole: ReadonlyMap<string, WholeFile>, replaced: ReadonlyMap<string, Buffer>): Buffer {
  const files = sent.files.map((file): ManifestFile => {
    const path = incrementOf(file.path);
    const made = path === undefined ? undefined : whole.get(path);
    if (path !== undefined && made !== undefined) return { ...file, path, size: made.size, algorithm: 'CRC32C', checksum: made.crc32c };
    const own = replaced.get(file.path);
    return own === undefined ? file : { ...file, size: own.length, algorithm: 'CRC32C', checksum: checksum(own) };
  });
  return encodeBackupManifest({ ...sent, files });
}

function checksum(bytes: Buffer): string {
  const sum = new Crc32c();
  sum.update(bytes);
  return sum.digest();
}
