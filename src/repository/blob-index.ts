/**
 * Where each blob lies: a flat table in shared memory, 48 bytes a blob and about 8 more for the hash table, so that
 * millions of blobs fit and every thread can look ids up without a copy. Filled once from the index files, then read only.
 */
import type { BlobType, PackedBlob } from './format/pack-header.ts';
import type { IndexedPack } from './format/index-file.ts';

/** Words (uint32) of an entry: id 8, pack and type 1, offset 1, length 1, uncompressed length 1. */
const WORDS = 12;
const PACK = 8;
const TREE_BIT = 0x80000000;
/** Entries of a block while the table is being filled. */
const BLOCK = 1 << 14;

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

export class BlobIndex {
  readonly shared: SharedBlobIndex;
  /** Ids of all packs that the index files name, by their number. */
  readonly packs: readonly string[];
  /** Entries, a blob that lies in two packs counted twice. */
  readonly count: number;
  readonly #lookup: BlobLookup;
  readonly #id = new Uint32Array(8);
  readonly #idBytes = Buffer.from(this.#id.buffer);

  constructor(shared: SharedBlobIndex, packs: readonly string[], count: number) {
    this.shared = shared;
    this.packs = packs;
    this.count = count;
    this.#lookup = new BlobLookup(shared);
  }

  /** The number of a blob's entry, or -1 when the repository has none. `id` is 64 hex digits. */
  find(id: string, type: BlobType): number {
    this.#idBytes.write(id, 'hex');
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

  /** The entry as it stands in an index file. */
  blob(number: number): PackedBlob {
    const at = number * WORDS;
    const entries = this.#lookup.entries;
    const id = Buffer.from(entries.buffer, at * 4, 32).toString('hex');
    const tree = ((entries[at + PACK] ?? 0) & TREE_BIT) !== 0;
    const { offset, length, uncompressedLength } = this.location(number);
    return { id, type: tree ? 'tree' : 'data', offset, length, uncompressedLength };
  }

  /** The numbers of the entries of each pack, in the order of the packs. */
  entriesByPack(): readonly (readonly number[])[] {
    const lists: number[][] = this.packs.map(() => []);
    for (let number = 0; number < this.count; number++) lists[this.packNumber(number)]?.push(number);
    return lists;
  }
}

/** Collects the packs of the index files, then makes the table. */
export class BlobIndexBuilder {
  readonly #blocks: Uint32Array[] = [];
  readonly #packNumbers = new Map<string, number>();
  #count = 0;

  /** Adds packs; a pack that was added before (index files may overlap) is passed over. */
  add(packs: readonly IndexedPack[]): void {
    for (const pack of packs) {
      if (this.#packNumbers.has(pack.id)) continue;
      const number = this.#packNumbers.size;
      this.#packNumbers.set(pack.id, number);
      for (const blob of pack.blobs) this.#addBlob(number, blob);
    }
  }

  hasPack(id: string): boolean {
    return this.#packNumbers.has(id);
  }

  #addBlob(pack: number, blob: PackedBlob): void {
    const inBlock = this.#count % BLOCK;
    if (inBlock === 0) this.#blocks.push(new Uint32Array(BLOCK * WORDS));
    const block = this.#blocks.at(-1);
    if (!block) return;
    const at = inBlock * WORDS;
    Buffer.from(block.buffer).write(blob.id, at * 4, 'hex');
    block[at + PACK] = (blob.type === 'tree' ? TREE_BIT : 0) + pack;
    block[at + PACK + 1] = blob.offset;
    block[at + PACK + 2] = blob.length;
    block[at + PACK + 3] = blob.uncompressedLength;
    this.#count++;
  }

  /** Packs of which the index files speak, but not these. */
  packsBeside(present: ReadonlySet<string>): readonly string[] {
    return [...this.#packNumbers.keys()].filter((id) => !present.has(id));
  }

  /** The finished index; the builder is empty afterwards. Blobs of `lost` packs are not found in it. */
  build(lost: ReadonlySet<string> = new Set()): BlobIndex {
    const entries = new SharedArrayBuffer(Math.max(1, this.#count) * WORDS * 4);
    const flat = new Uint32Array(entries);
    for (let first = 0; this.#blocks.length > 0; first += BLOCK) {
      const block = this.#blocks.shift();
      if (block) flat.set(block.subarray(0, Math.min(BLOCK, this.#count - first) * WORDS), first * WORDS);
    }
    const table = new SharedArrayBuffer(4 << Math.max(4, Math.ceil(Math.log2((this.#count + 1) * 1.6))));
    const lostNumbers = new Set([...lost].map((id) => this.#packNumbers.get(id) ?? -1));
    fillTable(new Uint32Array(table), flat, this.#count, lostNumbers);
    const index = new BlobIndex({ entries, table }, [...this.#packNumbers.keys()], this.#count);
    this.#packNumbers.clear();
    this.#count = 0;
    return index;
  }
}

function fillTable(table: Uint32Array, entries: Uint32Array, count: number, lost: ReadonlySet<number>): void {
  const mask = table.length - 1;
  for (let number = 0; number < count; number++) {
    if (lost.size > 0 && lost.has((entries[number * WORDS + PACK] ?? 0) & ~TREE_BIT)) continue;
    let slot = (entries[number * WORDS] ?? 0) & mask;
    while (table[slot] !== 0) slot = (slot + 1) & mask;
    table[slot] = number + 1;
  }
}
