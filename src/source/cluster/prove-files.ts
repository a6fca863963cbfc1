/** The files of a stored base backup against the list that the server made of them: every size and checksum, computed again. */
import { isHoldfastError, messageOf } from '../../base/errors.ts';
import { fromText, toText, type RawName } from '../../base/raw-name.ts';
import { Crc32c } from '../../client/postgres/crc32c.ts';
import { parseBackupManifest, type BackupManifest, type ManifestFile } from '../../client/postgres/replication/backup-manifest.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import type { ProofLine, ProveRequest, StoreManifest } from '../source.ts';
import { BACKUP_MANIFEST, DATA_FOLDER, readClusterDetail, TABLESPACES_FOLDER, type ClusterDetail } from './manifest.ts';

/** One line for all that is equal, and one for each file that differs. Throws `restore-unproven` on a manifest that is none. */
export async function proveCluster(manifest: StoreManifest, files: SnapshotFiles, request: ProveRequest): Promise<readonly ProofLine[]> {
  const detail = readClusterDetail(manifest);
  const listed = await readList(detail, files);
  if ('subject' in listed) return [listed];
  request.step('comparing every file with the checksum that the server has computed');
  const lines: ProofLine[] = [];
  if (listed.systemId !== undefined && listed.systemId !== detail.systemId) lines.push({ subject: BACKUP_MANIFEST, equal: false, detail: `is of the server ${listed.systemId} instead of ${detail.systemId}` });
  let bytes = 0;
  for (const file of listed.files) {
    request.signal.throwIfAborted();
    const difference = await differenceOf(file, pathOf(file.path, detail), files, request);
    if (difference !== undefined) lines.push({ subject: toText(file.path), equal: false, detail: difference });
    bytes += file.size;
  }
  return lines.length > 0 ? lines : [{ subject: 'files of the server', equal: true, detail: `${listed.files.length} files with ${bytes} bytes, checksums as the server has computed them` }];
}

async function readList({ store }: ClusterDetail, files: SnapshotFiles): Promise<BackupManifest | ProofLine> {
  try {
    return parseBackupManifest(await files.bytes(fromText(`/${store}/${DATA_FOLDER}/${BACKUP_MANIFEST}`)));
  } catch (error) {
    if (!isHoldfastError(error, 'source-failed', 'path-missing', 'repository-damaged')) throw error;
    return { subject: BACKUP_MANIFEST, equal: false, detail: messageOf(error) };
  }
}

/** Files of tablespaces stand apart, except those that lie within the data directory. */
function pathOf(listed: RawName, { store, tablespaces }: ClusterDetail): RawName {
  const [, oid, rest] = /^pg_tblspc\/(\d+)\/(.*)$/s.exec(listed) ?? [];
  const apart = tablespaces.some((space) => space.oid === oid && space.location.startsWith('/'));
  return apart ? `${fromText(`/${store}/${TABLESPACES_FOLDER}/${oid ?? ''}`)}/${rest ?? ''}` : `${fromText(`/${store}/${DATA_FOLDER}`)}/${listed}`;
}

async function differenceOf(file: ManifestFile, at: RawName, files: SnapshotFiles, { signal, progress }: ProveRequest): Promise<string | undefined> {
  const sum = new Crc32c();
  let size = 0;
  try {
    for await (const piece of files.read(at)) {
      signal.throwIfAborted();
      sum.update(piece);
      size += piece.length;
      progress(piece.length);
    }
  } catch (error) {
    if (!isHoldfastError(error, 'path-missing', 'repository-damaged')) throw error;
    return messageOf(error);
  }
  if (size !== file.size) return `has ${size} bytes instead of ${file.size}`;
  return file.algorithm === 'CRC32C' && sum.digest() !== file.checksum ? 'has another checksum (CRC-32C) than the server has computed' : undefined;
}
