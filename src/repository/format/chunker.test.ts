import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createChunker, createStreamChunker, gearTable, installTables, MAX_CHUNK, MIN_CHUNK, TABLE_BYTES } from './chunker.ts';
import { degree, isIrreducible, rabinTables, randomPolynomial } from './polynomial.ts';

/** The polynomial of restic's own chunker tests. */
const POLYNOMIAL = 0x3da3358b4dc173n;

/** restic's chunker, word for word (chunker.go): a ring of 64 bytes, seeded with one 1, all state reset at a cut. */
function referenceCuts(content: Buffer): readonly number[] {
  const { out, mod } = rabinTables(POLYNOMIAL);
  const cuts: number[] = [];
  for (let start = 0; start < content.length; ) {
    const window = new Uint8Array(64);
    let at = 0;
    let digest = 0n;
    const slide = (byte: number): void => {
      digest ^= out[window[at] ?? 0] ?? 0n;
      window[at] = byte;
      at = (at + 1) & 63;
      digest = (BigInt.asUintN(64, digest << 8n) | BigInt(byte)) ^ (mod[Number(digest >> 45n)] ?? 0n);
    };
    slide(1);
    let length = MIN_CHUNK - 64;
    while (start + length < content.length) {
      slide(content[start + length] ?? 0);
      length++;
      if (length >= MIN_CHUNK && ((digest & 0xfffffn) === 0n || length >= MAX_CHUNK)) break;
    }
    length = Math.min(length, content.length - start);
    cuts.push(length);
    start += length;
  }
  return cuts;
}

/** The same of the chunker for streams, as its formula says. */
function referenceGearCuts(content: Buffer): readonly number[] {
  const table = gearTable(POLYNOMIAL);
  const cuts: number[] = [];
  for (let start = 0; start < content.length; start += cuts.at(-1) ?? 0) {
    let length = Math.min(MIN_CHUNK - 64, content.length - start);
    for (let hash = 0n; start + length < content.length; ) {
      hash = BigInt.asUintN(64, (hash << 1n) + (table[content[start + length] ?? 0] ?? 0n));
      length++;
      if (length >= MIN_CHUNK && (hash >> 44n === 0n || length >= MAX_CHUNK)) break;
    }
    cuts.push(length);
  }
  return cuts;
}

/** Our cuts of the same content, fed in pieces of this size. */
function cuts(content: Buffer, piece: number, create = createChunker): readonly number[] {
  const pages = Math.ceil((TABLE_BYTES + content.length + piece) / 65536) + 1;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  installTables(memory, POLYNOMIAL);
  Buffer.from(memory.buffer, TABLE_BYTES).set(content);
  const chunker = create(memory);
  const found: number[] = [];
  let start = 0;
  let scanned = 0;
  for (let fed = Math.min(piece, content.length); ; fed = Math.min(fed + piece, content.length)) {
    for (let cut = chunker.cut(TABLE_BYTES + start, scanned, fed - start); cut > 0; cut = chunker.cut(TABLE_BYTES + start, scanned, fed - start)) {
      found.push(cut);
      start += cut;
      scanned = 0;
    }
    scanned = fed - start;
    if (fed === content.length) break;
  }
  if (start < content.length) found.push(content.length - start);
  return found;
}

describe('the chunker', () => {
  it('cuts where the reference implementation of restic cuts, however the content arrives', () => {
    const seed = createHash('sha256').update('chunker').digest();
    const random = Buffer.concat(Array.from({ length: 160_000 }, (_, i) => createHash('sha256').update(seed).update(String(i)).digest()));
    const content = Buffer.concat([random, Buffer.alloc(1_500_000), Buffer.from('abc'.repeat(900_000))]);
    const expected = referenceCuts(content);
    expect(expected.length).toBeGreaterThan(4);
    expect(cuts(content, 1 << 20)).toEqual(expected);
    expect(cuts(content, 333_333)).toEqual(expected);
  });

  it('cuts zeros at the least length and content without boundaries at the greatest', () => {
    expect(cuts(Buffer.alloc(3 * MIN_CHUNK + 5), 1 << 20)).toEqual([MIN_CHUNK, MIN_CHUNK, MIN_CHUNK, 5]);
    const flat = Buffer.alloc(MAX_CHUNK + 100, 0x55);
    expect(cuts(flat, 1 << 20)).toEqual(referenceCuts(flat));
  });

  it('for streams cuts where its formula says, however the content arrives', () => {
    const random = Buffer.concat(Array.from({ length: 160_000 }, (_, i) => createHash('sha256').update(`stream${i}`).digest()));
    const content = Buffer.concat([random, Buffer.alloc(1_500_000), Buffer.from('abc'.repeat(3_000_000))]);
    const expected = referenceGearCuts(content);
    expect(expected.length).toBeGreaterThan(3);
    expect(cuts(content, 1 << 20, createStreamChunker)).toEqual(expected);
    expect(cuts(content, 333_333, createStreamChunker)).toEqual(expected);
  });

  it('leaves content below the least length whole', () => {
    expect(cuts(randomBytes(MIN_CHUNK - 1), 1 << 20)).toEqual([MIN_CHUNK - 1]);
  });
});

describe('polynomials', () => {
  it('that are drawn are irreducible and of degree 53', () => {
    const polynomial = randomPolynomial();
    expect(degree(polynomial)).toBe(53);
    expect(isIrreducible(polynomial)).toBe(true);
  });

  it('that have a factor are recognised', () => {
    expect(isIrreducible(POLYNOMIAL)).toBe(true);
    // x^53 + x is divisible by x.
    expect(isIrreducible((1n << 53n) | 2n)).toBe(false);
  });
});
