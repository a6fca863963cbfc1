import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { gzipped } from './gzip.ts';

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(Buffer.from(piece));
  return Buffer.concat(all);
}

async function* inOneMemory(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(size);
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size);
    memory.fill(0xee);
    memory.set(part);
    yield memory.subarray(0, part.length);
  }
}

describe('gzipped', () => {
  it('is read back by any gunzip, whatever the pieces and however often their memory is used again', async () => {
    const bytes = Buffer.from(Array.from({ length: 400_000 }, (_, i) => `row ${i * 7919}\t${i % 13}\n`).join(''));
    for (const size of [1 << 20, 77_777, 3_000_001]) {
      const packed = await collect(gzipped(inOneMemory(bytes, size)));
      expect(gunzipSync(packed).equals(bytes)).toBe(true);
      expect(packed.length).toBeLessThan(bytes.length / 2);
    }
  });

  it('of nothing is a gzip file of nothing', async () => {
    expect(gunzipSync(await collect(gzipped(inOneMemory(Buffer.alloc(0), 10)))).length).toBe(0);
  });

  it('ends with the failure of what it reads', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(3_000_000);
      throw new Error('the disk is gone');
    }
    await expect(collect(gzipped(failing()))).rejects.toThrow('the disk is gone');
  });
});
