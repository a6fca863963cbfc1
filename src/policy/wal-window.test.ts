import { expect, test } from 'vitest';
import { superseded, windowIsFull } from './wal-window.ts';

const MIB = 1 << 20;
const DAY = 24 * 3_600_000;

test('a window is full after 64 segments, a gigabyte or a day', () => {
  expect(windowIsFull({ segments: 63, beganAtMs: 0 }, 16 * MIB, 1000)).toBe(false);
  expect(windowIsFull({ segments: 64, beganAtMs: 0 }, 16 * MIB, 1000)).toBe(true);
  expect(windowIsFull({ segments: 16, beganAtMs: 0 }, 64 * MIB, 1000)).toBe(true);
  expect(windowIsFull({ segments: 1, beganAtMs: 0 }, 1024 * MIB, 1000)).toBe(false);
  expect(windowIsFull({ segments: 1, beganAtMs: 0 }, 16 * MIB, DAY)).toBe(true);
});

test('a snapshot is replaced by one that names it as its parent in the same window', () => {
  const snapshots = [
    { id: 'a', window: 'w' }, { id: 'b', parent: 'a', window: 'w' }, { id: 'c', parent: 'b', window: 'w' },
    { id: 'd', parent: 'c', window: 'v' }, { id: 'e', window: undefined }, { id: 'f', parent: 'e', window: undefined },
  ];
  expect(superseded(snapshots).map(({ id }) => id)).toEqual(['a', 'b']);
});

test('two that were made from the same one at once stay both', () => {
  const snapshots = [{ id: 'a', window: 'w' }, { id: 'b', parent: 'a', window: 'w' }, { id: 'c', parent: 'a', window: 'w' }];
  expect(superseded(snapshots).map(({ id }) => id)).toEqual(['a']);
});
