/** restic's content-defined chunker: the same boundaries as restic draws with the same polynomial. */
import { rabinTables } from './polynomial.ts';
import { wasmBytes } from './rabin-wasm.ts';

/** Bytes. A chunk is at least and at most so long; on average about 1.5 MiB. */
export const MIN_CHUNK = 512 * 1024;
export const MAX_CHUNK = 8 * 1024 * 1024;
const MASK = (1n << 20n) - 1n;

const OUT2 = 1024;
const MOD = 3072;

/** Bytes at the start of the shared memory that belong to the tables; data lies behind them. */
export const TABLE_BYTES = 65536;

/** Writes the tables of a polynomial into the first page of shared memory; once, before any thread scans. */
export function installTables(memory: WebAssembly.Memory, polynomial: bigint): void {
  const tables = rabinTables(polynomial);
  const view = new DataView(memory.buffer);
  tables.out2.forEach((value, i) => view.setBigUint64(OUT2 + i * 8, value, true));
  tables.mod.forEach((value, i) => view.setBigUint64(MOD + i * 8, value, true));
}

export interface Chunker {
  /**
   * The length of the first chunk of `length` bytes at `base` in shared memory, or 0 when they hold no boundary yet. The first
   * `scanned` bytes are known to have none (pass what was given as `length` when it answered 0). A whole
   * MAX_CHUNK without boundary is a chunk.
   */
  cut(base: number, scanned: number, length: number): number;
}

type Scan = (base: number, from: number, to: number, mask: bigint) => number;

/** A chunker over this memory, for this thread. The tables must be installed. */
export function createChunker(memory: WebAssembly.Memory): Chunker {
  const module = new WebAssembly.Module(wasmBytes);
  const imports = { env: { memory, abort: () => undefined } };
  const scan = new WebAssembly.Instance(module, imports).exports['scan'] as Scan;
  return {
    cut(base, scanned, length) {
      const from = Math.max(MIN_CHUNK, scanned + 1);
      if (from <= length) {
        const found = scan(base, from, Math.min(length, MAX_CHUNK), MASK);
        if (found > 0) return found;
      }
      return length >= MAX_CHUNK ? MAX_CHUNK : 0;
    },
  };
}
