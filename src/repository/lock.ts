/**
 * Locks as restic writes and honours them (internal/repository/lock.go): a file for every process at work, exclusive for
 * those that remove things. It is refreshed every 5 minutes by writing a new file and removing the old one; one that was not
 * refreshed for 30 minutes, or whose process is gone from this host, is stale and is passed over.
 */
import * as os from 'node:os';
import type { Clock } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import { HoldfastError, isHoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { loadDocument, listIds, saveDocument, type Core } from './core.ts';
import { encodeDocument, parseLock, type LockDocument } from './format/documents.ts';
import { formatDate, parseTime } from './format/go-time.ts';

const REFRESH_MS = 5 * 60_000;
const STALE_MS = 30 * 60_000;
/** Between writing a lock and looking again, so that two that start at once see each other. */
const SETTLE_MS = 200;

export interface LockOptions {
  readonly exclusive: boolean;
  readonly clock: Clock;
  /** What may be read while the lock settles; it is written already, so nothing that excludes it can begin. */
  readonly meanwhile?: (() => Promise<void>) | undefined;
}

/** A held lock; disposing it releases it. */
export class Lock implements AsyncDisposable {
  readonly #core: Core;
  readonly #options: LockOptions;
  readonly #timer: NodeJS.Timeout;
  #id: string;
  #refreshing: Promise<void> | undefined;

  constructor(core: Core, options: LockOptions, id: string) {
    this.#core = core;
    this.#options = options;
    this.#id = id;
    this.#timer = setInterval(() => {
      // A refresh that fails is tried again by the next one; 30 minutes allow for six.
      this.#refreshing = this.#refresh().catch(() => undefined);
    }, REFRESH_MS);
    this.#timer.unref();
  }

  async #refresh(): Promise<void> {
    const old = this.#id;
    this.#id = await writeLock(this.#core, this.#options);
    await removeLock(this.#core, old);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#refreshing;
    await removeLock(this.#core, this.#id);
  }
}

/** Takes a lock. Throws `repository-locked` naming who holds a lock that excludes it. */
export async function acquireLock(core: Core, options: LockOptions): Promise<Lock> {
  await refuseConflicts(core, options, undefined);
  const id = await writeLock(core, options);
  try {
    await Promise.all([sleep(SETTLE_MS), options.meanwhile?.()]);
    await refuseConflicts(core, options, id);
  } catch (error) {
    await removeLock(core, id);
    throw error;
  }
  return new Lock(core, options, id);
}

/**
 * Removes a lock. Credentials that may only add cannot; then it stays, is stale as soon as its process is gone or half an hour has
 * passed, and whoever may remove files clears it away. That must not fail a backup that is complete.
 */
async function removeLock(core: Core, id: string): Promise<void> {
  try {
    await core.storage.remove({ kind: 'lock', id });
  } catch (error) {
    if (!isHoldfastError(error, 'storage-denied', 'storage-kept')) throw error;
  }
}

/**
 * For what only reads. Where no lock can be written, in a full or read-only repository, it goes on without one: nobody may be
 * kept from restoring for want of room there. Throws `repository-locked` all the same.
 */
export async function acquireReadLock(core: Core, options: Omit<LockOptions, 'exclusive'>): Promise<AsyncDisposable> {
  try {
    return await acquireLock(core, { ...options, exclusive: false });
  } catch (error) {
    if (!isHoldfastError(error, 'storage-full', 'storage-failed', 'storage-denied')) throw error;
    return { [Symbol.asyncDispose]: () => Promise.resolve() };
  }
}

async function writeLock(core: Core, { exclusive, clock }: LockOptions): Promise<string> {
  const user = os.userInfo();
  const lock: LockDocument = {
    time: formatDate(clock.now()), exclusive, hostname: os.hostname(), username: user.username, pid: process.pid,
    ...(user.uid > 0 ? { uid: user.uid } : {}), ...(user.gid > 0 ? { gid: user.gid } : {}),
  };
  return await saveDocument(core, 'lock', encodeDocument(lock));
}

async function refuseConflicts(core: Core, { exclusive, clock }: LockOptions, own: string | undefined): Promise<void> {
  for (const id of await listIds(core.storage, 'lock')) {
    if (id === own) continue;
    const lock = await readLock(core, id);
    if (!lock) continue;
    if (isStale(lock, clock)) {
      // Its process is gone or silent for half an hour; leaving the file would stop restic, which does not look.
      await removeLock(core, id);
    } else if (exclusive || lock.exclusive) throw lockedBy(core, lock);
  }
}

/** A lock that vanished between listing and reading was released: undefined. */
async function readLock(core: Core, id: string): Promise<LockDocument | undefined> {
  try {
    return parseLock(await loadDocument(core, 'lock', id));
  } catch (error) {
    if (isHoldfastError(error, 'file-missing')) return undefined;
    if (isHoldfastError(error)) throw error;
    throw new HoldfastError('repository-damaged', `lock ${id.slice(0, 10)} in ${core.storage.location} is not understood: ${messageOf(error)}`, { cause: error });
  }
}

function isStale(lock: LockDocument, clock: Clock): boolean {
  const age = clock.now().getTime() - Number(parseTime(lock.time) / 1_000_000n);
  if (age > STALE_MS) return true;
  return lock.hostname === os.hostname() && !isAlive(lock.pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

function lockedBy(core: Core, lock: LockDocument): HoldfastError {
  const kind = lock.exclusive ? 'exclusively ' : '';
  const who = `${lock.username} on ${lock.hostname} (process ${lock.pid}) since ${lock.time}`;
  return new HoldfastError('repository-locked', `${core.storage.location} is ${kind}locked by ${who}`, {
    hint: 'Wait until that process is done. If it is dead on another host, its lock is passed over 30 minutes after its last sign of life.',
    transient: true,
  });
}
