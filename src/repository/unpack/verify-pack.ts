/** Compares a whole pack with its id, its header, and what the index says of it; each difference is named. */
import { messageOf } from '../../base/errors.ts';
import { openBlob } from '../blob-reader.ts';
import type { Cipher } from '../format/cipher.ts';
import { LENGTH_FIELD, parsePackHeader, type PackedBlob } from '../format/pack-header.ts';
import type { Decompressor } from '../format/zstd.ts';
import type { Problem } from '../entry.ts';

interface Tools {
  readonly cipher: Cipher;
  readonly decompressor: Decompressor;
  sha256(bytes: Uint8Array): string;
}

/** `lost` hears the place in `indexed` of every blob that cannot be read. */
export function verifyPack(tools: Tools, pack: string, bytes: Buffer, indexed: readonly PackedBlob[], lost: (at: number) => void = () => undefined): readonly Problem[] {
  const problems: Problem[] = [];
  const found = (message: string): void => {
    problems.push({ subject: `pack ${pack}`, kind: 'changed', message });
  };
  if (tools.sha256(bytes) !== pack) found('its bytes are not those that were written: the hash differs from its name');
  compareHeader(tools.cipher, bytes, indexed, found);
  for (const [at, blob] of indexed.entries()) {
    if (blob.offset + blob.length > bytes.length) {
      found(`${blob.type} blob ${blob.id} lies beyond the end of the pack`);
      lost(at);
      continue;
    }
    try {
      openBlob(tools.cipher, tools.decompressor, blob.id, { ...blob, pack }, bytes.subarray(blob.offset, blob.offset + blob.length));
    } catch (error) {
      found(messageOf(error));
      lost(at);
    }
  }
  return problems;
}

function compareHeader(cipher: Cipher, bytes: Buffer, indexed: readonly PackedBlob[], found: (message: string) => void): void {
  try {
    const end = bytes.length - LENGTH_FIELD;
    const length = bytes.readUInt32LE(end);
    const header = parsePackHeader(cipher.open(bytes.subarray(end - length, end)));
    const listed = new Set(header.map(keyOf));
    const missing = indexed.filter((blob) => !listed.has(keyOf(blob)));
    if (missing.length > 0 || header.length !== indexed.length) {
      found(`its header lists ${header.length} blobs and the index ${indexed.length}, ${missing.length} of them not where the header has them`);
    }
  } catch (error) {
    found(`its header cannot be read: ${messageOf(error)}`);
  }
}

function keyOf(blob: PackedBlob): string {
  return `${blob.type} ${blob.id} ${blob.offset} ${blob.length} ${blob.uncompressedLength}`;
}
