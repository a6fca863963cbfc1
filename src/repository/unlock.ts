/** Which locks lie in the repository, and removing them. */
import type { Clock } from '../base/clock.ts';
import { isHoldfastError } from '../base/errors.ts';
import { listIds, type Core } from './core.ts';
import type { LockDocument } from './format/documents.ts';
import { lockText, readLock, removeLock, staleBecause } from './lock-file.ts';

export interface PlannedLock {
  readonly id: string;
  /** Undefined when it cannot be read. */
  readonly lock: LockDocument | undefined;
  readonly remove: boolean;
  /** For people: who holds it, and why it goes or stays. */
  readonly text: string;
  readonly reason: string;
}

export interface UnlockReport {
  readonly removed: readonly PlannedLock[];
  /** Those that the credentials or an object lock did not let go. */
  readonly kept: readonly PlannedLock[];
}

/** Stale locks go; with `all` every one. */
export async function planUnlock(core: Core, clock: Clock, all: boolean): Promise<readonly PlannedLock[]> {
  const planned: PlannedLock[] = [];
  for (const id of await listIds(core.storage, 'lock')) {
    try {
      const lock = await readLock(core, id);
      if (!lock) continue;
      const stale = staleBecause(lock, clock);
      planned.push({ id, lock, remove: all || stale !== undefined, text: lockText(lock), reason: stale ?? (all ? 'its process may still be at work' : 'its process is alive, or on another host') });
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
      planned.push({ id, lock: undefined, remove: all, text: 'a lock that cannot be read', reason: error.message });
    }
  }
  return planned;
}

/** Removes what the plan says. One that is gone already counts as removed. */
export async function executeUnlock(core: Core, plan: readonly PlannedLock[]): Promise<UnlockReport> {
  const removed: PlannedLock[] = [];
  const kept: PlannedLock[] = [];
  for (const item of plan) {
    if (item.remove) ((await removeLock(core, item.id)) ? removed : kept).push(item);
  }
  return { removed, kept };
}
