import { expect, test } from 'vitest';
import { headBytes, incrementOf, overlay, readHead, wholeBlocks } from './increment.ts';

const BLOCK = 16;
const block = (letter: string): Buffer => Buffer.alloc(BLOCK, letter);
const file = (letters: string): Buffer => Buffer.concat(letters.split('').map((letter) => block(letter === '.' ? '\0' : letter)));

/** As a server writes it. */
function increment(truncation: number, blocks: Readonly<Record<number, string>>): Buffer {
  const numbers = Object.keys(blocks).map(Number);
  const head = Buffer.alloc(numbers.length === 0 ? 12 : Math.ceil((12 + 4 * numbers.length) / BLOCK) * BLOCK);
  [0xd3ae1f0d, numbers.length, truncation, ...numbers].forEach((number, i) => head.writeUInt32LE(number, 4 * i));
  return Buffer.concat([head, ...Object.values(blocks).map(block)]);
}

/** Pieces that fit nothing. */
async function* cut(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function combined(given: Buffer, before: string): Promise<string> {
  const start = headBytes(given, BLOCK) ?? 0;
  const head = readHead(given);
  const written: Buffer[] = [];
  await overlay(head, cut(given.subarray(start), 7), cut(file(before), 11), BLOCK, (bytes) => void written.push(Buffer.from(bytes)));
  const all = Buffer.concat(written);
  expect(all).toHaveLength(wholeBlocks(head) * BLOCK);
  return Array.from({ length: all.length / BLOCK }, (_, i) => all.toString('latin1', i * BLOCK, i * BLOCK + 1).replace('\0', '.')).join('');
}

test.each([
  ['blocks in their places', 5, { 1: 'x', 3: 'y' }, 'abcde', 'axcye'],
  ['no block at all', 3, {}, 'abc', 'abc'],
  ['the first and the last', 3, { 0: 'x', 2: 'z' }, 'abc', 'xbz'],
  ['a file that has grown', 2, { 2: 'x', 3: 'y' }, 'ab', 'abxy'],
  ['a file that has grown over blocks that were never written', 2, { 4: 'x' }, 'ab', 'ab..x'],
  ['a file that was cut', 2, {}, 'abcd', 'ab'],
  ['a file that was cut, then grew: what stood there before is gone', 2, { 4: 'x' }, 'abcdef', 'ab..x'],
  ['a file that was emptied, then grew', 0, { 0: 'x', 1: 'y' }, 'abc', 'xy'],
  ['a file that was shorter than is said', 4, { 3: 'x' }, 'ab', 'ab.x'],
  ['every block', 2, { 0: 'x', 1: 'y' }, 'ab', 'xy'],
])('an increment is laid over the earlier file: %s', async (_, truncation, blocks, before, after) => {
  expect(await combined(increment(truncation, blocks), before)).toBe(after);
});

test('an increment that is cut short, or too long, is refused', async () => {
  const whole = increment(3, { 0: 'x', 2: 'z' });
  await expect(combined(whole.subarray(0, -1), 'abc')).rejects.toThrow('fewer blocks');
  await expect(combined(Buffer.concat([whole, block('w')]), 'abc')).rejects.toThrow('more blocks');
});

test('what is no increment is refused', () => {
  expect(headBytes(Buffer.alloc(11), BLOCK)).toBeUndefined();
  expect(() => headBytes(Buffer.alloc(12), BLOCK)).toThrow('does not begin like one');
  const disordered = increment(3, { 0: 'x', 2: 'z' });
  disordered.writeUInt32LE(7, 12);
  expect(() => readHead(disordered)).toThrow('out of order');
  const huge = increment(3, {});
  huge.writeUInt32LE(0xffffffff, 4);
  expect(() => headBytes(huge, BLOCK)).toThrow('4294967295 blocks');
});

test('only the name in its folder tells an increment', () => {
  expect(incrementOf('base/5/INCREMENTAL.16384.1')).toBe('base/5/16384.1');
  expect(incrementOf('base/INCREMENTAL.5/16384')).toBeUndefined();
  expect(incrementOf('base/5/INCREMENTAL.')).toBeUndefined();
});

test('the earlier file is let go of when no more of it is needed', async () => {
  let released = false;
  async function* before(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield await Promise.resolve(block('a'));
    } finally {
      released = true;
    }
  }
  await overlay({ blocks: [], truncation: 2 }, cut(Buffer.alloc(0), 1), before(), BLOCK, () => undefined);
  expect(released).toBe(true);
});
