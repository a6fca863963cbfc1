/** Compresses blobs the way a repository wants it. */
import type { BlobType } from './format/pack-header.ts';
import { Compressor } from './format/zstd.ts';

/** Above this size a probe from the middle decides whether compressing is worth it. */
const PROBE_FROM = 128 * 1024;
const PROBE_BYTES = 32 * 1024;
const PROBE_RATIO = 0.985;

export type Compression = 'off' | 'auto' | 'max';
/** zstd levels. 2: hardly slower than 1 on text (267 against 282 MB/s) and 13 % smaller; 3 is what restic's own encoder comes near to. */
const LEVELS: Readonly<Record<Compression, number>> = { off: 0, auto: 2, max: 19 };

export class BlobCompressor {
  readonly #type: BlobType;
  readonly #compressor: Compressor | undefined;

  constructor(type: BlobType, compression: Compression) {
    this.#type = type;
    // Trees are always compressed in format v2, at the level that restic uses for them.
    const level = type === 'tree' ? 3 : LEVELS[compression];
    this.#compressor = level > 0 ? new Compressor(level) : undefined;
  }

  /** The compressed blob, a view that the next call overwrites; undefined when it is better stored as it is. */
  compress(plain: Uint8Array): Buffer | undefined {
    if (!this.#compressor || plain.length === 0) return undefined;
    if (this.#type === 'data' && plain.length >= PROBE_FROM) {
      const middle = plain.length >>> 1;
      const probe = this.#compressor.compress(plain.subarray(middle, middle + PROBE_BYTES));
      if (probe.length > PROBE_BYTES * PROBE_RATIO) return undefined;
    }
    const packed = this.#compressor.compress(plain);
    return packed.length < plain.length || this.#type === 'tree' ? packed : undefined;
  }
}
