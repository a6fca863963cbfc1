import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from './duration.ts';

describe('durations', () => {
  it('are read in seconds, minutes, hours and days', () => {
    expect(['90s', '15m', '1.5h', '7d'].map(parseDuration)).toEqual([90_000, 900_000, 5_400_000, 604_800_000]);
    expect(['', '1', 'h', '1w', '-1h', '1h30m'].map(parseDuration).every(Number.isNaN)).toBe(true);
  });

  it('are written so that they read the same', () => {
    expect([604_800_000, 5_400_000, 1500, 0].map(formatDuration)).toEqual(['7d', '90m', '1.5s', '0s']);
    fc.assert(fc.property(fc.nat(1e9), (ms) => parseDuration(formatDuration(ms)) === ms));
  });
});
