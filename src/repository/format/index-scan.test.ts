import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeIndex, encodeIndexedPack, type IndexedPack, type PackMark } from './index-file.ts';
import { parseIndex, scanIndex } from './index-scan.ts';

const hexId = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));

/** Within limits.ts, and below 4 GiB. */
const blob = fc.record({ id: hexId, type: fc.constantFrom('data' as const, 'tree' as const), offset: fc.integer({ min: 0, max: 0x70000000 }), length: fc.integer({ min: 32, max: 128 << 20 }), uncompressedLength: fc.integer({ min: 0, max: 128 << 20 }) });
const packs = fc.array(fc.record({ id: hexId, blobs: fc.array(blob, { maxLength: 5 }) }), { maxLength: 5 });
const id = 'ab'.repeat(32);
const pack = `{"id":"${id}","blobs":[{"id":"${id}","type":"data","offset":0,"length":32}]}`;

function marksOf(json: string): readonly PackMark[] {
  const marks: PackMark[] = [];
  scanIndex(Buffer.from(json), { beginPack: () => undefined, blob: () => undefined, endPack: () => undefined, mark: (mark) => marks.push({ ...mark }) });
  return marks;
}

/** The same document with its keys in another order, others between them, and white space. */
function disguised(list: readonly IndexedPack[], seed: number): string {
  const space = ['', ' ', '\n\t', '\r\n'][seed % 4] ?? '';
  const turn = <T>(fields: readonly T[]): readonly T[] => [...fields.slice(seed % fields.length), ...fields.slice(0, seed % fields.length)];
  const object = (fields: readonly string[]): string => `{${space}${turn(fields).join(`${space},${space}`)}${space}}`;
  const more = '"more":{"a":[1,-2.5e3,null,true,"\\"]}"],"b":{}}';
  return object([
    '"supersedes":["x"]', more,
    `"packs"${space}:${space}[${space}${list.map((one) => object([
      `"id":"${one.id}"`, more,
      `"bl\\u006fbs":${space}[${one.blobs.map((b) => object([`"id":"${b.id.toUpperCase()}"`, `"type":"${b.type}"`, more, `"offset":${b.offset}`, `"length":${space}${b.length}`, `"uncompressed_length":${b.uncompressedLength}`])).join(',')}]`,
    ])).join(`${space},`)}]`,
  ]);
}

describe('an index file', () => {
  it('is read as it was written, in whatever order and spacing', () => {
    fc.assert(fc.property(packs, fc.nat(20), (list, seed) => {
      expect(parseIndex(encodeIndex(list.map(encodeIndexedPack)))).toEqual(list);
      expect(parseIndex(disguised(list, seed))).toEqual(list);
    }));
  });

  it('carries marks, and those of rustic are read', () => {
    const mark = { id, time: '2026-11-20T12:00:00Z', size: 12_345 };
    const json = encodeIndex([pack], [mark]);
    expect(marksOf(json)).toEqual([mark]);
    expect(parseIndex(json)).toHaveLength(1);
    expect(JSON.parse(json)).toMatchObject({ packs_to_delete: [{ blobs: [] }] });
    expect(marksOf(`{"packs":[],"packs_to_delete":[{"blobs":[{"id":"x"}],"size":null,"id":"${id}","time":"t"}]}`)).toEqual([{ id, time: 't', size: 0 }]);
    expect(marksOf('{"packs":[],"packs_to_delete":null}')).toEqual([]);
  });

  it.each([
    '', ' ', 'null', '[]', '{}', '{"packs":[]', '{"packs":[]}}', '{"packs":[]}x', '{"packs":[],}', '{"packs":{}}', '{"packs":[{}]}', `{"packs":[{"id":"${id}"}]}`, '{"packs":[],"packs":[]}',
    `{"packs":[{"id":"${id.slice(2)}","blobs":[]}]}`, `{"packs":[{"id":"${id}00","blobs":[]}]}`, `{"packs":[{"id":"${id}","blobs":[],"blobs":[]}]}`, `{"packs":[${pack} ${pack}]}`,
    `{"packs":[${pack.replace('32}', '31}')}]}`, `{"packs":[${pack.replace('32}', '4294967296}')}]}`, `{"packs":[${pack.replace('32}', '32.5}')}]}`, `{"packs":[${pack.replace('32}', '-32}')}]}`, `{"packs":[${pack.replace('32}', '032}')}]}`,
    `{"packs":[${pack.replace('data', 'blob')}]}`, `{"packs":[${pack.replace('"offset":0,', '')}]}`, `{"packs":[${pack.replace('"offset":0', '"offset":0,"offset":0')}]}`, `{"packs":[],"x":${'['.repeat(100)}${']'.repeat(100)}}`, '{"packs":[],"x":tru}', '{"packs":[],"x":"\n"}', '{"packs":[],"x":"\\q"}',
    '{"packs":[],"packs_to_delete":[{}]}',
  ])('that is none is refused: %s', (json) => {
    expect(() => parseIndex(json)).toThrow();
  });

  it('cut short anywhere is refused', () => {
    const json = encodeIndex([pack, pack]);
    for (let length = 0; length < json.length - 1; length++) expect(() => parseIndex(json.slice(0, length))).toThrow();
  });
});
