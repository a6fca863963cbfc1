/** Proves the content of a snapshot without a store to restore to: what each kind of source can say of its files against its manifest. */
import type { SnapshotFiles } from '../repository/entry.ts';
import type { RawName } from '../base/raw-name.ts';
import { proveCluster } from './cluster/prove-files.ts';
import { dataFiles, proveDatabases } from './postgres/prove-files.ts';
import type { ProofLine, ProveRequest, StoreManifest } from './source.ts';

/** What was counted in a snapshot, without what Holdfast itself added. */
export interface SeenContent {
  readonly files: number;
  readonly folders: number;
  readonly others: number;
  readonly bytes: number;
}

/** The files that `proveContent` reads from end to end, so that nobody else need read them. Throws `restore-unproven` on a manifest that is none. */
export function filesRead(manifest: StoreManifest): readonly RawName[] {
  return manifest.kind === 'postgres' ? dataFiles(manifest) : [];
}

/** Compares the files of a snapshot with its manifest. A difference is a line, not an error; what cannot be read at all throws. */
export async function proveContent(manifest: StoreManifest, seen: SeenContent, files: SnapshotFiles, request: ProveRequest): Promise<readonly ProofLine[]> {
  switch (manifest.kind) {
    case 'postgres':
      return await proveDatabases(manifest, files, request);
    case 'cluster':
      return [proveCounts(manifest, seen), ...(await proveCluster(manifest, files, request))];
    default:
      return [proveCounts(manifest, seen)];
  }
}

/**
 * A tree of files has as many as were counted while it was read. When things vanished or changed under the backup, each is a
 * problem of the manifest, and only so many may be missing.
 */
function proveCounts({ counts, problems }: StoreManifest, seen: SeenContent): ProofLine {
  const names = ['files', 'folders', 'others', ...(problems.length === 0 ? (['bytes'] as const) : [])] as const;
  const different = names.filter((name) => {
    const missing = (counts[name] ?? seen[name]) - seen[name];
    return missing < 0 || missing > problems.length;
  });
  const detail = different.map((name) => `${seen[name]} ${name} instead of ${counts[name] ?? 0}`);
  return { subject: 'counts', equal: different.length === 0, detail: different.length === 0 ? `${seen.files} files, ${seen.folders} folders and ${seen.bytes} bytes, as the manifest says` : detail.join(', ') };
}
