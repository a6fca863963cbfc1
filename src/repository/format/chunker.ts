/**
 * Content-defined chunking. Files are cut where restic cuts them with the same polynomial, so that either program finds again what the
 * other has stored. Streams, which only we write, are cut by a gear hash at half the cost; readers need not know.
 */
import { createHash } from 'node:crypto';
import { wasmBytes as gearBytes } from './gear-wasm.ts';
import { rabinTables } from './polynomial.ts';
import { wasmBytes } from './rabin-wasm.ts';

/** Bytes. A chunk is at least and at most so long; on average about 1.5 MiB. */
export const MIN_CHUNK = 512 * 1024;
export const MAX_CHUNK = 8 * 1024 * 1024;
const MASK = (1n << 20n) - 1n;
/** The upper bits of a gear hash depend on the most bytes. */
const GEAR_MASK = MASK << 44n;

const OUT2 = 1024;
const MOD = 3072;
const GEAR = 5120;

/** Bytes at the start of the shared memory that belong to the tables; data lies behind them. */
export const TABLE_BYTES = 65536;

/** Writes the tables of a polynomial into the first page of shared memory; once, before any thread scans. */
export function installTables(memory: WebAssembly.Memory, polynomial: bigint): void {
  const tables = rabinTables(polynomial);
  const view = new DataView(memory.buffer);
  tables.out2.forEach((value, i) => view.setBigUint64(OUT2 + i * 8, value, true));
  tables.mod.forEach((value, i) => view.setBigUint64(MOD + i * 8, value, true));
  gearTable(polynomial).forEach((value, i) => view.setBigUint64(GEAR + i * 8, value, true));
}

/** A random number for each byte, of this repository alone: boundaries tell nothing to who does not hold the key. */
export function gearTable(polynomial: bigint): readonly bigint[] {
  return Array.from({ length: 256 }, (_, byte) => createHash('sha256').update(`gear ${polynomial.toString(16)} ${byte}`).digest().readBigUInt64LE());
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

/** restic's chunker over this memory, for this thread. The tables must be installed. */
export function createChunker(memory: WebAssembly.Memory): Chunker {
  return chunkerOf(memory, wasmBytes, MASK);
}

/** The chunker for streams. */
export function createStreamChunker(memory: WebAssembly.Memory): Chunker {
  return chunkerOf(memory, gearBytes, GEAR_MASK);
}

function chunkerOf(memory: WebAssembly.Memory, code: Uint8Array<ArrayBuffer>, mask: bigint): Chunker {
  const module = new WebAssembly.Module(code);
  const imports = { env: { memory, abort: () => undefined } };
  const scan = new WebAssembly.Instance(module, imports).exports['scan'] as Scan;
  return {
    cut(base, scanned, length) {
      const from = Math.max(MIN_CHUNK, scanned + 1);
      if (from <= length) {
        const found = scan(base, from, Math.min(length, MAX_CHUNK), mask);
        if (found > 0) return found;
      }
      return length >= MAX_CHUNK ? MAX_CHUNK : 0;
    },
  };
}
