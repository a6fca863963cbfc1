import { expect, test } from 'vitest';
import { formatLsn } from '../client/postgres/replication/lsn.ts';
import type { WalManifest, WalSegment } from '../source/cluster/wal-archive.ts';
import { mapWal, parseHistory, rangesOf, type WalSource } from './wal-map.ts';

const SEGMENT = 0x100_0000;

function segment(timeline: number, number: number, bytes = SEGMENT, sha256 = `${timeline}-${number}-${bytes}`): WalSegment {
  const start = BigInt(number) * BigInt(SEGMENT);
  return { file: `${number}${bytes === SEGMENT ? '' : '.partial'}`, timeline, start: formatLsn(start), end: formatLsn(start + BigInt(bytes)), sha256 };
}

function source(snapshot: string, segments: readonly WalSegment[], more: Partial<WalManifest> = {}, covered?: WalSource['covered']): WalSource {
  const manifest: WalManifest = { format: 1, store: 'db', systemId: '7', server: '15.1', segmentBytes: SEGMENT, segments: [...segments], histories: [], coverage: [], ...more };
  return { snapshot, manifest, covered };
}

test('snapshots become one list in which each segment stands once, whole rather than partial', () => {
  const map = mapWal([source('a', [segment(1, 3), segment(1, 4, 100)]), source('b', [segment(1, 4), segment(1, 5, 50)]), source('c', [segment(1, 5, 20)])]).get('7');
  expect(map?.segments.map(({ file, snapshot, whole }) => [file, snapshot, whole])).toEqual([['3', 'a', true], ['4', 'b', true], ['5.partial', 'b', false]]);
  expect(map?.conflicts).toEqual([]);
});

test('where log is missing a new range begins', () => {
  const map = mapWal([source('a', [segment(1, 3), segment(1, 4), segment(1, 6, 16), segment(2, 6)])]).get('7');
  const ranges = map ? rangesOf(map) : [];
  expect(ranges.map(({ timeline, start, end }) => `${timeline} ${formatLsn(start)}-${formatLsn(end)}`)).toEqual(['1 0/3000000-0/5000000', '1 0/6000000-0/6000010', '2 0/6000000-0/7000000']);
});

test('a range knows its first and last transaction by time, and up to when it is complete', () => {
  const ended = { count: 2, firstUs: '20', lastUs: '10', minUs: '10', maxUs: '20' };
  const coverage = [{ timeline: 1, lsn: '0/3000010', atUs: '30' }, { timeline: 1, lsn: '0/9000000', atUs: '90' }];
  const map = mapWal([source('a', [{ ...segment(1, 3), ended }, segment(1, 4)], { coverage }, { timeline: 1, lsn: '0/5000000', atUs: '40' })]).get('7');
  const [range] = map ? rangesOf(map) : [];
  expect(range).toMatchObject({ transactions: 2, firstUs: 10n, lastUs: 20n, coveredUs: 40n });
});

test('log of another cluster is kept apart, and two contents of one segment are told', () => {
  const maps = mapWal([source('a', [segment(1, 3)]), source('b', [segment(1, 3, SEGMENT, 'other')]), source('c', [segment(1, 3)], { systemId: '8' })]);
  expect([...maps.keys()]).toEqual(['7', '8']);
  expect(maps.get('7')?.conflicts.map(({ snapshot }) => snapshot)).toEqual(['b']);
  expect(maps.get('8')?.conflicts).toEqual([]);
});

test('a history says where each timeline was left', () => {
  expect(parseHistory('1\t0/5000148\tno recovery target specified\n\n2\t0/60000A0\tbefore 2026\n')).toEqual([
    { timeline: 1, switchAt: 0x500_0148n, reason: 'no recovery target specified' },
    { timeline: 2, switchAt: 0x600_00a0n, reason: 'before 2026' },
  ]);
});
