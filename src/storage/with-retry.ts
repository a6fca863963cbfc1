/**
 * Tries again what failed in a way that may pass: errors that the adapter calls transient, and calls that stand still. Everything
 * else is thrown at once.
 *
 * There is no limit on how long a call may take, only on how long it may stand still: a slow upload is never given up while bytes
 * move. How long a call is tried again counts from its first failure, so the time in which it was well does not count.
 */
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { abilitiesOf } from './abilities.ts';
import { Attempt, type Watch } from './attempt.ts';
import { eitherOf, pause, type Sleep } from './pause.ts';
import type { Call, FileKind, ListedStoredFile, Storage, StoredFile } from './storage.ts';

/** The longest that the n-th pause may be: doubled every time, from half a second to half a minute. */
const FIRST_MS = 500;
const LONGEST_MS = 30_000;
const TOTAL_MS = 15 * 60_000;
const STALL_MS = 60_000;
/** A call whose attempts take long is tried so often at least. */
const LEAST_TRIES = 3;
/** Above this size a file that may have been stored is believed by its size: it is there whole or not at all. */
const COMPARE_BYTES = 1 << 20;

export interface RetryOptions {
  /** A number in [0, 1): the part of the longest pause that is waited, so that many clients do not come back at once. */
  random(): number;
  /** For how long after its first failure a call is tried again; 15 minutes unless said otherwise. */
  readonly totalMs?: number | undefined;
  /** How long a call may stand still; a minute unless said otherwise, `Infinity` for ever. */
  readonly stallMs?: number | undefined;
  /**
   * Ends calls and pauses under way, except those that write or remove a lock: one of which nobody knows would stay. What is called
   * later (to leave all in order) gets one try.
   */
  readonly signal?: AbortSignal | undefined;
  /** Told, as a sentence, before a pause that a person would notice. */
  waiting?: ((sentence: string) => void) | undefined;
  readonly sleep?: Sleep | undefined;
}

export function withRetry(storage: Storage, clock: Clock, options: RetryOptions): Storage {
  const retry = new Retry(storage.location, clock, options);
  const able = abilitiesOf(storage);
  const { holds, prepare, keepUntil, keptUntil, saveNew, serverTime, freeBytes, sweep } = able;
  return {
    ...able,
    location: storage.location,
    save: (file, bytes, outer) => retry.run(outer, (call) => storage.save(file, bytes, call), { kind: file.kind, refused: (error, call) => throwUnlessStored(error, storage, file, bytes, call) }),
    load: (file, range, outer) => retry.run(outer, (call) => storage.load(file, range, call)),
    list: (kind, outer) => retry.list(outer, (call) => storage.list(kind, call)),
    size: (file, outer) => retry.run(outer, (call) => storage.size(file, call)),
    // Safe to repeat: removing what is not there is no error.
    remove: (file, outer) => retry.run(outer, (call) => storage.remove(file, call), { kind: file.kind }),
    ...(holds && { holds: (file: StoredFile, bytes: Uint8Array, outer?: Call) => retry.run(outer, (call) => holds(file, bytes, call)) }),
    ...(prepare && { prepare: () => retry.run(undefined, () => prepare()) }),
    ...(keepUntil && { keepUntil: (file: StoredFile, until: Date, outer?: Call) => retry.run(outer, (call) => keepUntil(file, until, call)) }),
    ...(keptUntil && { keptUntil: (file: StoredFile, outer?: Call) => retry.run(outer, (call) => keptUntil(file, call)) }),
    // Not repeated: after a lost answer it could not be told whose file is there.
    ...(saveNew && { saveNew: (file: StoredFile, bytes: Uint8Array, outer?: Call) => retry.once(outer, (call) => saveNew(file, bytes, call)) }),
    ...(serverTime && { serverTime: (outer?: Call) => retry.run(outer, (call) => serverTime(call)) }),
    ...(freeBytes && { freeBytes: (outer?: Call) => retry.run(outer, (call) => freeBytes(call)) }),
    ...(sweep && { sweep: (before: Date, outer?: Call) => retry.run(outer, (call) => sweep(before, call)) }),
  };
}

/** After a save whose answer was lost, an append-only storage refuses the same save: then all is well if it is there. */
async function throwUnlessStored(error: unknown, storage: Storage, file: StoredFile, bytes: Uint8Array, call: Call): Promise<void> {
  if ((await storage.size(file, call)) !== bytes.length) throw error;
  // A file is named by its hash, except for the config, which could be another's.
  if (bytes.length <= COMPARE_BYTES && !(await storage.load(file, undefined, { ...call, keep: false })).equals(bytes)) throw error;
}

