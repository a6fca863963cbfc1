/** The files of locks: written, read, judged and removed. */
import * as os from 'node:os';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { loadDocument, saveDocument, type Core } from './core.ts';
import { encodeDocument, parseLock, type LockDocument } from './format/documents.ts';
import { formatDate, parseTime } from './format/go-time.ts';

export const STALE_MS = 30 * 60_000;

/** Answers the id of the new lock. */
export async function writeLock(core: Core, exclusive: boolean, clock: Clock): Promise<string> {
  const user = os.userInfo();
  const lock: LockDocument = {
    time: formatDate(clock.now()), exclusive, hostname: os.hostname(), username: user.username, pid: process.pid,
    ...(user.uid > 0 ? { uid: user.uid } : {}), ...(user.gid > 0 ? { gid: user.gid } : {}),
  };
  return await saveDocument(core, 'lock', encodeDocument(lock));
}

/** A lock that vanished between listing and reading was released: undefined. Throws `repository-damaged`. */
export async function readLock(core: Core, id: string): Promise<LockDocument | undefined> {
  const hint = 'If nothing is at work on the repository, remove it with `holdfast unlock --all`.';
  try {
    return parseLock(await loadDocument(core, 'lock', id));
  } catch (error) {
    if (isHoldfastError(error, 'file-missing')) return undefined;
    if (isHoldfastError(error) && error.code !== 'repository-damaged') throw error;
    const why = isHoldfastError(error) ? error.message : `lock ${id.slice(0, 10)} in ${core.storage.location} is not understood: ${messageOf(error)}`;
    throw new HoldfastError('repository-damaged', why, { hint, cause: error });
  }
}

/**
 * Removes a lock; false when it may not be. Credentials that may only add cannot: then it stays, is stale as soon as its process is
 * gone or half an hour has passed, and whoever may remove files clears it away. That must not fail a backup that is complete.
 */
export async function removeLock(core: Core, id: string): Promise<boolean> {
  try {
    await core.storage.remove({ kind: 'lock', id });
    return true;
  } catch (error) {
    if (!isHoldfastError(error, 'storage-denied', 'storage-kept')) throw error;
    return false;
  }
}

/**
 * Why nobody holds it any more; undefined when somebody may. Process numbers tell nothing across containers: in one that shares
 * its host's name, or was started again under the same one, another process may have the number of the dead, and then only the 30 minutes
 * count; a living one may seem dead to a container with the same name on the same storage, so give containers names of their own.
 */
export function staleBecause(lock: LockDocument, clock: Clock): string | undefined {
  const age = clock.now().getTime() - Number(parseTime(lock.time) / 1_000_000n);
  if (age > STALE_MS) return `no sign of life for ${Math.floor(age / 60_000)} minutes`;
  if (lock.hostname === os.hostname() && !isAlive(lock.pid)) return `process ${lock.pid} of this host is gone`;
  return undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** `exclusively locked by ann on db1 (process 4711) since …`. */
export function lockText(lock: LockDocument): string {
  return `${lock.exclusive ? 'exclusively ' : ''}locked by ${lock.username} on ${lock.hostname} (process ${lock.pid}) since ${lock.time}`;
}
