/**
 * Holds a storage to so many bytes and requests a second. Bytes are held back as they pass (`Call.moved`); calls that run side by
 * side take turns, piece by piece. What was not used is lost after a second, so that no burst is larger than that.
 */
import type { Clock } from '../base/clock.ts';
import { abilitiesOf } from './abilities.ts';
import { pause, type Sleep } from './pause.ts';
import type { Call, ListedStoredFile, Storage, StoredFile } from './storage.ts';

/** What a storage may use at most. */
export interface StorageLimit {
  /** Bytes a second. */
  readonly up?: number | undefined;
  readonly down?: number | undefined;
  /** Requests a second. */
  readonly requests?: number | undefined;
}

const BURST_MS = 1000;
/** Whoever waits for longer says now and then that it is alive, to those who watch for what stands still. */
const SIGN_OF_LIFE_MS = 5000;

/** A bucket of tokens that fills at `rate` a second. Whoever takes more than there is waits until they have flowed in, in turn. */
class Bucket {
  readonly #rate: number;
  readonly #clock: Clock;
  /** When all that was taken has flowed in. */
  #paidMs = -Infinity;

  constructor(rate: number, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** Takes tokens; answers for how many milliseconds to wait before they are used. */
  take(tokens: number): number {
    const now = this.#clock.elapsedMs();
    const burst = Math.max(BURST_MS, 1000 / this.#rate);
    this.#paidMs = Math.max(this.#paidMs, now - burst) + (tokens / this.#rate) * 1000;
    // Less than a timer can wait for is made good by the next.
    return this.#paidMs - now < 1 ? 0 : this.#paidMs - now;
  }
}

type Direction = 'up' | 'down';

/** `localPath` is not passed on: who reads the files directly would pass by the limit. */
export function withLimit(storage: Storage, limit: StorageLimit, clock: Clock, sleep?: Sleep): Storage {
  const flow = new Flow(limit, clock, sleep);
  const { localPath: _, ...able } = abilitiesOf(storage);
  const { holds, keepUntil, keptUntil, saveNew, sweep } = able;
  return {
    ...able,
    location: storage.location,
    save: (file, bytes, outer) => flow.pass('up', outer, (call) => storage.save(file, bytes, call), () => bytes.length),
    load: (file, range, outer) => flow.pass('down', outer, (call) => storage.load(file, range, call), (bytes) => bytes.length),
    list: (kind, outer) => flow.list(outer, (call) => storage.list(kind, call)),
    size: (file, outer) => flow.pass('down', outer, (call) => storage.size(file, call)),
    remove: (file, outer) => flow.pass('down', outer, (call) => storage.remove(file, call)),
    // Some storages need not read the file for it; those that do tell of its bytes.
    ...(holds && { holds: (file: StoredFile, bytes: Uint8Array, outer?: Call) => flow.pass('down', outer, (call) => holds(file, bytes, call)) }),
    ...(keepUntil && { keepUntil: (file: StoredFile, until: Date, outer?: Call) => flow.pass('up', outer, (call) => keepUntil(file, until, call)) }),
    ...(keptUntil && { keptUntil: (file: StoredFile, outer?: Call) => flow.pass('down', outer, (call) => keptUntil(file, call)) }),
    ...(saveNew && { saveNew: (file: StoredFile, bytes: Uint8Array, outer?: Call) => flow.pass('up', outer, (call) => saveNew(file, bytes, call), () => bytes.length) }),
    ...(sweep && { sweep: (before: Date, outer?: Call) => flow.pass('down', outer, (call) => sweep(before, call)) }),
  };
}

class Flow {
  readonly #buckets: Readonly<Record<Direction | 'requests', Bucket | undefined>>;
  readonly #sleep: Sleep | undefined;

  constructor(limit: StorageLimit, clock: Clock, sleep: Sleep | undefined) {
    const bucket = (rate: number | undefined): Bucket | undefined => (rate === undefined ? undefined : new Bucket(rate, clock));
    this.#buckets = { up: bucket(limit.up), down: bucket(limit.down), requests: bucket(limit.requests) };
    this.#sleep = sleep;
  }

  /** One request. `bytesOf`: how many bytes it moves, for adapters that do not tell of them while they pass. */
  async pass<T>(direction: Direction, outer: Call | undefined, work: (call: Call) => Promise<T>, bytesOf: (result: T) => number = () => 0): Promise<T> {
    await this.#take('requests', 1, outer);
    let told = 0;
    const result = await work(this.#call(direction, outer, (bytes) => void (told += bytes)));
    await this.#take(direction, Math.max(0, bytesOf(result) - told), outer);
    return result;
  }

  async *list(outer: Call | undefined, list: (call: Call) => AsyncIterable<ListedStoredFile>): AsyncIterable<ListedStoredFile> {
    await this.#take('requests', 1, outer);
    yield* list(this.#call('down', outer, () => undefined));
  }

  #call(direction: Direction, outer: Call | undefined, tell: (bytes: number) => void): Call {
    return {
      ...outer,
      moved: (bytes) => {
        tell(bytes);
        const held = outer?.moved?.(bytes);
        return Promise.all([held, this.#take(direction, bytes, outer)]).then(() => undefined);
      },
    };
  }

  async #take(name: Direction | 'requests', tokens: number, call: Call | undefined): Promise<void> {
    if (tokens === 0) return;
    let left = this.#buckets[name]?.take(tokens) ?? 0;
    while (left > 0) {
      const ms = Math.min(left, SIGN_OF_LIFE_MS);
      await pause(ms, call?.signal, this.#sleep);
      left -= ms;
      if (left > 0) await call?.moved?.(0);
    }
  }
}