interface Care<T> {
  readonly kind?: FileKind;
  /** Asked when a repeated call is refused for good: an earlier one may have been carried out. It throws, or answers. */
  refused?(error: unknown, call: Call): Promise<T>;
}

class Retry {
  readonly #watch: Watch;
  readonly #clock: Clock;
  readonly #options: RetryOptions;

  constructor(location: string, clock: Clock, options: RetryOptions) {
    const stallMs = options.stallMs ?? STALL_MS;
    this.#watch = { clock, sleep: options.sleep, location, stallMs: stallMs === Infinity ? undefined : stallMs };
    this.#clock = clock;
    this.#options = options;
  }

  async once<T>(outer: Call | undefined, work: (call: Call) => Promise<T>): Promise<T> {
    using attempt = this.#attempt(outer);
    return await attempt.run(() => work(attempt.call));
  }

  async run<T>(outer: Call | undefined, work: (call: Call) => Promise<T>, { kind, refused }: Care<T> = {}): Promise<T> {
    const failing = new Failing(this.#clock, this.#options, this.#watch.location);
    for (;;) {
      using attempt = this.#attempt(outer, kind);
      try {
        return await attempt.run(() => work(attempt.call));
      } catch (error) {
        if (refused && failing.tries > 0 && !isTransient(error)) return await attempt.run(() => refused(error, attempt.call));
        await failing.pause(error, outer?.signal);
      }
    }
  }

  /** A listing that breaks begins again; what was answered before is not answered twice. */
  async *list(outer: Call | undefined, list: (call: Call) => AsyncIterable<ListedStoredFile>): AsyncIterable<ListedStoredFile> {
    const seen = new Set<string>();
    let failing = new Failing(this.#clock, this.#options, this.#watch.location);
    for (;;) {
      using attempt = this.#attempt(outer);
      const files = list(attempt.call)[Symbol.asyncIterator]();
      let whole = false;
      try {
        for (;;) {
          const next = await attempt.run(() => files.next());
          if (next.done === true) {
            whole = true;
            return;
          }
          if (seen.has(next.value.id)) continue;
          seen.add(next.value.id);
          // It has come further than before: what failed then is behind us.
          if (failing.tries > 0) failing = new Failing(this.#clock, this.#options, this.#watch.location);
          yield next.value;
        }
      } catch (error) {
        whole = true;
        await failing.pause(error, outer?.signal);
      } finally {
        // Whoever asked has seen enough.
        if (!whole) await files.return?.();
      }
    }
  }

  #attempt(outer: Call | undefined, kind?: FileKind): Attempt {
    const { signal } = this.#options;
    return new Attempt(this.#watch, outer, [outer?.signal, signal?.aborted === true || kind === 'lock' ? undefined : signal]);
  }
}

/** How often one call has failed, and since when. */
class Failing {
  readonly #clock: Clock;
  readonly #options: RetryOptions;
  readonly #location: string;
  #sinceMs: number | undefined;
  tries = 0;

  constructor(clock: Clock, options: RetryOptions, location: string) {
    this.#clock = clock;
    this.#options = options;
    this.#location = location;
  }

  /** Waits before the next try, or throws: the error itself when it is permanent or the first, else with how often it was tried. */
  async pause(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (!isTransient(error) || this.#options.signal?.aborted === true) throw error;
    const now = this.#clock.elapsedMs();
    this.#sinceMs ??= now;
    this.tries++;
    const ms = this.#options.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.tries - 1));
    if (this.tries >= LEAST_TRIES && now + ms - this.#sinceMs > (this.#options.totalMs ?? TOTAL_MS)) throw this.#exhausted(error, now - this.#sinceMs);
    if (ms >= 1000) this.#options.waiting?.(`${error.message}; trying again in ${Math.round(ms / 1000)} s`);
    using both = eitherOf(signal, this.#options.signal);
    await pause(ms, both.signal, this.#options.sleep);
  }

  #exhausted(error: HoldfastError, ms: number): HoldfastError {
    const long = ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} minutes`;
    return new HoldfastError(error.code, `${error.message} (tried ${this.tries} times in ${long})`, {
      hint: error.hint ?? `Is ${this.#location} reachable from here, and is it well? What was stored before is unharmed.`, transient: true, cause: error,
    });
  }
}

function isTransient(error: unknown): error is HoldfastError {
  return isHoldfastError(error) && error.transient;
}
