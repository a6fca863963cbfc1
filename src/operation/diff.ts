/** `diff`: what changed from one snapshot to another, with sums. */
import { tagValue, type Change, type DiffEntry, type Repository, type Snapshot } from '../repository/repository.ts';
import type { Context } from './context.ts';
import { MANIFEST_FILE } from './manifest.ts';

export interface DiffSums {
  /** Files and other things, folders apart. */
  readonly counts: Readonly<Record<Change, number>>;
  readonly foldersAdded: number;
  readonly foldersRemoved: number;
  /** Bytes of files that are only in the one or in the other. */
  readonly bytesAdded: number;
  readonly bytesRemoved: number;
  /** Bytes of files whose content changed, before and after. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** Hands every difference to `take`, which may make it wait, and sums them up. */
export async function diff(
  { before, after, folderTimes }: { readonly before: Snapshot; readonly after: Snapshot; readonly folderTimes: boolean },
  repository: Repository, { signal }: Context, take: (entry: DiffEntry) => Promise<void>,
): Promise<DiffSums> {
  const counts: Record<Change, number> = { '+': 0, '-': 0, M: 0, U: 0, T: 0 };
  const sums = { foldersAdded: 0, foldersRemoved: 0, bytesAdded: 0, bytesRemoved: 0, bytesBefore: 0, bytesAfter: 0 };
  const ours = tagValue(before, 'store') !== undefined && tagValue(after, 'store') !== undefined;
  await using _lock = await repository.lockForReading('files');
  for await (const entry of repository.diff(before, after, { folderTimes, signal })) {
    // Every backup writes it anew; it tells of the backup, not of the store.
    if (ours && entry.path === `/${MANIFEST_FILE}`) continue;
    const { change, before: old, after: fresh } = entry;
    const isFolder = (old ?? fresh)?.type === 'dir';
    if (change === '+' && isFolder) sums.foldersAdded++;
    else if (change === '-' && isFolder) sums.foldersRemoved++;
    else counts[change]++;
    if (change === '+') sums.bytesAdded += fresh?.size ?? 0;
    else if (change === '-') sums.bytesRemoved += old?.size ?? 0;
    else if (change !== 'U') {
      sums.bytesBefore += old?.size ?? 0;
      sums.bytesAfter += fresh?.size ?? 0;
    }
    await take(entry);
  }
  return { counts, ...sums };
}
