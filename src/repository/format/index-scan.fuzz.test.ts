import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below, fuzzing, mutateBytes, mutateJson, parsedOrRefused, randomOf, type Random } from '../fixture/mutation.ts';
import { encodeIndex, encodeIndexedPack } from './index-file.ts';
import { parseIndex } from './index-scan.ts';
import { MAX_DATA_BLOB, MAX_TREE_BLOB } from './limits.ts';
import type { PackedBlob } from './pack-header.ts';

function someBlobs(random: Random): readonly PackedBlob[] {
  let offset = 0;
  return Array.from({ length: 1 + below(random, 6) }, (_, i): PackedBlob => {
    const [length, uncompressedLength] = [33 + below(random, 100_000), below(random, 2) * (1 + below(random, 200_000))];
    const blob = { id: String(i).padStart(64, 'ab'), type: random() < 0.5 ? 'tree' : 'data', offset, length, uncompressedLength } as const;
    offset += length;
    return blob;
  });
}

/** What everything that reads packs relies on. */
function expectSound(blobs: readonly PackedBlob[]): void {
  for (const { id, type, offset, length, uncompressedLength } of blobs) {
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(['data', 'tree']).toContain(type);
    expect([offset, length, uncompressedLength].every((n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32)).toBe(true);
    expect(length).toBeGreaterThanOrEqual(32);
    expect(offset + length).toBeLessThan(2 ** 32);
    expect(Math.max(length - 32, uncompressedLength)).toBeLessThanOrEqual(type === 'tree' ? MAX_TREE_BLOB : MAX_DATA_BLOB);
  }
}

describe('whatever text stands where an index should', () => {
  it('it is refused, or its blobs have places that a pack can have', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const json = encodeIndex([{ id: 'c'.repeat(64), blobs: someBlobs(random) }, { id: 'd'.repeat(64), blobs: someBlobs(random) }].map(encodeIndexedPack));
        const text = seed % 2 === 0 ? JSON.stringify(mutateJson(JSON.parse(json), random)) : mutateBytes(Buffer.from(json), random).toString('utf8');
        for (const { id, blobs } of parsedOrRefused(() => parseIndex(text)) ?? []) {
          expect(id).toMatch(/^[0-9a-f]{64}$/);
          expectSound(blobs);
        }
      }),
      fuzzing(),
    );
  });

  it.each([
    ['an offset before the pack', { offset: -1 }],
    ['an offset that is no whole number', { offset: 0.5 }],
    ['an offset as text', { offset: '0' }],
    ['an offset beyond 4 GiB', { offset: 2 ** 32 }],
    ['a length too short for anything sealed', { length: 31 }],
    ['gigabytes of plaintext', { uncompressed_length: 2 ** 31 }],
    ['a type that is none', { type: 'key' }],
    ['an id that is none', { id: 'abc' }],
  ])('%s is refused', (_, change) => {
    const blob = { id: 'e'.repeat(64), type: 'data', offset: 0, length: 100, ...change };
    expect(() => parseIndex(JSON.stringify({ packs: [{ id: 'f'.repeat(64), blobs: [blob] }] }))).toThrow(Error);
  });
});
