/** What a backup builds on: the newest snapshot of the same part of the same store. */
import { isHoldfastError } from '../base/errors.ts';
import type { OpenedFiles, Repository, Snapshot } from '../repository/repository.ts';
import type { CaptureContext, Part } from '../source/source.ts';
import type { Stack, Store } from '../stack/stack.ts';
import { readManifest } from './manifest.ts';
import { partTag } from './part.ts';
import { snapshotsOf } from './select.ts';

/** Of snapshots that frugal backups made: only they hold what the server said of its rows. */
export const FRUGAL_TAG = 'frugal';

export interface Wanted {
  readonly stack: Stack;
  readonly store: Store;
  readonly part: Part | undefined;
  readonly frugal: boolean;
}

/**
 * Whatever host or path it came from. A frugal backup builds on the last frugal one, though one of another plan may have come in between:
 * what has not changed since is to be found there, and in a newer one nothing to compare with.
 */
export function previousSnapshot(snapshots: readonly Snapshot[], { stack, store, part, frugal }: Wanted): Snapshot | undefined {
  const own = snapshotsOf(snapshots, { stack: stack.name, store: store.name, part: partTag(part) });
  return (frugal ? own.findLast(({ tags }) => tags?.includes(FRUGAL_TAG)) : undefined) ?? own.at(-1);
}

/** What a snapshot says of itself, for when its files are not needed. */
export async function previousManifest(repository: Repository, snapshot: Snapshot): Promise<CaptureContext['previous']> {
  await using opened = await repository.files(snapshot);
  const found = await previousCapture(opened, snapshot);
  return found && { ...found, files: undefined };
}

/** One that says nothing of itself that we understand is nothing to build on, and no reason to fail. Its files can be read until `opened` is disposed. */
export async function previousCapture(opened: OpenedFiles, snapshot: Snapshot): Promise<CaptureContext['previous']> {
  const manifest = await readManifest(opened.files).catch((error: unknown) => {
    if (isHoldfastError(error, 'path-missing', 'repository-damaged', 'repository-format')) return undefined;
    throw error;
  });
  return manifest && { snapshotId: snapshot.id, manifest: manifest.content, files: opened.files };
}
