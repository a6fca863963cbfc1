/**
 * The fixed set of buffers between those who read content and those who store it, in memory shared by all threads. Bytes are
 * read into a slot once and are hashed, compressed and encrypted from there.
 *
 * A slot is free → taken by a producer → queued → worked on by a saver → free. A slot holds either one chunk or many small
 * files; its pieces are listed in its description: file number, chunk number, offset and length of each.
 */
import { MAX_CHUNK, TABLE_BYTES } from '../format/chunker.ts';
import { SharedPool } from './shared-pool.ts';

/** A whole chunk, and room to read ahead behind it. */
export const SLOT_BYTES = MAX_CHUNK + (1 << 20);
export const MAX_PIECES = 512;
const PAGE = 65536;

/** Words of the control block. */
const LOCK = 0;
const HEAD = 1;
const TAIL = 2;
const QUEUED = 3;
const ENDED = 4;
const RING = 8;
const RING_SIZE = 64;
const POOL = RING + RING_SIZE;
const DESCRIPTIONS = POOL + SharedPool.words(RING_SIZE);
const DESCRIPTION_WORDS = 1 + MAX_PIECES * 4;

/** Set in a piece's chunk number when it is the last of its file. */
export const LAST = 1 << 30;

export interface SharedSlots {
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  readonly count: number;
}

export function createSlots(count: number): SharedSlots {
  if (count > RING_SIZE) throw new Error(`at most ${RING_SIZE} slots`);
  const pages = (TABLE_BYTES + count * SLOT_BYTES) / PAGE;
  return {
    memory: new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }),
    control: new SharedArrayBuffer(4 * (DESCRIPTIONS + count * DESCRIPTION_WORDS)),
    count,
  };
}

export interface Piece {
  readonly file: number;
  /** Number of the chunk in its file, with LAST set on the last one. */
  readonly chunk: number;
  readonly offset: number;
  /** Bytes; 0 for an empty file. */
  readonly length: number;
}

/** One thread's view of the slots. */
export class Slots {
  readonly count: number;
  readonly #control: Int32Array;
  readonly #pool: SharedPool;
  readonly #buffers: readonly Buffer[];

  constructor(shared: SharedSlots) {
    this.count = shared.count;
    this.#control = new Int32Array(shared.control);
    this.#pool = new SharedPool(this.#control.subarray(POOL, POOL + SharedPool.words(shared.count)));
    this.#buffers = Array.from({ length: shared.count }, (_, slot) => Buffer.from(shared.memory.buffer, this.base(slot), SLOT_BYTES));
  }

  /** The address of a slot in the shared memory. */
  base(slot: number): number {
    return TABLE_BYTES + slot * SLOT_BYTES;
  }

  buffer(slot: number): Buffer {
    const buffer = this.#buffers[slot];
    if (!buffer) throw new Error(`no slot ${slot}`);
    return buffer;
  }

  /** A free slot for this producer, or -1. */
  tryTake(): number {
    return this.#empty(this.#pool.tryTake());
  }

  /** Waits for a free slot; only for threads that may stand still. */
  take(): number {
    return this.#empty(this.#pool.take());
  }

  /** Waits for a free slot without blocking the thread. */
  async takeSoon(signal: AbortSignal): Promise<number> {
    return this.#empty(await this.#pool.takeSoon(signal));
  }

  free(slot: number): void {
    this.#pool.give(slot);
  }

  #empty(slot: number): number {
    if (slot >= 0) this.#control[this.#description(slot)] = 0;
    return slot;
  }

  /** Describes one more piece of a slot; returns how many it has now. */
  addPiece(slot: number, piece: Piece): number {
    const at = this.#description(slot);
    const count = (this.#control[at] ?? 0) + 1;
    this.#control.set([piece.file, piece.chunk, piece.offset, piece.length], at + 1 + (count - 1) * 4);
    this.#control[at] = count;
    return count;
  }

  pieces(slot: number): readonly Piece[] {
    const at = this.#description(slot);
    const words = this.#control;
    return Array.from({ length: words[at] ?? 0 }, (_, i) => {
      const word = at + 1 + i * 4;
      return { file: words[word] ?? 0, chunk: words[word + 1] ?? 0, offset: words[word + 2] ?? 0, length: words[word + 3] ?? 0 };
    });
  }

  /** Hands a filled slot to the savers. */
  queue(slot: number): void {
    this.#locked(() => {
      const tail = this.#control[TAIL] ?? 0;
      this.#control[RING + (tail % RING_SIZE)] = slot;
      this.#control[TAIL] = (tail + 1) % (RING_SIZE * 1024);
    });
    Atomics.add(this.#control, QUEUED, 1);
    Atomics.notify(this.#control, QUEUED, 1);
  }

  /** The next filled slot, waiting for it; -1 when there will be no more. For savers. */
  next(): number {
    for (;;) {
      const seen = Atomics.load(this.#control, QUEUED);
      const slot = this.#locked(() => this.#pop());
      if (slot >= 0) return slot;
      if (Atomics.load(this.#control, ENDED) === 1) return -1;
      Atomics.wait(this.#control, QUEUED, seen);
    }
  }

  #pop(): number {
    const head = this.#control[HEAD] ?? 0;
    if (head === this.#control[TAIL]) return -1;
    this.#control[HEAD] = (head + 1) % (RING_SIZE * 1024);
    return this.#control[RING + (head % RING_SIZE)] ?? -1;
  }

  /** Nobody waits to be worked on: what has been gathered should be handed over. */
  isIdle(): boolean {
    return Atomics.load(this.#control, HEAD) === Atomics.load(this.#control, TAIL);
  }

  /** No slot will be queued any more; savers end when the queue is empty. */
  end(): void {
    Atomics.store(this.#control, ENDED, 1);
    Atomics.add(this.#control, QUEUED, 1);
    Atomics.notify(this.#control, QUEUED);
  }

  #locked<T>(work: () => T): T {
    // Held for a few instructions only, so spinning is cheaper than sleeping.
    while (Atomics.compareExchange(this.#control, LOCK, 0, 1) !== 0);
    try {
      return work();
    } finally {
      Atomics.store(this.#control, LOCK, 0);
    }
  }

  #description(slot: number): number {
    return DESCRIPTIONS + slot * DESCRIPTION_WORDS;
  }
}
