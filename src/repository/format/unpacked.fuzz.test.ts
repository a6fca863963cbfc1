import * as zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below, fuzzing, mutateBytes, parsedOrRefused, randomOf } from '../fixture/mutation.ts';
import { MAX_DOCUMENT } from './limits.ts';
import { decodeUnpacked, encodeUnpacked } from './unpacked.ts';
import { Decompressor, decompressFrame } from './zstd.ts';

const MIB = 1 << 20;

/** A frame of `bytes` zeros, written as one run a block: 128 KiB of them take 4 bytes. The header claims `claimed` bytes. */
function bomb(bytes: number, claimed: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32LE(0xfd2fb528, 0);
  // Content size of 8 bytes, one segment: no window is named.
  header[4] = 0xe0;
  header.writeBigUInt64LE(BigInt(claimed), 5);
  const run = 128 * 1024;
  const blocks = Array.from({ length: Math.ceil(bytes / run) }, (_, i) => {
    const length = Math.min(run, bytes - i * run);
    const block = Buffer.alloc(4);
    block.writeUIntLE((length << 3) | 2 | (i === Math.ceil(bytes / run) - 1 ? 1 : 0), 0, 3);
    return block;
  });
  return Buffer.concat([header, ...blocks]);
}

/** Bytes by which the memory of this process grew at most while `work` ran; none is given back in between. */
function growth(work: () => void): number {
  const before = process.memoryUsage().rss;
  const most = process.resourceUsage().maxRSS * 1024;
  work();
  return Math.max(process.memoryUsage().rss - before, process.resourceUsage().maxRSS * 1024 - Math.max(most, before));
}

describe('whatever stands where a document of a repository should', () => {
  it('is refused, or text that is no longer than it may be', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const plain = encodeUnpacked(JSON.stringify({ packs: Array.from({ length: below(random, 50) }, (_, i) => ({ id: i })) }));
        const bytes = seed % 5 === 0 ? Buffer.from(Array.from({ length: below(random, 100) }, () => below(random, 256))) : mutateBytes(plain, random);
        const text = parsedOrRefused(() => decodeUnpacked(bytes, 100_000));
        if (text !== undefined) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(300_000);
      }),
      fuzzing(),
    );
  });

  it('the bomb of these tests is one', () => {
    expect(zlib.zstdDecompressSync(bomb(3 * MIB + 5, 3 * MIB + 5)).equals(Buffer.alloc(3 * MIB + 5))).toBe(true);
  });

  it('a few bytes that unpack to gigabytes are refused before they do', () => {
    for (const claimed of [2000 * MIB, 2 ** 40, 10]) {
      const frame = bomb(2000 * MIB, claimed);
      expect(frame.length).toBeLessThan(MIB);
      const grown = growth(() => expect(() => decodeUnpacked(Buffer.concat([Buffer.from([2]), frame]), MAX_DOCUMENT)).toThrow(Error));
      expect(grown).toBeLessThan(160 * MIB);
    }
  });

  it('a document that is stored plain has the same limit', () => {
    expect(() => decodeUnpacked(Buffer.from(`["${'x'.repeat(100)}"]`), 100)).toThrow('more than');
  });
});

describe('whatever stands where the frame of a blob should', () => {
  it('is refused, or has exactly the bytes that were promised; the next frame still opens', () => {
    const plain = Buffer.from('holdfast '.repeat(200));
    const whole = zlib.zstdCompressSync(plain);
    const decompressor = new Decompressor();
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const promised = random() < 0.5 ? plain.length : below(random, 5000);
        const opened = parsedOrRefused(() => decompressor.decompress(mutateBytes(whole, random), promised));
        if (opened) expect(opened.length).toBe(promised);
        expect(decompressor.decompress(whole, plain.length).equals(plain)).toBe(true);
      }),
      fuzzing(),
    );
  });

  it('that holds gigabytes, where little was promised, is refused before it is unpacked', () => {
    const frame = bomb(2000 * MIB, 1000);
    const decompressor = new Decompressor();
    expect(growth(() => expect(() => decompressor.decompress(frame, 1000)).toThrow('zstd'))).toBeLessThan(160 * MIB);
    expect(() => decompressFrame(frame, 1000)).toThrow(Error);
  });
});
