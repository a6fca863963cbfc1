/**
 * The ids of the blobs that this run has taken on, shared by all threads: the first to claim an id stores the blob. A chain of
 * open-addressing tables; memory of a table that is not used yet is never touched, so it costs nothing.
 *
 * A slot goes 0 (empty) → 1 (being written) → 2 or 3 (data or tree), and never back.
 */
import type { BlobType } from '../format/pack-header.ts';

const WRITING = 1;
const DATA = 2;
const TREE = 3;
const ID_WORDS = 8;
/**
 * Slots of the tables: each twice the one before, filled to five eighths. Ids fall anywhere in a table, so all of its pages are
 * touched soon after it is begun: 58 to 116 bytes for each new blob of a run.
 */
const SIZES = [17, 18, 19, 20, 21, 22, 23, 24].map((bits) => 2 ** bits);
const FILL = 5 / 8;

export interface SharedClaims {
  readonly tables: readonly SharedArrayBuffer[];
  readonly counts: SharedArrayBuffer;
}

export function createClaims(): SharedClaims {
  return {
    tables: SIZES.map((size) => new SharedArrayBuffer(size * 4 * (1 + ID_WORDS))),
    counts: new SharedArrayBuffer(4 * SIZES.length),
  };
}

interface Table {
  readonly states: Int32Array;
  readonly ids: Uint32Array;
  readonly mask: number;
  readonly limit: number;
}

export class ClaimSet {
  readonly #tables: readonly Table[];
  readonly #counts: Int32Array;

  constructor(shared: SharedClaims) {
    this.#counts = new Int32Array(shared.counts);
    this.#tables = shared.tables.map((buffer) => {
      const slots = buffer.byteLength / (4 * (1 + ID_WORDS));
      return {
        states: new Int32Array(buffer, 0, slots),
        ids: new Uint32Array(buffer, slots * 4),
        mask: slots - 1,
        limit: Math.floor(slots * FILL),
      };
    });
  }

  /** True for the first caller with this id, who must store the blob. Throws when there are more than 20 million. */
  claim(id: Uint32Array, type: BlobType): boolean {
    const kind = type === 'tree' ? TREE : DATA;
    for (const [number, table] of this.#tables.entries()) {
      const open = Atomics.load(this.#counts, number) < table.limit;
      const answer = probe(table, id, kind, open);
      if (answer === 'known') return false;
      if (answer === 'taken') {
        Atomics.add(this.#counts, number, 1);
        return true;
      }
    }
    throw new Error('more new blobs in one run than the claim tables hold');
  }
}

function probe({ states, ids, mask }: Table, id: Uint32Array, kind: number, open: boolean): 'known' | 'taken' | 'absent' {
  let slot = (id[0] ?? 0) & mask;
  for (;;) {
    let state = Atomics.load(states, slot);
    if (state === 0) {
      if (!open) return 'absent';
      state = Atomics.compareExchange(states, slot, 0, WRITING);
      if (state === 0) {
        ids.set(id, slot * ID_WORDS);
        Atomics.store(states, slot, kind);
        return 'taken';
      }
    }
    // The other thread is between two instructions: its id will stand there at once.
    while (state === WRITING) state = Atomics.load(states, slot);
    if (state === kind && same(ids, slot * ID_WORDS, id)) return 'known';
    slot = (slot + 1) & mask;
  }
}

function same(ids: Uint32Array, at: number, id: Uint32Array): boolean {
  for (let i = 0; i < ID_WORDS; i++) if (ids[at + i] !== id[i]) return false;
  return true;
}
