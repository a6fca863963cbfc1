/** The bodies of requests and answers, piece by piece, so that somebody can watch and slow the bytes that pass. */
import { Readable } from 'node:stream';

/** Told of bytes that have passed; a returned promise is waited for before more pass. */
export type Moved = (bytes: number) => Promise<void> | undefined;

const PIECE_BYTES = 256 * 1024;

/** A body to send. Without somebody who watches it is the bytes themselves. */
export function outgoing(bytes: Uint8Array, moved: Moved | undefined): Uint8Array | Readable {
  return moved === undefined || bytes.length === 0 ? bytes : Readable.from(pieces(bytes, moved), { objectMode: false, highWaterMark: 1 });
}

async function* pieces(bytes: Uint8Array, moved: Moved): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    yield piece;
    await moved(piece.length);
  }
}

/** Reads a body of a known length to its end. Fewer bytes are answered when it ends early. */
export async function incoming(body: AsyncIterable<Uint8Array>, length: number, moved: Moved | undefined): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  for await (const piece of body) {
    const wanted = piece.subarray(0, length - done);
    bytes.set(wanted, done);
    done += wanted.length;
    await moved?.(piece.length);
  }
  return bytes.subarray(0, done);
}
