import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromText } from '../../base/raw-name.ts';
import { encodeDocument } from './documents.ts';
import { goName, parseGoName } from './go-json.ts';
import { modeText, permissionsOf, toGoMode } from './go-mode.ts';
import { formatTime, parseTime } from './go-time.ts';

describe('names', () => {
  it('are quoted as restic quotes them', () => {
    expect(goName('plain.txt')).toBe('"plain.txt"');
    // Seen in a repository of restic 0.14.
    expect(goName('we"ird\\name<&>.txt')).toBe(String.raw`"we\\\"ird\\\\name\u003c\u0026\u003e.txt"`);
    expect(goName(fromText('Größe'))).toBe('"Größe"');
    expect(goName('\xff')).toBe(String.raw`"\\xff"`);
    expect(goName('a\nb')).toBe(String.raw`"a\\nb"`);
    expect(goName(fromText('\u200b'))).toBe(String.raw`"\\u200b"`);
    // A character that is not assigned: eight digits after a capital U.
    expect(goName(fromText('\u{101c0}'))).toBe(String.raw`"\\U000101c0"`);
  });

  it('of any bytes come back as they were', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const name = Buffer.from(bytes).toString('latin1');
        expect(parseGoName(JSON.parse(goName(name)) as string)).toBe(name);
      }),
    );
  });

  it('of any text come back as they were', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(parseGoName(JSON.parse(goName(fromText(text))) as string)).toBe(fromText(text));
      }),
    );
  });
});

describe('times', () => {
  it('keep every nanosecond, before 1970 too', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 18n), max: 10n ** 19n }), (ns) => {
        expect(parseTime(formatTime(ns))).toBe(ns);
      }),
    );
  });

  it('drop zeros at the end, as Go does', () => {
    expect(formatTime(1_500_000_000n)).toMatch(/:01\.5(Z|[+-])/);
    expect(formatTime(2_000_000_000n)).toMatch(/:02(Z|[+-])/);
  });

  it('that are none are refused', () => {
    expect(() => parseTime('yesterday')).toThrow("'yesterday' is not a time");
  });
});

describe('modes', () => {
  it('become those of Go', () => {
    expect(toGoMode(0o040755)).toBe(2147484141);
    expect(toGoMode(0o120777)).toBe(134218239);
    expect(toGoMode(0o100644)).toBe(420);
  });

  it('keep setuid, setgid and sticky', () => {
    for (const mode of [0o4755, 0o2755, 0o1777, 0o7000]) expect(permissionsOf(toGoMode(0o100000 | mode))).toBe(mode);
    expect(modeText('dir', toGoMode(0o041777))).toBe('drwxrwxrwt');
    expect(modeText('file', toGoMode(0o104644))).toBe('-rwSr--r--');
  });
});

describe('documents', () => {
  it('escape what Go escapes and leave out what is not there', () => {
    expect(encodeDocument({ a: '<&>', b: undefined, c: [1, 'x'], d: null })).toBe(String.raw`{"a":"\u003c\u0026\u003e","c":[1,"x"],"d":null}`);
  });
});
