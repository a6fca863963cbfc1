import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeIndex, encodeIndexedPack } from './index-file.ts';
import { parseIndex } from './index-scan.ts';
import { encodePackHeader, parsePackHeader, type PackedBlob } from './pack-header.ts';
import { Compressor, decompressFrame, Decompressor } from './zstd.ts';

const blobs = fc
  .array(fc.record({ tree: fc.boolean(), length: fc.integer({ min: 33, max: 2 ** 24 }), uncompressed: fc.integer({ min: 0, max: 2 ** 24 }) }), { maxLength: 50 })
  .map((list) => {
    let offset = 0;
    return list.map(({ tree, length, uncompressed }, i): PackedBlob => {
      const blob = { id: createHash('sha256').update(String(i)).digest('hex'), type: tree ? 'tree' : 'data', offset, length, uncompressedLength: uncompressed } as const;
      offset += length;
      return blob;
    });
  });

describe('pack headers and indexes', () => {
  it('read back as they were written', () => {
    fc.assert(
      fc.property(blobs, (list) => {
        expect(parsePackHeader(encodePackHeader(list))).toEqual(list);
        const pack = { id: 'a'.repeat(64), blobs: list };
        expect(parseIndex(encodeIndex([encodeIndexedPack(pack)]))).toEqual([pack]);
      }),
    );
  });

  it('that are cut short or of an unknown type are refused', () => {
    const header = encodePackHeader([{ id: 'b'.repeat(64), type: 'data', offset: 0, length: 100, uncompressedLength: 0 }]);
    expect(() => parsePackHeader(header.subarray(0, 30))).toThrow('cut short');
    header[0] = 9;
    expect(() => parsePackHeader(header)).toThrow('unknown blob type 9');
    expect(() => parseIndex('{"pack":[]}')).toThrow('an index without packs');
  });
});

describe('zstd frames', () => {
  it('are standard frames that one context makes again and again', () => {
    const compressor = new Compressor(1);
    const decompressor = new Decompressor();
    for (const text of ['', 'a', 'holdfast '.repeat(10_000), 'x']) {
      const frame = Buffer.from(compressor.compress(Buffer.from(text)));
      expect(decompressFrame(frame, 1 << 20).toString()).toBe(text);
      expect(decompressor.decompress(frame, text.length).toString()).toBe(text);
    }
  });

  it('that are damaged, cut short or of another length are refused, and the next one still opens', () => {
    const frame = Buffer.from(new Compressor(1).compress(Buffer.from('holdfast '.repeat(1000))));
    const decompressor = new Decompressor();
    expect(() => decompressor.decompress(frame.subarray(0, frame.length - 3), 9000)).toThrow('zstd');
    expect(() => decompressor.decompress(frame, 8999)).toThrow('zstd');
    expect(() => decompressor.decompress(frame, 9001)).toThrow('zstd');
    expect(() => decompressor.decompress(Buffer.from('no frame at all'), 10)).toThrow('zstd');
    expect(decompressor.decompress(frame, 9000).toString()).toBe('holdfast '.repeat(1000));
  });
});
