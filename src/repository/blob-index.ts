/**
 * Where each blob lies: a flat table in shared memory, 48 bytes a blob and about 8 more for the hash table, so that
 * millions of blobs fit and every thread can look ids up without a copy. Filled from the index files; what a run writes is added.
 *
 * Measured with 2,000,016 blobs in 50,007 packs (bench/data/large-index.ts), peak memory of the process: `ls` 258 MB, `check` without
 * data 269 MB, `prune --dry-run` 298 MB, `backup` of a small folder 294 MB; 116 to 121 MB with a handful of blobs. So it is 70 to 90
 * bytes a blob, and loading takes about two seconds of one core for a million.
 */
import { EntryTable, PACK, TREE_BIT, WORDS, type IndexContent } from './entry-table.ts';
import type { BlobType, PackedBlob } from './format/pack-header.ts';
import type { IndexedPack, PackMark } from './format/index-file.ts';

/** What other threads need to look up ids. */
export interface SharedBlobIndex {
  readonly entries: SharedArrayBuffer;
  readonly table: SharedArrayBuffer;
}

export interface BlobLocation {
  readonly pack: string;
  readonly offset: number;
  /** Bytes of the sealed blob. */
  readonly length: number;
  /** 0 when it is stored as it is. */
  readonly uncompressedLength: number;
}

/** Bytes of the plaintext of a blob. */
export function plainLength(location: Pick<BlobLocation, 'length' | 'uncompressedLength'>): number {
  return location.uncompressedLength || location.length - 32;
}

/** Looks up ids, in any thread. */
export class BlobLookup {
  readonly entries: Uint32Array;
  readonly #table: Uint32Array;
  readonly #mask: number;

  constructor(shared: SharedBlobIndex) {
    this.entries = new Uint32Array(shared.entries);
    this.#table = new Uint32Array(shared.table);
    this.#mask = this.#table.length - 1;
  }

  /** The number of the first entry of this blob, or -1. `id` is the hash as 8 words in memory order. */
  find(id: Uint32Array, type: BlobType): number {
    const entries = this.entries;
    const treeBit = type === 'tree' ? TREE_BIT : 0;
    for (let slot = (id[0] ?? 0) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const number = (this.#table[slot] ?? 0) - 1;
      if (number < 0) return -1;
      const at = number * WORDS;
      if (sameId(entries, at, id) && (((entries[at + PACK] ?? 0) ^ treeBit) & TREE_BIT) === 0) return number;
    }
  }
}

function sameId(entries: Uint32Array, at: number, id: Uint32Array): boolean {
  return (
    entries[at] === id[0] && entries[at + 1] === id[1] && entries[at + 2] === id[2] && entries[at + 3] === id[3] &&
    entries[at + 4] === id[4] && entries[at + 5] === id[5] && entries[at + 6] === id[6] && entries[at + 7] === id[7]
  );
}

/** The numbers of the entries of each pack: two flat arrays. */
export class PackEntries {
  readonly #starts: Uint32Array;
  readonly #numbers: Uint32Array;

  constructor(starts: Uint32Array, numbers: Uint32Array) {
    this.#starts = starts;
    this.#numbers = numbers;
  }

  of(pack: number): Uint32Array {
    return this.#numbers.subarray(this.#starts[pack], this.#starts[pack + 1]);
  }
}

export class BlobIndex {
  /** Packs that wait to be deleted: nothing may be read from them. One that an index names all the same is not among them. */
  readonly marks: readonly PackMark[];
  readonly #table: EntryTable;
  #hashes: SharedArrayBuffer;
  #lookup: BlobLookup;
  readonly #id = new Uint32Array(8);
  readonly #idBytes = Buffer.from(this.#id.buffer);

