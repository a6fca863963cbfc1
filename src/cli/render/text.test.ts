import { describe, expect, it } from 'vitest';
import { formatBytes, formatCount, formatSeconds, plural, printable, table } from './text.ts';

describe('numbers', () => {
  it('of bytes have the unit that keeps them short', () => {
    expect([0, 999, 1000, 1500, 99_949, 99_950, 999_499, 999_500, 1.2e9, 3e15].map(formatBytes)).toEqual(['0 B', '999 B', '1.0 KB', '1.5 KB', '99.9 KB', '100 KB', '999 KB', '1.0 MB', '1.2 GB', '3.0 PB']);
  });

  it('of things are grouped by thousands and counted in words', () => {
    expect(formatCount(1234567)).toBe('1,234,567');
    expect([plural(1, 'file'), plural(1200, 'file')]).toEqual(['1 file', '1,200 files']);
  });

  it('of seconds become minutes when they are many', () => {
    expect([0.04, 9.94, 9.96, 119, 185].map(formatSeconds)).toEqual(['0.0 s', '9.9 s', '10 s', '119 s', '3 min 05 s']);
  });
});

describe('names', () => {
  it('cannot drive the terminal', () => {
    expect(printable('a\x1b[31mb\nc\x9b')).toBe('a\ufffd[31mb\ufffdc\ufffd');
  });
});

describe('a table', () => {
  it('is as wide as its widest cells, without trailing blanks', () => {
    expect(table([{ title: 'a' }, { title: 'size', align: 'right' }, { title: 'c' }], [['long', '1', ''], ['x', '12345', 'y']])).toEqual(['a      size  c', 'long      1', 'x     12345  y']);
  });
});
