/**
 * The entries of all index files in one flat table of shared memory, 48 bytes a blob. It is filled in place: memory that is asked
 * for and not used costs nothing, so there is room for the most that the index files can hold, and no copy ever doubles it.
 */
import { scanIndex, type IndexSink, type ScannedBlob } from './format/index-scan.ts';
import type { IndexedPack, PackMark } from './format/index-file.ts';

/** Words (uint32) of an entry: id 8, pack and type 1, offset 1, length 1, uncompressed length 1. */
export const WORDS = 12;
export const PACK = 8;
export const TREE_BIT = 0x80000000;
/** Entries beyond those that are expected. */
const SPARE = 1 << 17;

/** What one index file held. */
export interface IndexContent {
  /** Numbers of the packs that it names. */
  readonly packs: readonly number[];
  readonly marks: readonly PackMark[];
}

export class EntryTable implements IndexSink {
  entries: SharedArrayBuffer;
  words: Uint32Array;
  /** Entries, a blob that lies in two packs counted twice. */
  count = 0;
  /** Ids of the packs by their number. */
  readonly packs: string[] = [];
  readonly #numbers = new Map<string, number>();
  /** Of each pack: its first entry and how many follow it, as they were first read. */
  readonly #first: number[] = [];
  readonly #known: number[] = [];
  #pack = 0;
  /** Entries before the pack that is being read, when it was read before from another file; else -1. */
  #repeatedFrom = -1;
  #content: { packs: number[]; marks: PackMark[] } = { packs: [], marks: [] };

  /** `expected`: the most entries that are likely to come. */
  constructor(expected: number) {
    this.entries = new SharedArrayBuffer((Math.ceil(expected * 1.25) + SPARE) * WORDS * 4);
    this.words = new Uint32Array(this.entries);
  }

  numberOf(pack: string): number {
    return this.#numbers.get(pack) ?? -1;
  }

  /** Takes everything in from an index file. Throws when it is none, and nothing of it is kept then. */
  read(json: Buffer): IndexContent {
    const [count, packs] = [this.count, this.packs.length];
    this.#content = { packs: [], marks: [] };
    try {
      scanIndex(json, this);
    } catch (error) {
      this.count = count;
      for (const id of this.packs.splice(packs)) this.#numbers.delete(id);
      this.#first.length = packs;
      this.#known.length = packs;
      this.#repeatedFrom = -1;
      throw error;
    }
    return this.#content;
  }

  /** Takes in packs that no index file names. */
  add(packs: readonly IndexedPack[]): void {
    const id = new Uint32Array(8);
    const bytes = Buffer.from(id.buffer);
    for (const pack of packs) {
      this.beginPack(pack.id);
      for (const blob of pack.blobs) {
        bytes.write(blob.id, 'hex');
        this.blob({ id, tree: blob.type === 'tree', offset: blob.offset, length: blob.length, uncompressedLength: blob.uncompressedLength });
      }
      this.endPack();
    }
  }

  beginPack(id: string): void {
    const known = this.#numbers.get(id);
    if (known === undefined) {
      this.#pack = this.packs.length;
      this.#numbers.set(id, this.#pack);
      this.packs.push(id);
      this.#first.push(this.count);
      this.#known.push(0);
    } else {
      this.#pack = known;
      this.#repeatedFrom = this.count;
    }
    this.#content.packs.push(this.#pack);
  }

  blob({ id, tree, offset, length, uncompressedLength }: ScannedBlob): void {
    const at = this.count * WORDS;
    if (at + WORDS > this.words.length) this.#grow();
    const { words } = this;
    for (let i = 0; i < 8; i++) words[at + i] = id[i] ?? 0;
    words[at + PACK] = (tree ? TREE_BIT : 0) + this.#pack;
    words[at + PACK + 1] = offset;
    words[at + PACK + 2] = length;
    words[at + PACK + 3] = uncompressedLength;
    this.count++;
  }

  endPack(): void {
    const from = this.#repeatedFrom;
    this.#repeatedFrom = -1;
    if (from < 0) this.#known[this.#pack] = this.count - (this.#first[this.#pack] ?? 0);
    else this.#dropRepeated(from);
  }

  mark(mark: PackMark): void {
    this.#content.marks.push(mark);
  }

  /** Index files may overlap, and one may know more of a pack than another: what is new is kept. */
  #dropRepeated(from: number): void {
    const first = this.#first[this.#pack] ?? 0;
    const known = this.#known[this.#pack] ?? 0;
    let kept = from;
    for (let number = from; number < this.count; number++) {
      if (this.#same(first + (number - from), number, known > number - from)) continue;
      let twice = false;
      for (let other = first; other < first + known && !twice; other++) twice = this.#same(other, number, true);
      for (let other = from; other < kept && !twice; other++) twice = this.#same(other, number, true);
      if (twice) continue;
      this.words.copyWithin(kept * WORDS, number * WORDS, (number + 1) * WORDS);
      kept++;
    }
    this.count = kept;
  }

  #same(a: number, b: number, comparable: boolean): boolean {
    if (!comparable) return false;
    for (let i = 0; i < WORDS; i++) if (this.words[a * WORDS + i] !== this.words[b * WORDS + i]) return false;
    return true;
  }

  /** Only when ids compress, so that a file holds more of them than its bytes suggest, or after many new packs. */
  #grow(): void {
    const larger = new SharedArrayBuffer(this.entries.byteLength * 2);
    const words = new Uint32Array(larger);
    words.set(this.words);
    this.entries = larger;
    this.words = words;
  }
}
