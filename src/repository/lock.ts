/**
 * Locks as restic writes and honours them (internal/repository/lock.go): a file for every process at work, exclusive for
 * those that remove things. It is refreshed every 5 minutes by writing a new file and removing the old one; one that was not
 * refreshed for 30 minutes, or whose process is gone from this host, is stale and is passed over. A holder that could not refresh
 * it for 22.5 minutes writes nothing any more, until it has found its lock still there and has refreshed it.
 */
import type { Clock } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { listIds, type Core } from './core.ts';
import type { LockDocument } from './format/documents.ts';
import type { HeldLock } from './held-locks.ts';
import { lockText, readLock, removeLock, staleBecause, STALE_MS, writeLock } from './lock-file.ts';

const REFRESH_MS = 5 * 60_000;
/** Three refreshes before others would pass it over by half an hour: 30 − 1.5 × 5, as in restic. */
const FAILED_MS = STALE_MS - 1.5 * REFRESH_MS;
/** How often is looked whether a refresh is due: a host that wakes up has lost time that no timer saw. */
const LOOK_MS = 60_000;
/** Between writing a lock and looking again, so that two that start at once see each other. */
const SETTLE_MS = 200;
/** Between two tries to get a lock that another holds. */
const FIRST_WAIT_MS = 1000;
const MOST_WAIT_MS = 30_000;

/** How long to wait for those who hold a lock that excludes ours. */
export interface LockWait {
  readonly ms: number;
  readonly signal: AbortSignal;
  /** Called before each pause, with who holds it. */
  waiting(error: HoldfastError): void;
}

export interface LockOptions {
  readonly exclusive: boolean;
  readonly clock: Clock;
  /** What may be read while the lock settles; it is written already, so nothing that excludes it can begin. */
  readonly meanwhile?: (() => Promise<void>) | undefined;
  readonly wait?: LockWait | undefined;
}

interface Moment {
  readonly wallMs: number;
  readonly elapsedMs: number;
}

/** A held lock; disposing it releases it. */
export class Lock implements AsyncDisposable, HeldLock {
  readonly #core: Core;
  readonly #exclusive: boolean;
  readonly #clock: Clock;
  readonly #timer: NodeJS.Timeout;
  #id: string;
  /** When the file that stands there now was begun, by both clocks: one may be set, the other stands still while the host sleeps. */
  #written: Moment;
  #refreshing: Promise<void> | undefined;
  #lost: HoldfastError | undefined;

