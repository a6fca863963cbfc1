import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CopyRows } from './copy-rows.ts';

const sumOf = (text: string | Uint8Array): string => {
  const rows = new CopyRows();
  rows.begin();
  rows.text(Buffer.from(text));
  return rows.fingerprint()?.sum ?? 'unfinished';
};

test('the sum of one row is its XXH64 with seed 0, as published', () => {
  expect(sumOf('\n')).toBe('0000000000000000ef46db3751d8e999');
  expect(sumOf('a\n')).toBe('0000000000000000d24ec4f1a98c6e5b');
  expect(sumOf('abc\n')).toBe('000000000000000044bc2cf5ad770999');
  expect(sumOf('Nobody inspects the spammish repetition\n')).toBe('0000000000000000fbcea83c8a378bf1');
});

test('sums carry into the upper half, and the order of rows does not matter', () => {
  expect(sumOf('\n\n')).toBe((0xef46db3751d8e999n * 2n).toString(16).padStart(32, '0'));
  expect(sumOf('a\nb\nccc\n')).toBe(sumOf('ccc\na\nb\n'));
});

test('a row that no newline ends is not counted as whole', () => {
  expect(sumOf('a\nb')).toBe('unfinished');
});

const framed = (payload: Uint8Array): Buffer => {
  const head = Buffer.alloc(5);
  head[0] = 0x64;
  head.writeInt32BE(4 + payload.length, 1);
  return Buffer.concat([head, payload]);
};

test('frames cut anywhere give the payload and the fingerprint of the whole', () => {
  const rows = new CopyRows();
  const line = fc.stringMatching(/^[^\n]{0,90}$/).map((text) => `${text}\n`);
  fc.assert(
    fc.property(fc.array(fc.array(line, { maxLength: 3 }), { maxLength: 20 }), fc.array(fc.nat(60), { minLength: 1 }), (frames, cuts) => {
      const text = frames.flat().join('');
      const stream = Buffer.concat(frames.map((lines) => framed(Buffer.from(lines.join('')))));
      rows.begin();
      const got: Uint8Array[] = [];
      let carry: Uint8Array = new Uint8Array();
      for (let at = 0, turn = 0; at < stream.length; turn++) {
        const piece = stream.subarray(at, at + 1 + (cuts[turn % cuts.length] ?? 0));
        at += piece.length;
        rows.input.set(piece);
        const { payload, consumed } = rows.strip(piece.length, carry);
        got.push(payload.slice());
        carry = Buffer.concat([carry, piece]).subarray(consumed);
      }
      expect(Buffer.concat(got).toString()).toBe(text);
      expect(rows.fingerprint()?.sum).toBe(sumOf(text));
    }),
  );
});
