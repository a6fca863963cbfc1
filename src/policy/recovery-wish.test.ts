import { expect, test } from 'vitest';
import { describeWish, formatInstant, parseWish } from './recovery-wish.ts';

const us = (text: string): bigint => {
  const wish = parseWish(text);
  return wish.kind === 'time' ? wish.us : 0n;
};
const utc = (text: string, more = 0n): bigint => BigInt(Date.parse(text)) * 1000n + more;

test('times are read as people write them, to the microsecond', () => {
  expect(us('2026-11-20 14:03:07+01')).toBe(utc('2026-11-20T13:03:07Z'));
  expect(us('2026-11-20T14:03:07.123456+01:00')).toBe(utc('2026-11-20T13:03:07Z', 123_456n));
  expect(us('2026-11-20 14:03:07.5-0330')).toBe(utc('2026-11-20T17:33:07Z', 500_000n));
  expect(us('2026-11-20 14:03:07,25 UTC')).toBe(utc('2026-11-20T14:03:07Z', 250_000n));
  expect(us('2026-11-20T14:03Z')).toBe(utc('2026-11-20T14:03:00Z'));
  expect(us(' time: 2026-11-20 14:03:07Z ')).toBe(utc('2026-11-20T14:03:07Z'));
});

test('without a zone it is local time, and a day alone is its end', () => {
  const local = (...parts: [number, number, number, number, number, number]): bigint => BigInt(new Date(...parts).getTime()) * 1000n;
  expect(us('2026-11-20 14:03:07.000001')).toBe(local(2026, 10, 20, 14, 3, 7) + 1n);
  expect(us('2026-07-20')).toBe(local(2026, 6, 20, 23, 59, 59) + 999_999n);
});

test('what is printed is read back as the same moment', () => {
  for (const moment of [utc('2026-11-20T13:03:07Z', 6998n), utc('2026-07-20T13:03:07Z'), utc('1999-12-31T23:59:59Z', 999_999n)]) expect(us(formatInstant(moment))).toBe(moment);
  expect(formatInstant(utc('2026-11-20T13:03:06Z', 998_210n))).toMatch(/^2026-11-\d\d \d\d:\d\d:06\.99821[+-]\d\d/);
});

test('positions, transactions, names and the latest moment', () => {
  expect(parseWish('lsn:16/B374D848')).toEqual({ kind: 'lsn', lsn: 0x16_b374_d848n });
  expect(parseWish('xid:1234')).toEqual({ kind: 'xid', xid: 1234 });
  // As pg_current_xact_id() gives it after the numbers went round twice.
  expect(parseWish(`xid:${2n * 2n ** 32n + 1234n}`)).toEqual({ kind: 'xid', xid: 1234 });
  expect(parseWish('name:before the migration')).toEqual({ kind: 'name', name: 'before the migration' });
  expect(parseWish('latest')).toEqual({ kind: 'latest' });
  expect(describeWish(parseWish('lsn:16/B374D848'))).toBe('position 16/B374D848 of the write-ahead log');
});

test('what cannot be understood is refused with the forms that can', () => {
  for (const text of ['', 'yesterday', '2026-02-30 10:00', '2026-11-20 25:00', '2026-11-20 14:03:07 CET', '14:03', 'lsn:16', 'lsn:x/1', 'xid:-1', 'xid:2', 'xid:abc', 'name:', '2026-11-20 14:03:07+99']) {
    expect(() => parseWish(text), text).toThrow(/^'.*' is no /s);
  }
});
