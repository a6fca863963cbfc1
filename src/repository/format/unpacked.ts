/** The plaintext of index, snapshot and lock files: byte 2 and a zstd frame of JSON, or (older) JSON as it is. */
import { Compressor, decompressFrame } from './zstd.ts';

const VERSION_2 = 2;
const OPENERS: readonly number[] = [0x7b, 0x5b];

let compressor: Compressor | undefined;

export function encodeUnpacked(json: string): Buffer {
  compressor ??= new Compressor(3);
  return Buffer.concat([Buffer.from([VERSION_2]), compressor.compress(Buffer.from(json))]);
}

/** The JSON text; throws on an encoding that is not known, and on more than `most` bytes. */
export function decodeUnpacked(plain: Buffer, most: number): string {
  return unpackedBytes(plain, most).toString('utf8');
}

/** The same as bytes, for large documents. */
export function unpackedBytes(plain: Buffer, most: number): Buffer {
  const first = plain[0];
  if (first === VERSION_2) return decompressFrame(plain.subarray(1), most);
  if (first === undefined) throw new Error('it is empty');
  if (!OPENERS.includes(first)) throw new Error(`unknown encoding ${first}`);
  if (plain.length > most) throw new Error(`${plain.length} bytes are more than the ${most} that it may have`);
  return plain;
}
