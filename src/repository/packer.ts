/** Puts sealed blobs one behind another into a pack, in memory, until it is full. */
import { hash } from 'node:crypto';
import { Cipher, SEAL_OVERHEAD } from './format/cipher.ts';
import { encodePackHeader, LENGTH_FIELD, parsePackHeader, type BlobType, type PackedBlob } from './format/pack-header.ts';
import { MAX_CHUNK } from './format/chunker.ts';
import { BlobCompressor, type Compression } from './compress-blob.ts';

export type { Compression } from './compress-blob.ts';

/** Bytes at which a pack is closed: restic's default. */
export const PACK_BYTES = 16 * 1024 * 1024;
/** Blobs at which a pack is closed, far below what a header may list, so that the header fits into the buffer. */
const MAX_BLOBS = 20_000;
/** Room for a full pack, one more blob of the largest size, and the header. */
export const PACK_BUFFER_BYTES = PACK_BYTES + MAX_CHUNK + SEAL_OVERHEAD + headerRoom(MAX_BLOBS);

function headerRoom(blobs: number): number {
  return blobs * 41 + SEAL_OVERHEAD + LENGTH_FIELD;
}

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
  readonly #compression: Compression;
  readonly #overflow: 'grow' | 'refuse';
  /** Made when the first blob comes that is not sealed yet. */
  #compressor: BlobCompressor | undefined;
  #buffer: Buffer;
  #used = 0;
  #plainBytes = 0;
  #blobs: PackedBlob[] = [];

  /**
   * A blob that does not fit into `buffer` (the tree of a huge folder, a chunk of another program) makes the packer go on in a larger
   * one of its own with 'grow'; with 'refuse' it is an error, for buffers that others look into.
   */
  constructor(type: BlobType, cipher: Cipher, compression: Compression, buffer: Buffer, overflow: 'grow' | 'refuse' = 'refuse') {
    this.#type = type;
    this.#cipher = cipher;
    this.#compression = compression;
    this.#overflow = overflow;
    this.#buffer = buffer;
  }

  /** Adds a blob, which must not be empty; true when the pack is full and must be finished. */
  add(id: string, plain: Uint8Array): boolean {
    this.#compressor ??= new BlobCompressor(this.#type, this.#compression);
    const packed = this.#compressor.compress(plain);
    const body = packed ?? plain;
    this.#makeRoom(body.length + SEAL_OVERHEAD);
    const length = this.#cipher.sealInto(body, this.#buffer, this.#used);
    return this.#added({ id, length, uncompressedLength: packed ? plain.length : 0 }, plain.length);
  }

  /** Adds a blob that is sealed already with the key of this repository. `uncompressedLength` is 0 when it is stored as it is. */
  addSealed(id: string, sealed: Uint8Array, uncompressedLength: number): boolean {
    this.#makeRoom(sealed.length);
    this.#buffer.set(sealed, this.#used);
    return this.#added({ id, length: sealed.length, uncompressedLength }, uncompressedLength || sealed.length - SEAL_OVERHEAD);
  }

  #added(blob: Pick<PackedBlob, 'id' | 'length' | 'uncompressedLength'>, plainLength: number): boolean {
    this.#blobs.push({ ...blob, type: this.#type, offset: this.#used });
    this.#used += blob.length;
    this.#plainBytes += plainLength;
    return this.#used >= PACK_BYTES || this.#blobs.length >= MAX_BLOBS;
  }

  /** Room for a blob and the header that will name it. */
  #makeRoom(length: number): void {
    const needed = this.#used + length + headerRoom(this.#blobs.length + 1);
    if (needed <= this.#buffer.length) return;
    if (this.#overflow === 'refuse') throw new Error(`a blob of ${length} bytes does not fit into a pack`);
    const larger = Buffer.allocUnsafeSlow(needed);
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }

  /** Goes on in this buffer; only while the packer is empty. */
  useBuffer(buffer: Buffer): void {
    if (this.#blobs.length > 0) throw new Error('a packer in use gets no other buffer');
    this.#buffer = buffer;
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
}
