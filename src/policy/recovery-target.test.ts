import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import type { TransactionEnd } from '../client/postgres/replication/wal-transaction.ts';
import { resolveTarget, type RecoveryTarget } from './recovery-target.ts';
import { parseWish, type RecoveryWish } from './recovery-wish.ts';
import type { BaseBackup, SegmentRecords, StoredLog } from './stored-log.ts';
import type { LogSegment } from './wal-lineage.ts';

const SEGMENT = 1000n;
const NOON = 1_795_000_000_000_000n;

interface Branch {
  readonly timeline: number;
  readonly ends: readonly TransactionEnd[];
  /** Where the stored log of the timeline ends. */
  readonly until: bigint;
  /** Where it begins; segments are whole. */
  readonly from?: bigint;
}

/** Cuts a log into files, as a follower stores them, and what a reader finds in each. */
function stored(branches: readonly Branch[], rest: Partial<StoredLog> & { readonly bases: readonly BaseBackup[] }, without: readonly bigint[] = []): { log: StoredLog; records: ReadonlyMap<string, SegmentRecords> } {
  const segments: LogSegment[] = [];
  const records = new Map<string, SegmentRecords>();
  for (const { timeline, ends, until, from = 0n } of branches) {
    for (let start = from - (from % SEGMENT); start < until; start += SEGMENT) {
      if (without.includes(start / SEGMENT)) continue;
      const end = start + SEGMENT < until ? start + SEGMENT : until;
      const own = ends.filter((record) => record.end > start && record.end <= end);
      const times = own.map(({ timeUs }) => timeUs);
      const file = `${timeline}/${start / SEGMENT}`;
      const ended = own.length === 0 ? undefined : { count: own.length, minUs: min(times), maxUs: max(times) };
      segments.push({ file, timeline, start, end, ended });
      records.set(file, { ends: own, points: [], last: own.at(-1)?.lsn });
    }
  }
  return { log: { store: 'main', segments, coverage: [], histories: [], segmentBytes: SEGMENT, ...rest }, records };
}

const min = (values: readonly bigint[]): bigint => values.reduce((least, value) => (value < least ? value : least));
const max = (values: readonly bigint[]): bigint => values.reduce((most, value) => (value > most ? value : most));

/** Gives the resolver what it asks for, as the operation does; counts the files that it read. */
function resolve(log: StoredLog, records: ReadonlyMap<string, SegmentRecords>, wish: RecoveryWish, timeline?: number): RecoveryTarget & { readonly read: number } {
  const known = new Map<string, SegmentRecords>();
  for (;;) {
    const resolution = resolveTarget({ log, wish, timeline, known });
    if (resolution.state === 'resolved') return { ...resolution.target, read: known.size };
    for (const { file } of resolution.segments) {
      expect(known.has(file)).toBe(false);
      known.set(file, records.get(file) ?? { ends: [], points: [], last: undefined });
    }
  }
}

/** What PostgreSQL does (recoveryStopsBefore and recoveryStopsAfter): the transactions that it replays, or why it fails. */
function server({ base, regions, stop }: RecoveryTarget, records: ReadonlyMap<string, SegmentRecords>): readonly TransactionEnd[] {
  const replayed: TransactionEnd[] = [];
  const given = max(regions.map(({ until }) => until));
  for (const region of regions) {
    for (const end of records.get(region.segment.file)?.ends ?? []) {
      if (end.end <= region.from || end.end > region.until || end.lsn < base.start) continue;
      if ((stop.kind === 'time' && end.timeUs > stop.us) || (stop.kind === 'lsn' && !stop.inclusive && end.lsn >= stop.lsn)) {
        if (end.lsn < base.end) throw new Error('requested recovery stop point is before consistent recovery point');
        return replayed;
      }
      replayed.push(end);
      if (stop.kind === 'xid' && end.xid === stop.xid) return replayed;
    }
  }
  if (stop.kind !== 'end') throw new Error('recovery ended before configured recovery target was reached');
  if (given < base.end) throw new Error('WAL ends before end of online backup');
  return replayed;
}