  constructor(table: EntryTable, marks: readonly PackMark[], lost: ReadonlySet<number>) {
    this.#table = table;
    this.marks = marks;
    this.#hashes = new SharedArrayBuffer(hashBytes(table.count));
    insert(new Uint32Array(this.#hashes), table, 0, lost);
    this.#lookup = new BlobLookup(this.shared);
  }

  get shared(): SharedBlobIndex {
    return { entries: this.#table.entries, table: this.#hashes };
  }

  /** Ids of all packs that the index files name, by their number. */
  get packs(): readonly string[] {
    return this.#table.packs;
  }

  /** Entries, a blob that lies in two packs counted twice. */
  get count(): number {
    return this.#table.count;
  }

  /** The number of a pack, or -1. */
  numberOfPack(id: string): number {
    return this.#table.numberOf(id);
  }

  /** Adds what an index file names that was written just now. Answers what it held. */
  extend(json: Buffer): IndexContent {
    const before = this.#table.count;
    const content = this.#table.read(json);
    // Never full: who looks for a free slot, or for a blob that is not there, would look for ever.
    if (hashBytes(this.#table.count) > this.#hashes.byteLength) {
      const larger = new SharedArrayBuffer(hashBytes(this.#table.count));
      rehash(new Uint32Array(this.#hashes), new Uint32Array(larger), this.#table.words);
      this.#hashes = larger;
    }
    insert(new Uint32Array(this.#hashes), this.#table, before, new Set());
    this.#lookup = new BlobLookup(this.shared);
    return content;
  }

  /** The number of a blob's entry, or -1 when the repository has none. `id` is 64 hex digits. */
  find(id: string, type: BlobType): number {
    if (this.#idBytes.write(id, 'hex') !== 32) return -1;
    return this.#lookup.find(this.#id, type);
  }

  has(id: string, type: BlobType): boolean {
    return this.find(id, type) >= 0;
  }

  locate(id: string, type: BlobType): BlobLocation | undefined {
    const number = this.find(id, type);
    return number < 0 ? undefined : this.location(number);
  }

  location(number: number): BlobLocation {
    const at = number * WORDS;
    const entries = this.#lookup.entries;
    return {
      pack: this.packs[this.packNumber(number)] ?? '',
      offset: entries[at + PACK + 1] ?? 0,
      length: entries[at + PACK + 2] ?? 0,
      uncompressedLength: entries[at + PACK + 3] ?? 0,
    };
  }

  packNumber(number: number): number {
    return (this.#lookup.entries[number * WORDS + PACK] ?? 0) & ~TREE_BIT;
  }

  isTree(number: number): boolean {
    return ((this.#lookup.entries[number * WORDS + PACK] ?? 0) & TREE_BIT) !== 0;
  }

  /** Bytes of the sealed blob. */
  lengthOf(number: number): number {
    return this.#lookup.entries[number * WORDS + PACK + 2] ?? 0;
  }

  /** The first entry of the blob that this entry is of: itself, unless the blob lies in several packs; -1 when its packs are all lost. */
  firstOf(number: number): number {
    const words = this.#lookup.entries.subarray(number * WORDS, number * WORDS + 8);
    return this.#lookup.find(words, this.isTree(number) ? 'tree' : 'data');
  }

  /** The entry as it stands in an index file. */
  blob(number: number): PackedBlob {
    const entries = this.#lookup.entries;
    const id = Buffer.from(entries.buffer, number * WORDS * 4, 32).toString('hex');
    const { offset, length, uncompressedLength } = this.location(number);
    return { id, type: this.isTree(number) ? 'tree' : 'data', offset, length, uncompressedLength };
  }

  /** The numbers of the entries of each pack: of one pack in the order of the index, which is that of their offsets as a rule. */
  entriesByPack(): PackEntries {
    const { count } = this;
    const starts = new Uint32Array(this.packs.length + 1);
    for (let number = 0; number < count; number++) starts[this.packNumber(number) + 1] = (starts[this.packNumber(number) + 1] ?? 0) + 1;
    for (let pack = 1; pack < starts.length; pack++) starts[pack] = (starts[pack] ?? 0) + (starts[pack - 1] ?? 0);
    const next = starts.slice();
    const numbers = new Uint32Array(count);
    for (let number = 0; number < count; number++) {
      const pack = this.packNumber(number);
      const at = next[pack] ?? 0;
      numbers[at] = number;
      next[pack] = at + 1;
    }
    return new PackEntries(starts, numbers);
  }
}

/** Collects the packs of the index files, then makes the index. */
export class BlobIndexBuilder {
  readonly #table: EntryTable;
  readonly #marks = new Map<string, PackMark>();

  /** `expected`: the most blobs that are likely to come. */
  constructor(expected = 0) {
    this.#table = new EntryTable(expected);
  }

  /** Adds what an index file names; what was added before (index files may overlap) is passed over. Throws when it is no index file. */
  read(json: Buffer): IndexContent {
    const content = this.#table.read(json);
    for (const mark of content.marks) {
      // Of two marks the later one counts: a pack may have been taken up again in between.
      const known = this.#marks.get(mark.id);
      if (!known || known.time < mark.time) this.#marks.set(mark.id, mark);
    }
    return content;
  }

  /** Adds packs that no index file names. */
  add(packs: readonly IndexedPack[]): void {
    this.#table.add(packs);
  }

  hasPack(id: string): boolean {
    return this.#table.numberOf(id) >= 0;
  }

  /** Does it wait to be deleted, and no index names it? */
  isMarked(id: string): boolean {
    return this.#marks.has(id) && !this.hasPack(id);
  }

  /** Packs of which the index files speak, but not these. */
  packsBeside(present: Pick<ReadonlySet<string>, 'has'>): readonly string[] {
    return this.#table.packs.filter((id) => !present.has(id));
  }

  /** The finished index; the builder is not used afterwards. Blobs of `lost` packs are not found in it. */
  build(lost: Iterable<string> = []): BlobIndex {
    const numbers = new Set([...lost].map((id) => this.#table.numberOf(id)));
    return new BlobIndex(this.#table, [...this.#marks.values()].filter(({ id }) => !this.hasPack(id)), numbers);
  }
}

/** At most five eighths of the slots are filled when the index is made. */
function hashBytes(count: number): number {
  return 4 << Math.max(4, Math.ceil(Math.log2((count + 1) * 1.6)));
}

/** Finds a slot for each entry from `first` on. Other threads may look ids up meanwhile: an entry is there before its slot is. */
function insert(slots: Uint32Array, { words, count }: EntryTable, first: number, lost: ReadonlySet<number>): void {
  for (let number = first; number < count; number++) {
    if (lost.size > 0 && lost.has((words[number * WORDS + PACK] ?? 0) & ~TREE_BIT)) continue;
    put(slots, words, number);
  }
}

function put(slots: Uint32Array, words: Uint32Array, number: number): void {
  const mask = slots.length - 1;
  let slot = (words[number * WORDS] ?? 0) & mask;
  while (slots[slot] !== 0) slot = (slot + 1) & mask;
  Atomics.store(slots, slot, number + 1);
}

/** Into a larger table, in the order of the entries: of a blob with two entries the same one stays the first. */
function rehash(from: Uint32Array, to: Uint32Array, words: Uint32Array): void {
  const numbers = from.filter((slot) => slot !== 0).sort();
  for (const number of numbers) put(to, words, number - 1);
}
