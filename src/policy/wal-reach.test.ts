import { expect, test } from 'vitest';
import { formatLsn } from '../client/postgres/replication/lsn.ts';
import { mapWal, type WalMap } from './wal-map.ts';
import { reachOf, type BasePoint } from './wal-reach.ts';

const SEGMENT = 0x100_0000n;
const base: BasePoint = { id: 'base', time: new Date(0), systemId: '7', timeline: 1, start: 3n * SEGMENT, end: 3n * SEGMENT + 256n };

function mapOf(...segments: readonly (readonly [timeline: number, number: bigint, bytes?: bigint])[]): WalMap {
  const manifest = {
    format: 1 as const, store: 'db', systemId: '7', server: '15', segmentBytes: Number(SEGMENT), histories: [], coverage: [],
    segments: segments.map(([timeline, number, bytes = SEGMENT]) => ({ file: `${timeline} ${number}`, timeline, start: formatLsn(number * SEGMENT), end: formatLsn(number * SEGMENT + bytes), sha256: '', ended: { count: 1, firstUs: '5', lastUs: '5', minUs: '5', maxUs: String(number) } })),
  };
  const map = mapWal([{ snapshot: 's', manifest, covered: undefined }]).get('7');
  if (!map) throw new Error('no map');
  return map;
}

test('a base reaches to the first hole', () => {
  const map = mapOf([1, 3n], [1, 4n], [1, 6n]);
  expect(reachOf(map, new Map(), base)).toMatchObject({ timelines: [1], until: 5n * SEGMENT, untilUs: 4n });
});

test('a base reaches over the end of its timeline when the next one begins where the log is', () => {
  const map = mapOf([1, 3n], [1, 4n, 100n], [2, 4n], [2, 5n]);
  const histories = new Map([[2, [{ timeline: 1, switchAt: 4n * SEGMENT + 100n, reason: '' }]]]);
  expect(reachOf(map, histories, base)).toMatchObject({ timelines: [1, 2], until: 6n * SEGMENT, untilUs: 5n });
  expect(reachOf(mapOf([1, 3n], [2, 5n]), histories, base)).toMatchObject({ timelines: [1], until: 4n * SEGMENT });
});

test('a base whose own log is not stored reaches nowhere', () => {
  expect(reachOf(mapOf([1, 4n]), new Map(), base).until).toBeUndefined();
  expect(reachOf(mapOf([1, 3n, 100n]), new Map(), base).until).toBeUndefined();
  expect(reachOf(mapOf([1, 3n]), new Map(), { ...base, systemId: '8' }).until).toBeUndefined();
});
