/** Makes blobs ready for another pack, in a thread: opened, unpacked and hashed first, then sealed as the other pack wants them. */
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { discarded } from '../../base/garbage.ts';
import { openBlob } from '../blob-reader.ts';
import { BlobCompressor, type Compression } from '../compress-blob.ts';
import { Cipher, SEAL_OVERHEAD } from '../format/cipher.ts';
import type { BlobType, PackedBlob } from '../format/pack-header.ts';
import type { Decompressor } from '../format/zstd.ts';
import type { MovedBlob, PackRange } from './messages.ts';

export interface MoveTools {
  readonly cipher: Cipher;
  /** Of the repository that the blobs move to; undefined when it has the same key. */
  readonly target: Cipher | undefined;
  readonly decompressor: Decompressor;
}

const compressors = new Map<string, BlobCompressor>();

function compressor(type: BlobType, compression: Compression): BlobCompressor {
  const key = `${type} ${compression}`;
  const made = compressors.get(key) ?? new BlobCompressor(type, compression);
  compressors.set(key, made);
  return made;
}

/** The most bytes that a moved blob can take. */
export function movedBound(blob: PackedBlob, compression: Compression | undefined): number {
  if (compression === undefined) return blob.length;
  const plain = blob.uncompressedLength || blob.length - SEAL_OVERHEAD;
  return Math.max(blob.length, plain + (plain >>> 8) + 1024 + SEAL_OVERHEAD);
}

/**
 * Puts the blobs into `into`, one behind another. One that is not what it should be takes no room and says why; the others are
 * moved all the same. Without `compression` the body stays as it is: sealed bytes are copied when the key is the same.
 */
export function moveBlobs(tools: MoveTools, range: PackRange, bytes: Buffer, blobs: readonly PackedBlob[], into: Buffer, compression: Compression | undefined): readonly MovedBlob[] {
  let at = 0;
  return blobs.map((blob) => {
    const start = blob.offset - range.offset;
    const sealed = bytes.subarray(start, start + blob.length);
    discarded(blob.length);
    try {
      const plain = openBlob(tools.cipher, tools.decompressor, blob.id, { ...blob, pack: range.pack }, sealed);
      const moved = reseal(tools, blob, sealed, plain, into.subarray(at), compression);
      at += moved.length;
      return moved;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return { length: 0, uncompressedLength: 0, problem: messageOf(error) };
    }
  });
}

function reseal({ cipher, target, decompressor }: MoveTools, blob: PackedBlob, sealed: Buffer, plain: Buffer, into: Buffer, compression: Compression | undefined): MovedBlob {
  const { length, uncompressedLength } = blob;
  if (compression !== undefined) {
    const packed = compressor(blob.type, compression).compress(plain);
    const written = (target ?? cipher).sealInto(packed ?? plain, into, 0);
    proveSeal(target ?? cipher, decompressor, blob, into.subarray(0, written), packed ? plain.length : 0);
    return { length: written, uncompressedLength: packed ? plain.length : 0 };
  }
  if (target === undefined) {
    into.set(sealed);
    return { length, uncompressedLength };
  }
  // The body as it was compressed; opening it again costs a tenth of unpacking and hashing it.
  const written = target.sealInto(cipher.open(sealed), into, 0);
  proveSeal(target, decompressor, blob, into.subarray(0, written), uncompressedLength);
  return { length: written, uncompressedLength };
}

/** The old blob may be removed on the strength of the new one, so the new one is opened once while the old is still there. */
function proveSeal(cipher: Cipher, decompressor: Decompressor, { id }: PackedBlob, sealed: Buffer, uncompressedLength: number): void {
  try {
    openBlob(cipher, decompressor, id, { pack: 'new', offset: 0, length: sealed.length, uncompressedLength }, sealed);
  } catch (error) {
    throw new Error(`a blob does not read back as it was sealed: faulty memory or a bug (${messageOf(error)})`, { cause: error });
  }
}