  constructor(core: Core, { exclusive, clock }: LockOptions, id: string, written: Moment) {
    this.#core = core;
    this.#exclusive = exclusive;
    this.#clock = clock;
    this.#id = id;
    this.#written = written;
    core.locks.add(this);
    this.#timer = setInterval(() => {
      // A refresh that fails is tried again by the next one; whoever writes hears of it when none succeeds for too long.
      if (this.#silentMs() >= REFRESH_MS) void this.#refresh().catch(() => undefined);
    }, LOOK_MS);
    this.#timer.unref();
  }

  /** Throws `lock-lost` when others may have passed it over and it cannot be revived. */
  async prove(): Promise<void> {
    if (this.#lost) throw this.#lost;
    if (this.#silentMs() < FAILED_MS) return;
    await this.#refresh().catch((error: unknown) => {
      throw isHoldfastError(error, 'lock-lost') ? error : this.#lostBecause(`and cannot be: ${messageOf(error)}`, error);
    });
  }

  #silentMs(): number {
    const { wallMs, elapsedMs } = momentOf(this.#clock);
    return Math.max(wallMs - this.#written.wallMs, elapsedMs - this.#written.elapsedMs);
  }

  /** One at a time. */
  async #refresh(): Promise<void> {
    this.#refreshing ??= this.#renew().finally(() => (this.#refreshing = undefined));
    await this.#refreshing;
  }

  /** After a long silence the old file must be there before and after the new one stands: in between nobody can have begun to rely on its absence. */
  async #renew(): Promise<void> {
    if (this.#lost) throw this.#lost;
    const old = this.#id;
    const revived = this.#silentMs() >= FAILED_MS;
    if (revived) await this.#stillThere(old);
    const written = momentOf(this.#clock);
    const id = await writeLock(this.#core, this.#exclusive, this.#clock);
    try {
      if (revived) {
        await sleep(SETTLE_MS);
        await this.#stillThere(old);
      }
    } catch (error) {
      await removeLock(this.#core, id);
      throw error;
    }
    this.#id = id;
    this.#written = written;
    await removeLock(this.#core, old);
  }

  async #stillThere(id: string): Promise<void> {
    if ((await this.#core.storage.size({ kind: 'lock', id })) !== undefined) return;
    this.#lost = this.#lostBecause('and others have removed it');
    throw this.#lost;
  }

  #lostBecause(what: string, cause?: unknown): HoldfastError {
    const minutes = Math.floor(this.#silentMs() / 60_000);
    return new HoldfastError('lock-lost', `the lock on ${this.#core.storage.location} was not refreshed for ${minutes} minutes ${what}`, {
      hint: 'Nothing more is written, since others may have changed the repository. Run the command again; what was stored is used.', cause,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#refreshing?.catch(() => undefined);
    this.#core.locks.delete(this);
    // What was done under it is done: a lock that stays for want of a connection is stale as soon as this process is gone.
    await removeLock(this.#core, this.#id).catch((error: unknown) => {
      if (!isHoldfastError(error, 'storage-failed')) throw error;
    });
  }
}

function momentOf(clock: Clock): Moment {
  return { wallMs: clock.now().getTime(), elapsedMs: clock.elapsedMs() };
}

/** Takes a lock. Throws `repository-locked` naming who holds a lock that excludes it, when it is still held after `wait`. */
export async function acquireLock(core: Core, options: LockOptions): Promise<Lock> {
  const { wait, clock } = options;
  const began = clock.elapsedMs();
  for (let pause = FIRST_WAIT_MS; ; pause = Math.min(pause * 2, MOST_WAIT_MS)) {
    try {
      return await tryLock(core, options);
    } catch (error) {
      const left = (wait?.ms ?? 0) - (clock.elapsedMs() - began);
      if (!wait || left <= 0 || !isHoldfastError(error, 'repository-locked')) throw error;
      wait.signal.throwIfAborted();
      wait.waiting(error);
      await sleep(Math.min(pause, left), wait.signal).catch((reason: unknown) => {
        throw wait.signal.aborted ? wait.signal.reason : reason;
      });
    }
  }
}

async function tryLock(core: Core, options: LockOptions): Promise<Lock> {
  const { exclusive, clock } = options;
  await refuseConflicts(core, options, undefined);
  const written = momentOf(clock);
  const id = await writeLock(core, exclusive, clock);
  try {
    await Promise.all([sleep(SETTLE_MS), options.meanwhile?.()]);
    await refuseConflicts(core, options, id);
  } catch (error) {
    await removeLock(core, id);
    throw error;
  }
  return new Lock(core, options, id, written);
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

async function refuseConflicts(core: Core, { exclusive, clock }: LockOptions, own: string | undefined): Promise<void> {
  for (const id of await listIds(core.storage, 'lock')) {
    if (id === own) continue;
    const lock = await readLock(core, id);
    if (!lock) continue;
    // Its process is gone or silent for half an hour; leaving the file would stop restic, which does not look.
    if (staleBecause(lock, clock) !== undefined) await removeLock(core, id);
    else if (exclusive || lock.exclusive) throw lockedBy(core, lock);
  }
}

function lockedBy(core: Core, lock: LockDocument): HoldfastError {
  return new HoldfastError('repository-locked', `${core.storage.location} is ${lockText(lock)}`, {
    hint: 'Wait until that process is done, or let this command wait with --wait 10m. If it is dead on another host, its lock is passed over 30 minutes after its last sign of life; `holdfast unlock` shows the locks.',
    transient: true,
  });
}
