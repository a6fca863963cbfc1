import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../repository/repository.ts';
import { parseMoment, selectSnapshot } from './select.ts';

const snapshot = (id: string, time: string, store: string, stack = 's'): Snapshot => ({ id: id.padEnd(64, '0'), time, tree: '', paths: [], tags: [`stack:${stack}`, `store:${store}`] });

const all = [
  snapshot('aa1', '2026-11-01T00:00:00Z', 'db'),
  snapshot('aa2', '2026-11-02T00:00:00Z', 'db', 'other'),
  snapshot('bb1', '2026-11-03T00:00:00Z', 'db'),
  snapshot('cc1', '2026-11-04T00:00:00Z', 'logs'),
];

describe('a snapshot is chosen', () => {
  const chosen = (selection: Partial<Parameters<typeof selectSnapshot>[1]>): string => selectSnapshot(all, { stack: 's', store: 'db', ...selection }).id.slice(0, 3);

  it('as the newest of its store in its stack, whatever else is newer', () => {
    expect(chosen({})).toBe('bb1');
    expect(chosen({ snapshot: 'latest' })).toBe('bb1');
  });

  it('as the newest not after a moment', () => {
    expect(chosen({ at: new Date('2026-11-02T12:00:00Z') })).toBe('aa1');
    expect(() => chosen({ at: new Date('2026-10-01T00:00:00Z') })).toThrow('the oldest snapshot of db is of 2026-11-01T00:00:00Z');
  });

  it('by the beginning of its id, when that is of one only', () => {
    expect(chosen({ snapshot: 'cc' })).toBe('cc1');
    expect(() => chosen({ snapshot: 'aa' })).toThrow("2 snapshots have an id that begins with 'aa'");
    expect(() => chosen({ snapshot: 'zz' })).toThrow("no snapshot has an id that begins with 'zz'");
  });

  it('and a store without any is named', () => {
    expect(() => chosen({ store: 'none' })).toThrow('there is no snapshot of none in this repository');
  });
});

describe('a moment', () => {
  it('is understood as people write it', () => {
    expect(parseMoment('2026-11-20T13:30:00Z').toISOString()).toBe('2026-11-20T13:30:00.000Z');
    expect(parseMoment('2026-11-20 14:30')).toEqual(new Date(2026, 10, 20, 14, 30));
    expect(parseMoment('2026-11-20')).toEqual(new Date(2026, 10, 20, 23, 59, 59));
  });

  it('that is none is refused with the way to write one', () => {
    expect(() => parseMoment('yesterday')).toThrow("'yesterday' is no time");
  });
});