/** Between 0 and 1, evenly: numbers of type double are mostly tiny. */
const share = fc.nat(1000).map((thousandths) => thousandths / 1001);

/** Transactions whose times are not in the order of the log, quiet times between them, and backups in the middle. */
const history = fc
  .record({
    steps: fc.array(fc.record({ gap: fc.integer({ min: 8, max: 700 }), pause: fc.integer({ min: 0, max: 3000 }), jitter: fc.integer({ min: -2000, max: 0 }), commit: fc.boolean() }), { maxLength: 40, size: 'max' }),
    tail: fc.integer({ min: 0, max: 2500 }),
    backups: fc.array(fc.record({ at: share, length: fc.integer({ min: 1, max: 500 }), late: fc.integer({ min: -800, max: 1500 }) }), { minLength: 1, maxLength: 3 }),
    statements: fc.array(fc.record({ at: share, late: fc.integer({ min: 0, max: 20_000 }) }), { maxLength: 4 }),
    without: fc.option(share, { nil: undefined, freq: 1 }),
  })
  .map(({ steps, tail, backups, statements, without }) => {
    let [lsn, clock] = [100n, NOON];
    const ends = steps.map(({ gap, pause, jitter, commit }, i): TransactionEnd => {
      lsn += BigInt(gap);
      clock += BigInt(pause);
      return { kind: commit ? 'commit' : 'abort', prepared: false, lsn, end: lsn + 8n, xid: 700 + i, timeUs: clock + BigInt(jitter) };
    });
    const until = lsn + 8n + BigInt(tail);
    const clockAt = (at: bigint): bigint => max([NOON, ...ends.filter((end) => end.lsn < at).map(({ timeUs }) => timeUs)]);
    const along = (at: number): bigint => BigInt(Math.floor(Number(until) * at));
    const bases = backups.map(({ at, length, late }, i): BaseBackup => {
      // Replay begins at a record, never within one.
      const start = ends.find((end) => end.lsn < along(at / 2) && along(at / 2) < end.end)?.end ?? along(at / 2);
      const end = start + BigInt(length);
      return { snapshot: String(i), timeline: 1, start, end, endedUs: clockAt(end) + BigInt(late) };
    });
    const coverage = statements.map(({ at, late }) => ({ timeline: 1, lsn: along(at), atUs: clockAt(along(at)) + BigInt(late) }));
    return { ...stored([{ timeline: 1, ends, until }], { bases, coverage }, without === undefined ? [] : [along(without) / SEGMENT]), ends };
  });

test('whatever the times, the server reaches the target, and holds exactly the transactions that were announced', () => {
  fc.assert(
    fc.property(history, share, fc.constantFrom(0n, 0n, -1n, 1n, 700n), ({ log, records, ends }, which, offset) => {
      // Where it is decided: at the times that something has, and a microsecond beside.
      const times = [NOON, ...ends.map(({ timeUs }) => timeUs), ...log.bases.map(({ endedUs }) => endedUs), ...log.coverage.map(({ atUs }) => atUs)];
      const us = (times[Math.floor(which * times.length)] ?? NOON) + offset;
      let target;
      try {
        target = resolve(log, records, { kind: 'time', us });
      } catch (error) {
        return refusalIsRight(error, log, records);
      }
      const { base, last, next, regions } = target;
      const replayed = server(target, records);
      const bound = replayed.at(-1)?.lsn ?? base.start;
      const reached = max(regions.map(({ until }) => until));
      const following = ends.find((end) => end.lsn > bound && end.lsn >= base.start && end.end <= reached);
      expect(base.endedUs <= us).toBe(true);
      expect(replayed.filter((end) => end.lsn >= base.end && end.timeUs > us)).toEqual([]);
      expect(replayed).toEqual(ends.filter((end) => end.lsn >= base.start && end.lsn <= bound));
      if (following !== undefined) expect(following.timeUs > us).toBe(true);
      expect(next).toEqual(following);
      if (last !== undefined || replayed.length > 0) expect(last?.lsn).toBe(replayed.at(-1)?.lsn ?? last?.lsn);
      // The newest backup that will do: the least to replay.
      for (const other of log.bases.filter(({ end }) => end > base.end)) expect(() => resolve({ ...log, bases: [other] }, records, { kind: 'time', us })).toThrow();
    }),
    { numRuns: 3000 },
  );
});

