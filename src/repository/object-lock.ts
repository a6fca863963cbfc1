/**
 * Renews object locks. What a snapshot needs is locked for as long as the storage is configured to, counted from that snapshot:
 * what was stored for it is locked by being stored, what was there before gets its lock made longer here.
 */
import { isHoldfastError } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { FileKind, StoredFile } from '../storage/storage.ts';
import type { BlobIndex } from './blob-index.ts';
import { listIds, type Core } from './core.ts';
import { chosenPacks } from './entry-set.ts';
import type { Snapshot } from './snapshot.ts';
import { usedBlobs } from './used-blobs.ts';

const DAY_MS = 86_400_000;
/** Locks are made longer by so much more, so that most of the next runs find them long enough and only ask. */
const SPARE = 0.1;

/** Files that everything needs. */
const ALWAYS: readonly FileKind[] = ['key', 'index'];

export interface KeepReport {
  /** Files whose lock was looked at, and of those the ones that were made longer. */
  readonly files: number;
  readonly renewed: number;
  /** Files whose lock could not be made longer, and the first reason. */
  readonly failed: number;
  readonly reason?: string | undefined;
}

/**
 * Keeps all that these snapshots need for `keepDays` of the storage from `from`. Packs numbered `newPacks` and above were stored
 * since then. Undefined when the storage has no object lock. A lock that cannot be renewed is counted, not thrown.
 */
export async function keepSnapshots(
  core: Core,
  index: BlobIndex,
  { snapshots, from, newPacks, signal }: { readonly snapshots: readonly Pick<Snapshot, 'id' | 'tree'>[]; readonly from: Date; readonly newPacks: number; readonly signal: AbortSignal },
): Promise<KeepReport | undefined> {
  const { keepDays, parallel } = core.storage;
  if (keepDays === undefined || snapshots.length === 0) return undefined;
  const used = await usedBlobs({ core, index, snapshots, signal });
  const old = new Set(index.packs.slice(0, newPacks));
  const files: StoredFile[] = [{ kind: 'config', id: '' }];
  for (const kind of ALWAYS) for (const id of await listIds(core.storage, kind)) files.push({ kind, id });
  for (const { id } of chosenPacks(index, used)) if (old.has(id)) files.push({ kind: 'pack', id });
  const least = new Date(from.getTime() + keepDays * DAY_MS);
  const until = new Date(from.getTime() + keepDays * DAY_MS * (1 + SPARE));
  const turns = new Semaphore(parallel ?? 1);
  const outcomes = await Promise.all(files.map((file) => turns.run(() => renew(core, file, least, until, signal))));
  const failures = outcomes.filter((outcome) => typeof outcome === 'string');
  return { files: files.length, renewed: outcomes.filter((outcome) => outcome === true).length, failed: failures.length, reason: failures[0] };
}

/** Was it made longer? The reason, when it could not be. */
async function renew({ storage }: Core, file: StoredFile, least: Date, until: Date, signal: AbortSignal): Promise<boolean | string> {
  signal.throwIfAborted();
  try {
    const kept = await storage.keptUntil?.(file, { signal });
    if (kept !== undefined && kept >= least) return false;
    await storage.keepUntil?.(file, until, { signal });
    return true;
  } catch (error) {
    if (!isHoldfastError(error) || signal.aborted) throw error;
    // Somebody else's repair has replaced an index meanwhile, or a key was removed.
    if (error.code === 'file-missing' && file.kind !== 'pack') return false;
    return error.message;
  }
}

/** A warning for people, or undefined when all is well. */
export function describeKeeping(report: KeepReport | undefined): string | undefined {
  if (!report || report.failed === 0) return undefined;
  return `the object locks of ${report.failed} of ${report.files} files could not be made longer, so they may be removed earlier than the newest snapshot needs them: ${report.reason ?? ''}`;
}
