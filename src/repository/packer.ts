/** Puts sealed blobs one behind another into a pack, in memory, until it is full. */
import { hash } from 'node:crypto';
import { Cipher, SEAL_OVERHEAD } from './format/cipher.ts';
import { encodePackHeader, LENGTH_FIELD, parsePackHeader, type BlobType, type PackedBlob } from './format/pack-header.ts';
import { MAX_CHUNK } from './format/chunker.ts';
import { Compressor } from './format/zstd.ts';

/** Bytes at which a pack is closed: restic's default. */
export const PACK_BYTES = 16 * 1024 * 1024;
/** Blobs at which a pack is closed, far below what a header may list, so that the header fits into the buffer. */
const MAX_BLOBS = 20_000;
/** Room for a full pack, one more blob of the largest size, and the header. */
export const PACK_BUFFER_BYTES = PACK_BYTES + MAX_CHUNK + SEAL_OVERHEAD + MAX_BLOBS * 41 + SEAL_OVERHEAD + LENGTH_FIELD;

/** Above this size a probe from the middle decides whether compressing is worth it. */
const PROBE_FROM = 128 * 1024;
const PROBE_BYTES = 32 * 1024;
const PROBE_RATIO = 0.985;

export type Compression = 'off' | 'auto' | 'max';
/** zstd levels. 2: hardly slower than 1 on text (267 against 282 MB/s) and 13 % smaller; 3 is what restic's own encoder comes near to. */
const LEVELS: Readonly<Record<Compression, number>> = { off: 0, auto: 2, max: 19 };

/** A finished pack: its bytes are a view of the packer's buffer. */
export interface FinishedPack {
  readonly id: string;
  readonly bytes: Buffer;
  readonly blobs: readonly PackedBlob[];
  /** Bytes of the blobs before compression. */
  readonly plainBytes: number;
}

export class Packer {
  readonly #type: BlobType;
  readonly #cipher: Cipher;
  readonly #compressor: Compressor | undefined;
  #buffer: Buffer;
  #used = 0;
  #plainBytes = 0;
  #blobs: PackedBlob[] = [];

  constructor(type: BlobType, cipher: Cipher, compression: Compression, buffer: Buffer) {
    this.#type = type;
    this.#cipher = cipher;
    // Trees are always compressed in format v2, at the level that restic uses for them.
    const level = type === 'tree' ? 3 : LEVELS[compression];
    this.#compressor = level > 0 ? new Compressor(level) : undefined;
    this.#buffer = buffer;
  }

  /** Adds a blob, which must not be empty; true when the pack is full and must be finished. */
  add(id: string, plain: Uint8Array): boolean {
    const packed = this.#compress(plain);
    const offset = this.#used;
    const length = this.#cipher.sealInto(packed ?? plain, this.#buffer, offset);
    this.#used += length;
    this.#plainBytes += plain.length;
    this.#blobs.push({ id, type: this.#type, offset, length, uncompressedLength: packed ? plain.length : 0 });
    return this.#used >= PACK_BYTES || this.#blobs.length >= MAX_BLOBS;
  }

  get isEmpty(): boolean {
    return this.#blobs.length === 0;
  }

  /** Closes the pack and goes on in another buffer. */
  finish(nextBuffer: Buffer): FinishedPack {
    const blobs = this.#blobs;
    const header = encodePackHeader(blobs);
    const length = this.#cipher.sealInto(header, this.#buffer, this.#used);
    this.#verifyHeader(length, blobs);
    const end = this.#used + length;
    this.#buffer.writeUInt32LE(length, end);
    const bytes = this.#buffer.subarray(0, end + LENGTH_FIELD);
    const pack = { id: hash('sha256', bytes, 'hex'), bytes, blobs, plainBytes: this.#plainBytes };
    this.#buffer = nextBuffer;
    this.#used = 0;
    this.#plainBytes = 0;
    this.#blobs = [];
    return pack;
  }

  /** Reads the header back while the original is still at hand: a wrong one would make the whole pack useless. */
  #verifyHeader(length: number, blobs: readonly PackedBlob[]): void {
    const read = parsePackHeader(this.#cipher.open(this.#buffer.subarray(this.#used, this.#used + length)));
    const same = read.length === blobs.length && read.every((blob, i) => blob.id === blobs[i]?.id && blob.offset === blobs[i]?.offset);
    if (!same) throw new Error('a pack header does not read back as it was written: faulty memory or a bug');
  }

  /** The compressed blob, or undefined when it is better stored as it is. */
  #compress(plain: Uint8Array): Buffer | undefined {
    if (!this.#compressor) return undefined;
    if (this.#type === 'data' && plain.length >= PROBE_FROM) {
      const middle = plain.length >>> 1;
      const probe = this.#compressor.compress(plain.subarray(middle, middle + PROBE_BYTES));
      if (probe.length > PROBE_BYTES * PROBE_RATIO) return undefined;
    }
    const packed = this.#compressor.compress(plain);
    return packed.length < plain.length || this.#type === 'tree' ? packed : undefined;
  }
}
