import { expect, test } from 'vitest';
import { judgeSlot, type SlotFacts } from './wal-slot.ts';

const facts: SlotFacts = { slot: 'holdfast_db', keptBytes: 0, limitBytes: 4e9, status: 'reserved', serverLimitBytes: undefined };
const level = (more: Partial<SlotFacts>): string => judgeSlot({ ...facts, ...more }).level;

test('a slot is warned of at half and at four fifths of its limit, and given up at the limit', () => {
  expect([1.9e9, 2e9, 3.2e9, 3.99e9, 4e9].map((keptBytes) => level({ keptBytes }))).toEqual(['well', 'half', 'most', 'most', 'too-much']);
});

test('a lower limit of the server counts for warnings, and the server itself ends the slot', () => {
  expect([0.4e9, 0.5e9, 0.8e9, 1.5e9].map((keptBytes) => level({ keptBytes, serverLimitBytes: 1e9 }))).toEqual(['well', 'half', 'most', 'most']);
  expect(judgeSlot({ ...facts, keptBytes: 0.9e9, serverLimitBytes: 1e9 }).sentence).toContain('max_slot_wal_keep_size');
  expect(level({ status: 'lost' })).toBe('lost');
});
