/**
 * Who writes must still hold its lock. A process that was stopped, suspended or cut off from its storage for too long comes back
 * to a repository where others have passed its lock over, and may be removing what it is about to refer to. So every write and
 * every removal asks first (restic freezes its back-end in the same way, internal/repository/lock.go).
 */
import type { Storage } from '../storage/storage.ts';

export interface HeldLock {
  /** Throws `lock-lost` when the lock was silent for too long and is not there any more. */
  prove(): Promise<void>;
}

export class HeldLocks {
  readonly #held = new Set<HeldLock>();

  add(lock: HeldLock): void {
    this.#held.add(lock);
  }

  delete(lock: HeldLock): void {
    this.#held.delete(lock);
  }

  async prove(): Promise<void> {
    for (const lock of this.#held) await lock.prove();
  }
}

/** The same storage, which writes and removes only while every lock that was taken on it is held. Locks themselves come and go freely. */
export function withHeldLocks(storage: Storage, locks: HeldLocks): Storage {
  const { holds, prepare, localPath, keepUntil, keptUntil, sweep, close, parallel, keepDays } = storage;
  const guarded: Storage = {
    location: storage.location,
    save: async (file, bytes, call) => {
      if (file.kind !== 'lock') await locks.prove();
      await storage.save(file, bytes, call);
    },
    remove: async (file, call) => {
      if (file.kind !== 'lock') await locks.prove();
      await storage.remove(file, call);
    },
    load: (file, range, call) => storage.load(file, range, call),
    list: (kind, call) => storage.list(kind, call),
    size: (file, call) => storage.size(file, call),
    ...(holds && { holds: (file, bytes, call) => holds.call(storage, file, bytes, call) }),
    ...(prepare && { prepare: () => prepare.call(storage) }),
    ...(localPath && { localPath: (file) => localPath.call(storage, file) }),
    ...(keepUntil && { keepUntil: (file, until, call) => keepUntil.call(storage, file, until, call) }),
    ...(keptUntil && { keptUntil: (file, call) => keptUntil.call(storage, file, call) }),
    ...(sweep && { sweep: (before, call) => sweep.call(storage, before, call) }),
    ...(close && { close: () => close.call(storage) }),
    ...(parallel !== undefined && { parallel }),
    ...(keepDays !== undefined && { keepDays }),
  };
  return guarded;
}
