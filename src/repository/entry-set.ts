/** A set of entries of a blob index, by number: one bit each, 250 KB for two million blobs. */
import type { BlobIndex } from './blob-index.ts';
import type { IndexedPack } from './format/index-file.ts';

export class EntrySet {
  readonly #bits: Uint32Array;
  #size = 0;

  /** For the numbers from 0 to `count` − 1. */
  constructor(count: number) {
    this.#bits = new Uint32Array((count + 31) >>> 5);
  }

  get size(): number {
    return this.#size;
  }

  has(number: number): boolean {
    return ((this.#bits[number >>> 5] ?? 0) & (1 << (number & 31))) !== 0;
  }

  /** True when it was not in the set before. */
  add(number: number): boolean {
    if (this.has(number)) return false;
    const at = number >>> 5;
    this.#bits[at] = (this.#bits[at] ?? 0) | (1 << (number & 31));
    this.#size++;
    return true;
  }

  delete(number: number): void {
    if (!this.has(number)) return;
    const at = number >>> 5;
    this.#bits[at] = (this.#bits[at] ?? 0) & ~(1 << (number & 31));
    this.#size--;
  }
}

/** The chosen blobs, pack by pack in the order of the index, each pack made when it is asked for; only packs that hold one. */
export function* chosenPacks(index: BlobIndex, chosen: EntrySet): Generator<IndexedPack> {
  if (chosen.size === 0) return;
  const entries = index.entriesByPack();
  for (const [number, id] of index.packs.entries()) {
    const blobs = [];
    for (const entry of entries.of(number)) if (chosen.has(entry)) blobs.push(index.blob(entry));
    if (blobs.length > 0) yield { id, blobs };
  }
}
