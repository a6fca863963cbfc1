/** A fixed number of things, numbered, that threads take and give back. */
export class SharedPool {
  readonly #words: Int32Array;

  /** Over `size + 1` words of shared memory that were zero at the start: a counter of returns, then a state for each thing. */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  static words(size: number): number {
    return size + 1;
  }

  /** A free one, or -1. */
  tryTake(): number {
    for (let number = 0; number < this.#words.length - 1; number++) {
      if (Atomics.compareExchange(this.#words, 1 + number, 0, 1) === 0) return number;
    }
    return -1;
  }

  /** Waits for a free one; only for threads that may stand still. */
  take(): number {
    for (;;) {
      const seen = Atomics.load(this.#words, 0);
      const number = this.tryTake();
      if (number >= 0) return number;
      Atomics.wait(this.#words, 0, seen);
    }
  }

  /** Waits for a free one without blocking the thread. */
  async takeSoon(signal: AbortSignal): Promise<number> {
    for (;;) {
      signal.throwIfAborted();
      const seen = Atomics.load(this.#words, 0);
      const number = this.tryTake();
      if (number >= 0) return number;
      // The timeout lets a waiter see that the pipeline has failed.
      await Atomics.waitAsync(this.#words, 0, seen, 200).value;
    }
  }

  give(number: number): void {
    Atomics.store(this.#words, 1 + number, 0);
    Atomics.add(this.#words, 0, 1);
    Atomics.notify(this.#words, 0);
  }
}
