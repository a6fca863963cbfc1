import { expect, test } from 'vitest';
import { formatLsn, historyName, parseHistoryName, parseLsn, parseSegmentName, segmentName, segmentStart } from './lsn.ts';

const MIB = 1 << 20;

test('a position is read and written as the server does', () => {
  expect(parseLsn('16/B374D848')).toBe(0x16_b374_d848n);
  expect(formatLsn(0x16_b374_d848n)).toBe('16/B374D848');
  expect(formatLsn(0n)).toBe('0/0');
  expect(formatLsn(0xffff_ffff_ffff_ffffn)).toBe('FFFFFFFF/FFFFFFFF');
  for (const text of ['', '16', '16/', '1/123456789', 'x/1', '16/B374D848 ']) expect(parseLsn(text)).toBeUndefined();
});

test('a segment is named by its timeline and number, whatever its size', () => {
  expect(segmentName(1, 0x16_b374_d848n, 16 * MIB)).toBe('0000000100000016000000B3');
  expect(segmentName(0x1f, 0x1_0000_0000n, 16 * MIB)).toBe('0000001F0000000100000000');
  expect(segmentName(1, 0x16_b374_d848n, 64 * MIB)).toBe('00000001000000160000002C');
  expect(segmentName(1, 0x16_b374_d848n, 1024 * MIB)).toBe('000000010000001600000002');
  for (const size of [1, 16, 64, 1024]) {
    const start = segmentStart(0x16_b374_d848n, size * MIB);
    expect(parseSegmentName(segmentName(7, 0x16_b374_d848n, size * MIB), size * MIB)).toEqual({ timeline: 7, start, partial: false });
  }
});

test('the names of other files are told apart', () => {
  expect(parseSegmentName('0000000100000016000000B3.partial', 16 * MIB)).toEqual({ timeline: 1, start: 0x16_b300_0000n, partial: true });
  for (const name of ['00000002.history', '0000000100000016000000B3.00000028.backup', 'x', '0000000100000016000000B']) expect(parseSegmentName(name, 16 * MIB)).toBeUndefined();
  expect(historyName(0x1a)).toBe('0000001A.history');
  expect(parseHistoryName('0000001A.history')).toBe(26);
  expect(parseHistoryName('0000000100000016000000B3')).toBeUndefined();
});
