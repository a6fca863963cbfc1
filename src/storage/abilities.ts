import type { Storage } from './storage.ts';

/** What a storage can do beyond the five methods. */
export type Abilities = Omit<Storage, 'location' | 'save' | 'load' | 'list' | 'size' | 'remove'>;

/** The optional members of a storage, bound to it: what a decorator passes on, except for those that it has to do itself. */
export function abilitiesOf(storage: Storage): Abilities {
  const { parallel, keepDays, holds, prepare, localPath, keepUntil, keptUntil, saveNew, serverTime, freeBytes, sweep, close } = storage;
  return {
    ...(parallel !== undefined && { parallel }),
    ...(keepDays !== undefined && { keepDays }),
    ...(holds && { holds: holds.bind(storage) }),
    ...(prepare && { prepare: prepare.bind(storage) }),
    ...(localPath && { localPath: localPath.bind(storage) }),
    ...(keepUntil && { keepUntil: keepUntil.bind(storage) }),
    ...(keptUntil && { keptUntil: keptUntil.bind(storage) }),
    ...(saveNew && { saveNew: saveNew.bind(storage) }),
    ...(serverTime && { serverTime: serverTime.bind(storage) }),
    ...(freeBytes && { freeBytes: freeBytes.bind(storage) }),
    ...(sweep && { sweep: sweep.bind(storage) }),
    ...(close && { close: close.bind(storage) }),
  };
}
