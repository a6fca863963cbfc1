/** Is what has come what the server says it has sent? */
import { HoldfastError } from '../../base/errors.ts';
import { toText } from '../../base/raw-name.ts';
import type { BackupManifest, ManifestFile } from '../../client/postgres/replication/backup-manifest.ts';
import type { ReceivedFile } from './receive.ts';

/** Write-ahead log is not listed: the manifest names the range that is needed, and its records carry checksums of their own. */
export const isLog = (path: string): boolean => path.startsWith('pg_wal/');

/** Throws `source-failed` with the first file that differs. */
export function proveReceived(manifest: BackupManifest, received: ReadonlyMap<string, ReceivedFile>, systemId: string): void {
  if (manifest.systemId !== undefined && manifest.systemId !== systemId) {
    throw new HoldfastError('foreign-server', `the backup is one of the server ${manifest.systemId}, and the connection is to ${systemId}`, { hint: 'Something between us and the server leads to different servers; name the server itself.' });
  }
  const listed = new Set<string>();
  for (const file of manifest.files) {
    listed.add(file.path);
    const difference = differenceOf(file, received.get(file.path));
    if (difference !== undefined) throw unequal(file.path, difference);
  }
  for (const path of received.keys()) if (!listed.has(path) && !isLog(path)) throw unequal(path, 'is not in the list of the server');
}

function differenceOf(file: ManifestFile, found: ReceivedFile | undefined): string | undefined {
  if (found === undefined) return 'has not come';
  if (found.size !== file.size) return `has ${found.size} bytes instead of ${file.size}`;
  if (file.algorithm === 'CRC32C' && found.crc32c !== file.checksum) return 'has another checksum (CRC-32C) than the server has computed';
  return undefined;
}

function unequal(path: string, difference: string): HoldfastError {
  return new HoldfastError('source-failed', `the backup is not what the server has sent: ${toText(path)} ${difference}`, { hint: 'Nothing was recorded. Run it again; when it happens again, look at the network and at the memory of this host.' });
}
