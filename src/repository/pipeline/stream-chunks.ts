/** Cuts a stream that is written on the main thread into chunks, in slots. */
import { createStreamChunker, type Chunker } from '../format/chunker.ts';
import { LAST, SLOT_BYTES, type Slots } from './slots.ts';

/** Bytes that arrive before boundaries are looked for again: the scan is fastest over long runs. */
const SCAN_BYTES = 256 * 1024;

export class StreamChunks {
  readonly #slots: Slots;
  readonly #chunker: Chunker;
  readonly #file: number;
  readonly #signal: AbortSignal;
  #slot = -1;
  #filled = 0;
  #scanned = 0;
  #chunk = 0;
  /** What did not fit while no slot was free. */
  #backlog: Buffer[] = [];
  #waiting: Promise<void> | undefined;

  constructor(slots: Slots, memory: WebAssembly.Memory, file: number, signal: AbortSignal) {
    this.#slots = slots;
    this.#chunker = createStreamChunker(memory);
    this.#file = file;
    this.#signal = signal;
  }

  /** See ContentSink. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#waiting === undefined) {
      const taken = this.#take(bytes);
      if (taken === bytes.length) return undefined;
      this.#backlog.push(Buffer.from(bytes.subarray(taken)));
      this.#waiting = this.#drain();
    } else {
      this.#backlog.push(Buffer.from(bytes));
    }
    return this.#waiting;
  }

  async end(): Promise<void> {
    await this.#waiting;
    if (this.#slot < 0) this.#slot = await this.#slots.takeSoon(this.#signal);
    while (!this.#cut(true)) await this.#makeRoom();
    const last = { file: this.#file, chunk: this.#chunk | LAST, offset: 0 };
    this.#slots.addPiece(this.#slot, { ...last, length: this.#filled > 0 || this.#chunk === 0 ? this.#filled : -1 });
    this.#slots.queue(this.#slot);
  }

  /** Copies as much as fits; returns how much that was. */
  #take(bytes: Uint8Array): number {
    let taken = 0;
    while (taken < bytes.length) {
      if (this.#slot < 0) this.#slot = this.#slots.tryTake();
      if (this.#slot < 0) return taken;
      const length = Math.min(bytes.length - taken, SLOT_BYTES - this.#filled);
      this.#slots.buffer(this.#slot).set(bytes.subarray(taken, taken + length), this.#filled);
      this.#filled += length;
      taken += length;
      if (!this.#cut(false)) return taken;
    }
    return taken;
  }

  /** Queues every whole chunk; false when that needs another slot and none is free. */
  #cut(ending: boolean): boolean {
    if (!ending && this.#filled - this.#scanned < SCAN_BYTES && this.#filled < SLOT_BYTES) return true;
    for (;;) {
      const cut = this.#chunker.cut(this.#slots.base(this.#slot), this.#scanned, this.#filled);
      if (cut === 0) break;
      const next = this.#slots.tryTake();
      // The boundary is found again when a slot is free; `#scanned` stays before it.
      if (next < 0) return false;
      this.#moveOn(next, cut);
    }
    this.#scanned = this.#filled;
    return true;
  }

  #moveOn(next: number, cut: number): void {
    const rest = this.#slots.buffer(this.#slot).subarray(cut, this.#filled);
    this.#slots.buffer(next).set(rest);
    this.#slots.addPiece(this.#slot, { file: this.#file, chunk: this.#chunk++, offset: 0, length: cut });
    this.#slots.queue(this.#slot);
    this.#slot = next;
    this.#filled -= cut;
    this.#scanned = 0;
  }

  /** Waits until a slot is free, and takes or gives it back for the next step to use. */
  async #makeRoom(): Promise<void> {
    const slot = await this.#slots.takeSoon(this.#signal);
    if (this.#slot < 0) this.#slot = slot;
    else this.#slots.free(slot);
  }

  async #drain(): Promise<void> {
    for (let bytes = this.#backlog.shift(); bytes; bytes = this.#backlog.shift()) {
      await this.#makeRoom();
      while (!this.#cut(false)) await this.#makeRoom();
      const taken = this.#take(bytes);
      if (taken < bytes.length) this.#backlog.unshift(bytes.subarray(taken));
    }
    this.#waiting = undefined;
  }
}
