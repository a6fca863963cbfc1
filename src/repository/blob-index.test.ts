import { describe, expect, it } from 'vitest';
import { MemoryStorage } from '../storage/memory.ts';
import { BlobIndexBuilder, BlobLookup, type BlobIndex } from './blob-index.ts';
import { saveDocument, sha256 } from './core.ts';
import { EntrySet, chosenPacks } from './entry-set.ts';
import { emptyRepository } from './fixture/filled.ts';
import { encodeIndex, encodeIndexedPack, type IndexedPack } from './format/index-file.ts';
import type { PackedBlob } from './format/pack-header.ts';
import { loadIndex, saveIndex } from './index-loader.ts';

const id = (name: string): string => sha256(Buffer.from(name));
const blob = (name: string, offset = 0, type: 'data' | 'tree' = 'data'): PackedBlob => ({ id: id(name), type, offset, length: 100, uncompressedLength: 0 });
const pack = (name: string, ...blobs: readonly PackedBlob[]): IndexedPack => ({ id: id(`pack ${name}`), blobs });
const file = (...packs: readonly IndexedPack[]): Buffer => Buffer.from(encodeIndex(packs.map(encodeIndexedPack)));

function built(...files: readonly Buffer[]): BlobIndex {
  const builder = new BlobIndexBuilder();
  for (const json of files) builder.read(json);
  return builder.build();
}

function many(from: number, count: number): readonly IndexedPack[] {
  return Array.from({ length: count / 100 }, (_, p) => pack(`${from}-${p}`, ...Array.from({ length: 100 }, (_b, b) => blob(`${from}-${p}-${b}`, b * 100))));
}

describe('an index of blobs', () => {
  it('finds each blob by its id and type, and no other', () => {
    const index = built(file(pack('a', blob('one'), blob('two', 100)), pack('b', blob('one', 0, 'tree'))));
    expect(index.locate(id('two'), 'data')).toEqual({ pack: id('pack a'), offset: 100, length: 100, uncompressedLength: 0 });
    expect(index.locate(id('one'), 'tree')?.pack).toBe(id('pack b'));
    expect(index.has(id('two'), 'tree')).toBe(false);
    expect(index.has(id('three'), 'data')).toBe(false);
    expect(index.has('no id', 'data')).toBe(false);
  });

  it('takes a pack in once that several files name, and what one of them knows more', () => {
    const whole = pack('a', blob('one'), blob('two', 100), blob('three', 200));
    const part = pack('a', blob('two', 100));
    for (const files of [[whole, part], [part, whole], [whole, whole], [part, part, whole, part]]) {
      const index = built(...files.map((one) => file(one)), file(pack('b', blob('four'))));
      expect(index.count, JSON.stringify(files.length)).toBe(4);
      expect(Array.from(index.entriesByPack().of(index.numberOfPack(whole.id)), (n) => index.blob(n).offset).toSorted((a, b) => a - b)).toEqual([0, 100, 200]);
      expect(index.locate(id('four'), 'data')?.pack).toBe(id('pack b'));
    }
  });

  it('keeps nothing of a file that breaks off in the middle', () => {
    const builder = new BlobIndexBuilder();
    builder.read(file(pack('a', blob('one'))));
    const json = file(pack('b', blob('two'), blob('three', 100)), pack('a', blob('four', 100)), pack('c', blob('five')));
    for (let length = 0; length < json.length - 1; length++) expect(() => builder.read(json.subarray(0, length))).toThrow();
    expect(builder.hasPack(id('pack b'))).toBe(false);
    builder.read(file(pack('b', blob('two'))));
    const index = builder.build();
    expect(index.count).toBe(2);
    expect(index.locate(id('two'), 'data')?.pack).toBe(id('pack b'));
    expect(index.packs).toEqual([id('pack a'), id('pack b')]);
  });

  it('does not find what lies in lost packs only', () => {
    const builder = new BlobIndexBuilder();
    builder.read(file(pack('a', blob('one'), blob('two', 100)), pack('b', blob('one'))));
    const index = builder.build([id('pack a')]);
    expect(index.locate(id('one'), 'data')?.pack).toBe(id('pack b'));
    expect(index.has(id('two'), 'data')).toBe(false);
    expect(index.entriesByPack().of(index.numberOfPack(id('pack a')))).toHaveLength(2);
    expect(index.firstOf(0)).toBe(2);
    expect(index.firstOf(1)).toBe(-1);
  });

  it('grows far beyond what was expected, and other threads see what was added when they look anew', () => {
    const index = built(file(...many(0, 1000)));
    const first = many(0, 1000)[3]?.blobs[7];
    for (let round = 1; round <= 16; round++) index.extend(file(...many(round, 10_000)));
    expect(index.count).toBe(161_000);
    for (let round = 1; round <= 16; round++) for (const { id: packId, blobs } of many(round, 10_000).slice(0, 3)) expect(index.locate(blobs[42]?.id ?? '', 'data')).toMatchObject({ pack: packId, offset: 4200 });
    expect(index.locate(first?.id ?? '', 'data')?.offset).toBe(700);
    const words = new Uint32Array(new Uint8Array(Buffer.from(first?.id ?? '', 'hex')).buffer);
    expect(new BlobLookup(index.shared).find(words, 'data')).toBe(307);
  });

  it('gives the chosen blobs pack by pack', () => {
    const index = built(file(pack('a', blob('one'), blob('two', 100)), pack('b', blob('three')), pack('c', blob('four'))));
    const chosen = new EntrySet(index.count);
    expect([chosen.add(1), chosen.add(3), chosen.add(3), chosen.size]).toEqual([true, true, false, 2]);
    expect([...chosenPacks(index, chosen)].map(({ blobs }) => blobs.map((one) => one.id))).toEqual([[id('two')], [id('four')]]);
    chosen.delete(1);
    chosen.delete(1);
    expect([chosen.size, chosen.has(1), chosen.has(3), chosen.has(-1)]).toEqual([1, false, true, false]);
  });

  it('is loaded the same whatever order the files arrive in', async () => {
    const place = await emptyRepository(new MemoryStorage());
    const core = await place.core();
    for (let i = 0; i < 12; i++) await saveIndex(core, many(i, 500));
    await saveDocument(core, 'index', encodeIndex([encodeIndexedPack(pack('twice', blob('0-0-0', 5)))]));
    const listed = async (delay: (n: number) => number): Promise<readonly string[]> => {
      let n = 0;
      const slow = { ...core, storage: { ...core.storage, parallel: 5, load: async (...args: Parameters<typeof core.storage.load>) => {
        await new Promise((resolve) => setTimeout(resolve, delay(n++)));
        return await core.storage.load(...args);
      } } };
      const index = await loadIndex(slow);
      return [...index.packs, index.locate(id('0-0-0'), 'data')?.pack ?? ''];
    };
    expect(await listed((n) => (n % 3) * 15)).toEqual(await listed((n) => 40 - n * 3));
  });
});
