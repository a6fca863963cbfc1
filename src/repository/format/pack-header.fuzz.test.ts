import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below, fuzzing, mutateBytes, parsedOrRefused, randomOf, type Random } from '../fixture/mutation.ts';
import { MAX_DATA_BLOB, MAX_TREE_BLOB } from './limits.ts';
import { encodePackHeader, parsePackHeader, type PackedBlob } from './pack-header.ts';

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

describe('whatever bytes stand where a pack header should', () => {
  it('it is refused, or its blobs have places that a pack can have', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const bytes = seed % 3 === 0 ? Buffer.from(Array.from({ length: below(random, 300) }, () => below(random, 256))) : mutateBytes(encodePackHeader(someBlobs(random)), random);
        expectSound(parsedOrRefused(() => parsePackHeader(bytes)) ?? []);
      }),
      fuzzing(),
    );
  });

  it('entries that add up beyond 4 GiB, or claim gigabytes, are refused', () => {
    const entry = { id: 'a'.repeat(64), type: 'tree', offset: 0, length: 500 << 20, uncompressedLength: 0 } as const;
    expect(() => parsePackHeader(encodePackHeader(Array.from({ length: 9 }, () => entry)))).toThrow('is not possible');
    expect(() => parsePackHeader(encodePackHeader([{ ...entry, type: 'data', length: 1000, uncompressedLength: 2 ** 32 - 1 }]))).toThrow('larger than any');
  });
});
