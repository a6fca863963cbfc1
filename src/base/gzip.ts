/** gzip on all threads of the pool: blocks are compressed apart, each a member of its own (RFC 1952, 2.2); gunzip reads them as one file. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const compress = promisify(gzip);

/** Each block starts with an empty window, which at this size costs under one per cent. */
const BLOCK = 1 << 20;

/** Blocks under way: enough for the pool's four threads, few enough to bound memory. */
const AHEAD = 4;

/** The pieces as one gzip file. The memory of a piece may be used again once the next one is asked for. */
export async function* gzipped(pieces: AsyncIterable<Uint8Array>, level = 6): AsyncGenerator<Uint8Array> {
  const under: Promise<Buffer>[] = [];
  let any = false;
  try {
    for await (const block of blocksOf(pieces)) {
      any = true;
      under.push(quietly(compress(block, { level })));
      if (under.length >= AHEAD) yield await taken(under);
    }
    // No member at all would not be a gzip file.
    if (!any) yield await compress(new Uint8Array(), { level });
    while (under.length > 0) yield await taken(under);
  } finally {
    await Promise.allSettled(under);
  }
}

async function taken(under: Promise<Buffer>[]): Promise<Buffer> {
  return (await under.shift()) ?? Buffer.alloc(0);
}

/** Awaited later, in order; a failure is not unhandled meanwhile. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function* blocksOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafe(BLOCK);
  let filled = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + BLOCK - filled);
      block.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < BLOCK) continue;
      yield block;
      block = Buffer.allocUnsafe(BLOCK);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}
