/** The table at the end of a pack (restic design.rst, "Pack Format"). */
import { SEAL_OVERHEAD } from './cipher.ts';
import { MAX_DATA_BLOB, MAX_TREE_BLOB } from './limits.ts';

export type BlobType = 'data' | 'tree';

/** A blob in a pack. Offset and lengths in bytes; `length` is that of the sealed blob. */
export interface PackedBlob {
  readonly id: string;
  readonly type: BlobType;
  readonly offset: number;
  readonly length: number;
  /** 0 when the blob is stored as it is. */
  readonly uncompressedLength: number;
}

const PLAIN_ENTRY = 37;
const COMPRESSED_ENTRY = 41;
/** restic refuses headers above this. */
export const MAX_HEADER = 16 * 1024 * 1024 + 4;
/** Bytes of the length field behind the header. */
export const LENGTH_FIELD = 4;

/** The header in plaintext; blobs in the order in which they lie in the pack. */
export function encodePackHeader(blobs: readonly PackedBlob[]): Buffer {
  const header = Buffer.alloc(blobs.length * COMPRESSED_ENTRY);
  let at = 0;
  for (const blob of blobs) {
    const compressed = blob.uncompressedLength > 0;
    header[at] = (blob.type === 'tree' ? 1 : 0) + (compressed ? 2 : 0);
    header.writeUInt32LE(blob.length, at + 1);
    if (compressed) header.writeUInt32LE(blob.uncompressedLength, at + 5);
    header.write(blob.id, at + (compressed ? 9 : 5), 'hex');
    at += compressed ? COMPRESSED_ENTRY : PLAIN_ENTRY;
  }
  return header.subarray(0, at);
}

/**
 * What is wrong with the numbers of a blob, wherever they were read; undefined when nothing is. An end beyond 4 GiB has no place in
 * the format, and a size beyond the limits would only exhaust memory (limits.ts).
 */
export function placeFault(tree: boolean, { offset, length, uncompressedLength }: Pick<PackedBlob, 'offset' | 'length' | 'uncompressedLength'>): string | undefined {
  const most = tree ? MAX_TREE_BLOB : MAX_DATA_BLOB;
  if (length < SEAL_OVERHEAD || offset + length >= 2 ** 32) return `a blob of ${length} bytes at ${offset} is not possible`;
  if (uncompressedLength > most || length > most + SEAL_OVERHEAD) return `a ${tree ? 'tree' : 'data'} blob of ${Math.max(uncompressedLength, length)} bytes is larger than any that is supported`;
  return undefined;
}

/** The blobs that a decrypted header lists; throws when it is malformed. */
export function parsePackHeader(header: Buffer): readonly PackedBlob[] {
  const blobs: PackedBlob[] = [];
  let offset = 0;
  for (let at = 0; at < header.length; ) {
    const kind = header[at] ?? 255;
    if (kind > 3) throw new Error(`unknown blob type ${kind}`);
    const size = kind >= 2 ? COMPRESSED_ENTRY : PLAIN_ENTRY;
    if (at + size > header.length) throw new Error('the last entry is cut short');
    const length = header.readUInt32LE(at + 1);
    const blob: PackedBlob = {
      id: header.toString('hex', at + size - 32, at + size),
      type: kind & 1 ? 'tree' : 'data',
      offset,
      length,
      uncompressedLength: kind >= 2 ? header.readUInt32LE(at + 5) : 0,
    };
    const fault = kind >= 2 && blob.uncompressedLength === 0 ? 'a compressed blob of no bytes is not possible' : placeFault(blob.type === 'tree', blob);
    if (fault !== undefined) throw new Error(fault);
    blobs.push(blob);
    offset += length;
    at += size;
  }
  return blobs;
}
