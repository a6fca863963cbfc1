import { expect, test } from 'vitest';
import { retainWal, type BaseFacts, type WalFacts } from './wal-retention.ts';

const wal = (id: string, until: bigint | undefined, more: Partial<WalFacts> = {}): WalFacts => ({ id, time: new Date(1000), systemId: '7', until, replaced: false, ...more });
const base = (id: string, from: bigint, more: Partial<BaseFacts> = {}): BaseFacts => ({ id, time: new Date(500), needs: { systemId: '7', from }, ...more });
const kept = (snapshots: readonly WalFacts[], bases: readonly BaseFacts[]): readonly string[] => retainWal(snapshots, bases).filter(({ keep }) => keep).map(({ id }) => id);

test('log is kept from where the oldest kept base begins, whatever its age', () => {
  expect(kept([wal('a', 100n), wal('b', 200n), wal('c', 201n), wal('d', 900n)], [base('x', 500n), base('y', 200n)])).toEqual(['c', 'd']);
});

test('the newest log stays even when no base needs it, since following goes on there', () => {
  expect(kept([wal('a', 100n), wal('b', 150n, { time: new Date(2000) })], [base('x', 500n)])).toEqual(['b']);
});

test('without a base nothing goes, nor when one cannot be understood', () => {
  expect(kept([wal('a', 100n)], [])).toEqual(['a']);
  expect(kept([wal('a', 100n)], [base('x', 500n), { id: 'y', time: new Date(0), needs: undefined }])).toEqual(['a']);
});

test('what a newer snapshot of its window holds goes', () => {
  expect(kept([wal('a', 900n, { replaced: true }), wal('b', 900n)], [base('x', 500n)])).toEqual(['b']);
});

test('log of another server is kept while a base of it may still come, and goes when the bases are newer', () => {
  const other = { systemId: '8' };
  expect(kept([wal('old', 900n, { ...other, time: new Date(100) }), wal('new', 10n, { ...other, time: new Date(2000) }), wal('newest', 900n, { time: new Date(3000) })], [base('x', 500n)])).toEqual(['new', 'newest']);
});

test('every decision has a reason', () => {
  for (const { reasons } of retainWal([wal('a', 1n), wal('b', undefined), wal('c', 900n)], [base('x', 500n)])) expect(reasons.join()).not.toBe('');
});
