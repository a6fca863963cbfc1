import { expect, test } from 'vitest';
import type { TransactionEnd } from '../../client/postgres/replication/wal-transaction.ts';
import type { RecoveryStop, RecoveryTarget } from '../../policy/recovery-target.ts';
import { judgeLog } from './recovered-server.ts';

const at = (second: number): bigint => BigInt(Date.UTC(2026, 10, 20, 13, 3, second)) * 1000n + 998_200n;
const end = (xid: number, second: number): TransactionEnd => ({ kind: 'commit', prepared: false, xid, lsn: BigInt(xid), end: BigInt(xid) + 8n, timeUs: at(second) });

const ENDS = { last: end(740, 6), next: end(741, 8) };

function target(stop: RecoveryStop, { last, next }: Partial<typeof ENDS> = ENDS): RecoveryTarget {
  return { base: { snapshot: 'a', timeline: 1, start: 100n, end: 200n, endedUs: at(0) }, timeline: 1, regions: [], stop, last, next, notes: [] };
}

/** As servers 12 to 18 write it. */
const LAST = '2026-11-20 13:03:07.100 UTC [17] LOG:  last completed transaction was at log time 2026-11-20 13:03:06.9982+00\n';
const BEFORE = '2026-11-20 13:03:07.000 UTC [17] LOG:  recovery stopping before commit of transaction 741, time 2026-11-20 13:03:08.9982+00\n';
const verdict = (log: string, planned: RecoveryTarget): boolean => judgeLog(log, planned).every(({ equal }) => equal);

test('a recovery that stops where it was planned is believed', () => {
  expect(verdict(BEFORE + LAST, target({ kind: 'time', us: at(7) }))).toBe(true);
  expect(verdict(`LOG:  recovery stopping after commit of transaction 740, time x\n${LAST}`, target({ kind: 'xid', xid: 740 }))).toBe(true);
  expect(verdict(`LOG:  recovery stopping after WAL location (LSN) "0/3000148"\n${LAST}`, target({ kind: 'lsn', lsn: 0x3000148n, inclusive: true }))).toBe(true);
  expect(verdict(LAST, target({ kind: 'end' }, { last: end(740, 6) }))).toBe(true);
  // Nothing was replayed that ended a transaction.
  expect(verdict('', target({ kind: 'end' }, {}))).toBe(true);
  expect(verdict('', target({ kind: 'end' }, { last: end(50, 6) }))).toBe(true);
});

test('one that stops elsewhere is not', () => {
  const byTime = target({ kind: 'time', us: at(7) });
  expect(verdict(LAST, byTime)).toBe(false);
  expect(verdict(BEFORE.replace('741', '742') + LAST, byTime)).toBe(false);
  expect(verdict(BEFORE.replace('before', 'after') + LAST, byTime)).toBe(false);
  expect(verdict(BEFORE + LAST.replace('06.9982', '06.9983'), byTime)).toBe(false);
  expect(verdict(BEFORE, byTime)).toBe(false);
  expect(verdict(BEFORE + LAST, target({ kind: 'end' }))).toBe(false);
  expect(verdict(BEFORE + LAST, target({ kind: 'xid', xid: 740 }))).toBe(false);
  expect(verdict(LAST, target({ kind: 'lsn', lsn: 1n, inclusive: true }))).toBe(false);
  expect(verdict(LAST, target({ kind: 'end' }, {}))).toBe(false);
});