/** A refusal has a code for it, and the moments that it offers can be reached. */
function refusalIsRight(error: unknown, log: StoredLog, records: ReadonlyMap<string, SegmentRecords>): void {
  if (!(error instanceof HoldfastError)) throw error;
  expect(['moment-uncovered', 'wal-gap']).toContain(error.code);
  for (const [, offered = ''] of (error.hint ?? '').matchAll(/--at '([^']+)'/g)) {
    const target = resolve(log, records, parseWish(offered));
    server(target, records);
  }
}

test('every position in the log, and the end of every transaction, is reached in the same way', () => {
  fc.assert(
    fc.property(history, share, fc.constantFrom('xid', 'record', 'anywhere'), ({ log, records, ends }, at, by) => {
      const reached = max([1n, ...log.segments.map(({ end }) => end)]);
      const chosen = ends[Math.floor(at * ends.length)];
      const lsn = by === 'record' && chosen !== undefined ? chosen.lsn : BigInt(Math.floor(Number(reached) * at));
      const wish: RecoveryWish = by === 'xid' && chosen !== undefined ? { kind: 'xid', xid: chosen.xid } : { kind: 'lsn', lsn };
      let target;
      try {
        target = resolve(log, records, wish);
      } catch (error) {
        return refusalIsRight(error, log, records);
      }
      const bound = wish.kind === 'xid' ? (chosen?.lsn ?? 0n) : lsn;
      expect(server(target, records)).toEqual(ends.filter((end) => end.lsn >= target.base.start && end.lsn <= bound));
      expect(target.last?.lsn).toBe(ends.findLast((end) => end.end > target.base.start - (target.base.start % SEGMENT) && end.lsn <= bound)?.lsn);
    }),
    { numRuns: 2000 },
  );
});

/** Timeline 1 is left at 2500, in the middle of its third file; its server went on alone to 4200. Timeline 2 goes on from there to 5600. */
function failover(without: readonly bigint[] = []): { log: StoredLog; records: ReadonlyMap<string, SegmentRecords> } {
  const end = (lsn: bigint, xid: number, ms: bigint): TransactionEnd => ({ kind: 'commit', prepared: false, lsn, end: lsn + 8n, xid, timeUs: NOON + ms * 1000n });
  const shared = [end(500n, 1, 5n), end(1500n, 2, 15n), end(2400n, 3, 24n)];
  const one: Branch = { timeline: 1, until: 4200n, ends: [...shared, end(2600n, 40, 26n), end(3600n, 41, 36n)] };
  const two: Branch = { timeline: 2, from: 2500n, until: 5600n, ends: [...shared.slice(2), end(3000n, 50, 40n), end(5000n, 51, 60n)] };
  const bases: BaseBackup[] = [{ snapshot: 'a', timeline: 1, start: 100n, end: 400n, endedUs: NOON + 4000n }, { snapshot: 'b', timeline: 1, start: 3000n, end: 3100n, endedUs: NOON + 31_000n }];
  const coverage = [{ timeline: 1, lsn: 4200n, atUs: NOON + 45_000n }, { timeline: 2, lsn: 5600n, atUs: NOON + 70_000n }];
  return stored([one, two], { bases, coverage, histories: [{ timeline: 2, parents: [{ timeline: 1, until: 2500n }] }] }, without);
}

const at = (ms: number): RecoveryWish => ({ kind: 'time', us: NOON + BigInt(ms) * 1000n });

