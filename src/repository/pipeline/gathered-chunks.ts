/**
 * Cuts files that arrive one behind the other on the main thread into chunks of one length, and gathers small ones in a slot. For the files
 * of a server: their pages never move, so a changed page changes one chunk, and no boundary need be looked for.
 */
import { LAST, MAX_PIECES, type Slots } from './slots.ts';

/** A slot has room for two. */
const CHUNK_BYTES = 1 << 20;
/** A slot with so much in it is handed over. */
const GATHER_BYTES = 1 << 20;

/** What came while no slot was free: more of a file, or the end of it. */
interface Late {
  readonly file: number;
  readonly bytes: Buffer | undefined;
}

export class GatheredChunks {
  readonly #slots: Slots;
  readonly #signal: AbortSignal;
  #slot = -1;
  /** Bytes of the slot that are taken, and where the chunk begins that is being filled. */
  #filled = 0;
  #from = 0;
  #chunk = 0;
  readonly #late: Late[] = [];
  #waiting: Promise<void> | undefined;

  constructor(slots: Slots, signal: AbortSignal) {
    this.#slots = slots;
    this.#signal = signal;
  }

  /** More of a file; see ContentSink. The file before it has ended. */
  write(file: number, bytes: Uint8Array): Promise<void> | undefined {
    const taken = this.#waiting === undefined ? this.#take(file, bytes) : 0;
    if (taken === bytes.length) return undefined;
    return this.#later({ file, bytes: Buffer.from(bytes.subarray(taken)) });
  }

  end(file: number): Promise<void> | undefined {
    if (this.#waiting === undefined && this.#close(file)) return undefined;
    return this.#later({ file, bytes: undefined });
  }

  /** Hands over what was gathered, so that all files that have ended come to their end. */
  flush(): void {
    // Of an open file the chunk is not whole; it hands over what lies before it when it ends.
    if (this.#waiting !== undefined) this.#waiting.then(() => this.flush(), () => undefined);
    else if (this.#slot >= 0 && this.#filled === this.#from) this.#handOver();
  }

  #take(file: number, bytes: Uint8Array): number {
    let taken = 0;
    while (taken < bytes.length) {
      if (!this.#hasSlot()) return taken;
      const length = Math.min(bytes.length - taken, CHUNK_BYTES - (this.#filled - this.#from));
      const piece = taken === 0 && length === bytes.length ? bytes : bytes.subarray(taken, taken + length);
      this.#slots.buffer(this.#slot).set(piece, this.#filled);
      this.#filled += length;
      taken += length;
      if (this.#filled - this.#from === CHUNK_BYTES) this.#add(file, this.#chunk++, CHUNK_BYTES);
    }
    return taken;
  }

  #close(file: number): boolean {
    if (!this.#hasSlot()) return false;
    const length = this.#filled - this.#from;
    // Length -1 says that the chunk before was the last.
    this.#add(file, this.#chunk | LAST, length === 0 && this.#chunk > 0 ? -1 : length);
    this.#chunk = 0;
    return true;
  }

  #hasSlot(): boolean {
    if (this.#slot < 0) this.#slot = this.#slots.tryTake();
    return this.#slot >= 0;
  }

  #add(file: number, chunk: number, length: number): void {
    const pieces = this.#slots.addPiece(this.#slot, { file, chunk, offset: this.#from, length });
    this.#filled = this.#from = (this.#filled + 63) & ~63;
    if (this.#filled >= GATHER_BYTES || pieces >= MAX_PIECES) this.#handOver();
  }

  #handOver(): void {
    this.#slots.queue(this.#slot);
    this.#slot = -1;
    this.#filled = this.#from = 0;
  }

  #later(late: Late): Promise<void> {
    this.#late.push(late);
    return (this.#waiting ??= this.#drain());
  }

  async #drain(): Promise<void> {
    // Never done before `#waiting` is set.
    await Promise.resolve();
    for (let late = this.#late[0]; late; late = this.#late[0]) {
      const { file, bytes } = late;
      const taken = bytes === undefined ? Number(this.#close(file)) : this.#take(file, bytes);
      if (taken === (bytes?.length ?? 1)) {
        this.#late.shift();
      } else {
        this.#late[0] = { file, bytes: bytes?.subarray(taken) };
        this.#slot = await this.#slots.takeSoon(this.#signal);
      }
    }
    this.#waiting = undefined;
  }
}
