/** One try at a call: it ends when the caller gives it up, and when its bytes have stood still for too long. */
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { eitherOf, pause, type Sleep } from './pause.ts';
import type { Call } from './storage.ts';

export interface Watch {
  readonly clock: Clock;
  readonly sleep: Sleep | undefined;
  readonly location: string;
  /** How long nothing may move; undefined: for ever. */
  readonly stallMs: number | undefined;
}

export class Attempt implements Disposable {
  /** What the adapter is to be called with. */
  readonly call: Call;
  readonly #watch: Watch;
  readonly #abort = new AbortController();
  readonly #given: ReturnType<typeof eitherOf>;
  #movedMs: number;

  /** `signals`: any of them ends the attempt, with its own reason. */
  constructor(watch: Watch, outer: Call | undefined, signals: readonly (AbortSignal | undefined)[]) {
    this.#watch = watch;
    this.#movedMs = watch.clock.elapsedMs();
    this.#given = eitherOf(this.#abort.signal, ...signals);
    this.call = { ...outer, signal: this.#given.signal, moved: (bytes) => this.#moved(outer?.moved?.(bytes)) };
  }

  #moved(held: Promise<void> | undefined): Promise<void> | undefined {
    this.#movedMs = this.#watch.clock.elapsedMs();
    // Whoever holds the bytes back does not stand still.
    return held?.then(() => void (this.#movedMs = this.#watch.clock.elapsedMs()));
  }

  /** Does the work, which is left to itself when it does not end with its signal. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#given;
    signal.throwIfAborted();
    const ended = new AbortController();
    const given = Promise.withResolvers<never>();
    const give = (): void => given.reject(signal.reason as Error);
    signal.addEventListener('abort', give, { once: true });
    this.#movedMs = this.#watch.clock.elapsedMs();
    const watching = this.#watchStall(ended.signal);
    try {
      return await Promise.race([given.promise, work()]);
    } finally {
      signal.removeEventListener('abort', give);
      ended.abort();
      await watching;
    }
  }

  async #watchStall(ended: AbortSignal): Promise<void> {
    const { clock, sleep, stallMs, location } = this.#watch;
    if (stallMs === undefined) return;
    try {
      for (let left = stallMs; left > 0; left = this.#movedMs + stallMs - clock.elapsedMs()) await pause(left, ended, sleep);
    } catch {
      // The work has ended before.
      return;
    }
    this.#abort.abort(new HoldfastError('storage-failed', `${location} has not answered and no bytes have moved for ${Math.round(stallMs / 1000)} s`, { transient: true }));
  }

  [Symbol.dispose](): void {
    this.#given[Symbol.dispose]();
  }
}