test('after a failover the newest timeline is followed, from a backup of the old one, and what the old server did alone is not in it', () => {
  const { log, records } = failover();
  const target = resolve(log, records, at(45));
  expect([target.timeline, target.base.snapshot, target.last?.xid, target.next?.xid]).toEqual([2, 'a', 50, 51]);
  expect(server(target, records).map(({ xid }) => xid)).toEqual([1, 2, 3, 50]);
  expect(target.regions.map(({ segment }) => segment.file)).toEqual(['1/0', '1/1', '2/2', '2/3', '2/4', '2/5']);
  // Before the switch, on the log that both share.
  expect(resolve(log, records, at(20))).toMatchObject({ base: { snapshot: 'a' }, last: { xid: 2 }, next: { xid: 3 } });
});

test('the abandoned branch is there for those who ask for it', () => {
  const { log, records } = failover();
  const target = resolve(log, records, at(40), 1);
  expect([target.timeline, target.base.snapshot, target.last?.xid, target.stop.kind]).toEqual([1, 'b', 41, 'end']);
  expect(() => resolve(log, records, { kind: 'xid', xid: 41 })).toThrow('transaction 41 was written on timeline 1, after the servers had left it at 0/9C4: timeline 2 does not come from there, that branch was abandoned');
  expect(resolve(log, records, { kind: 'xid', xid: 41 }, 1).last?.xid).toBe(41);
  expect(resolve(log, records, { kind: 'xid', xid: 51 }).stop).toEqual({ kind: 'xid', xid: 51 });
});

test('a hole in the log is named, with the nearest moments on both sides', () => {
  const { log, records } = failover([1n]);
  const later = { ...log, bases: [...log.bases, { snapshot: 'c', timeline: 2, start: 4000n, end: 4100n, endedUs: NOON + 50_000n }] };
  const refused = (): unknown => resolve(later, records, at(20));
  expect(refused).toThrow('write-ahead log of main is missing from 0/3E8 to 0/7D0; the nearest that can be reached is');
  expect(() => resolve(log, records, { kind: 'latest' })).toThrow('the latest moment cannot be reached: write-ahead log of main is missing from 0/3E8 to 0/7D0');
  expect(resolve(later, records, { kind: 'latest' })).toMatchObject({ base: { snapshot: 'c' }, last: { xid: 51 } });
});

test('what cannot be reached is refused with what can', () => {
  const { log, records } = failover();
  expect(() => resolve(log, records, at(1))).toThrow('is before the first base backup of main was complete');
  expect(() => resolve(log, records, at(71))).toThrow('is later than what is stored of main on timeline 2; the nearest that can be reached is');
  expect(() => resolve(log, records, { kind: 'lsn', lsn: 6000n })).toThrow('is later than 0/15E0, where the stored log of timeline 2 ends');
  expect(() => resolve(log, records, { kind: 'lsn', lsn: 200n })).toThrow('lies before 0/190, where the oldest base backup is complete');
  expect(() => resolve(log, records, { kind: 'xid', xid: 99 })).toThrow('transaction 99 is not in the stored log of main');
  expect(() => resolve(log, records, { kind: 'name', name: 'x' })).toThrow('the restore point "x" is not in the stored log of main');
  expect(() => resolve({ ...log, bases: [] }, records, at(45))).toThrow('there is no base backup of main');
  expect(() => resolve({ ...log, segments: [] }, records, at(45))).toThrow('the write-ahead log that belongs to the base backups of main is not stored');
  expect(() => resolve(log, records, at(45), 7)).toThrow('no base backup of main leads to timeline 7: they are of timeline 1');
});

test('a backup that is dated too early by a clock that was behind is not taken for a moment before it', () => {
  const { log, records } = failover();
  const early: BaseBackup = { snapshot: 'c', timeline: 2, start: 4050n, end: 4100n, endedUs: NOON + 30_000n };
  const misdated = { ...log, bases: [...log.bases, early] };
  expect(resolve(misdated, records, at(35))).toMatchObject({ base: { snapshot: 'a' }, last: { xid: 3 } });
  expect(resolve(misdated, records, at(45))).toMatchObject({ base: { snapshot: 'c' } });
});

test('few files are read to decide', () => {
  const { log, records } = failover();
  expect(resolve(log, records, at(45)).read).toBe(2);
  expect(resolve(log, records, { kind: 'latest' }).read).toBe(1);
});
