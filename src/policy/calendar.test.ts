import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { before, formatSpan, isoWeek, momentOf, parseSpan, wallTime } from './calendar.ts';

const BERLIN = 'Europe/Berlin';
const at = (text: string): Date => new Date(text);
const span = (text: string): NonNullable<ReturnType<typeof parseSpan>> => parseSpan(text) ?? expect.unreachable(text);

describe('a span', () => {
  it('is read as restic writes it, months being m', () => {
    expect(parseSpan('1y5m7d2h')).toEqual({ years: 1, months: 5, days: 7, hours: 2 });
    expect(parseSpan('30d')).toEqual({ years: 0, months: 0, days: 30, hours: 0 });
    for (const wrong of ['', '0d', '7', '2h7d', '-1d', '1w', '1.5d']) expect(parseSpan(wrong), wrong).toBeUndefined();
    expect(formatSpan(span('1y5m7d2h'))).toBe('1y5m7d2h');
  });

  it('counts days on the calendar, also over a change of the clock', () => {
    // The clock of Berlin was set forward on the 29th of March 2026 at two.
    expect(before(at('2026-03-30T10:00:00+02:00'), span('2d'), BERLIN)).toEqual(at('2026-03-28T10:00:00+01:00'));
    expect(before(at('2026-03-30T10:00:00+02:00'), span('48h'), BERLIN)).toEqual(at('2026-03-28T09:00:00+01:00'));
    expect(before(at('2026-03-31T00:00:00Z'), span('1m'), 'UTC')).toEqual(at('2026-03-03T00:00:00Z'));
    expect(before(at('2026-03-01T00:00:00.250Z'), span('1y'), 'UTC')).toEqual(at('2025-03-01T00:00:00.250Z'));
  });

  it('that leads into the hour that a night lacks or has twice gives a moment beside it', () => {
    expect(momentOf({ ...wallTime(at('2026-03-29T00:00:00+01:00'), BERLIN), hour: 2, minute: 30 }, BERLIN)).toEqual(at('2026-03-29T00:30:00Z'));
    expect(momentOf({ ...wallTime(at('2026-10-25T00:00:00+02:00'), BERLIN), hour: 2, minute: 30 }, BERLIN)).toEqual(at('2026-10-25T02:30:00+02:00'));
  });
});

describe('a wall clock', () => {
  it('leads back to the moment, in every zone and at every time', () => {
    const zone = fc.constantFrom('UTC', BERLIN, 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', '+05:45', '-09:30');
    fc.assert(fc.property(zone, fc.integer({ min: 0, max: 4_000_000_000 }), (where, seconds) => {
      const wall = wallTime(new Date(seconds * 1000), where);
      const back = momentOf(wall, where);
      expect(wallTime(back, where)).toEqual(wall);
      // Only an hour that comes twice has an earlier moment.
      expect([0, 1_800_000, 3_600_000]).toContain(seconds * 1000 - back.getTime());
    }));
  });
});

it('weeks are those of ISO 8601', () => {
  const week = (text: string): string => isoWeek(wallTime(at(text), 'UTC'));
  expect(['2026-01-01', '2027-01-03', '2027-01-04', '2024-12-30', '2021-01-03'].map(week)).toEqual(['2026-W1', '2026-W53', '2027-W1', '2025-W1', '2020-W53']);
});
