/** How far each base backup can be brought forward with the log that is stored. Pure. */
import { segmentStart, type Lsn } from '../client/postgres/replication/lsn.ts';
import { rangesOf, type HistoryEntry, type WalMap, type WalRange } from './wal-map.ts';

export interface BasePoint {
  readonly id: string;
  readonly time: Date;
  readonly systemId: string;
  /** Of `end`. */
  readonly timeline: number;
  readonly start: Lsn;
  /** It is consistent from here on. */
  readonly end: Lsn;
}

export interface BaseReach {
  readonly base: BasePoint;
  /** The timelines on the way, oldest first; empty when no log follows it. */
  readonly timelines: readonly number[];
  /** Undefined when no log follows it: then it can be restored as it is, and to no other moment. */
  readonly until: Lsn | undefined;
  /** Microseconds since 1970: the newest moment to which it can be restored. */
  readonly untilUs: bigint | undefined;
}

/** `histories`: of each timeline, those that it comes from. */
export function reachOf(map: WalMap, histories: ReadonlyMap<number, readonly HistoryEntry[]>, base: BasePoint): BaseReach {
  const ranges = rangesOf(map);
  let range = rangeWith(ranges, base.timeline, base.end, map.segmentBytes);
  if (range === undefined || base.systemId !== map.systemId) return { base, timelines: [], until: undefined, untilUs: undefined };
  const timelines = [range.timeline];
  for (let next = childOf(range, ranges, histories, map.segmentBytes); next !== undefined; next = childOf(range, ranges, histories, map.segmentBytes)) {
    range = next;
    timelines.push(range.timeline);
  }
  const times = [range.coveredUs, range.lastUs].filter((us) => us !== undefined);
  const untilUs = times.reduce<bigint | undefined>((most, us) => (most === undefined || us > most ? us : most), undefined);
  return { base, timelines, until: range.end, untilUs };
}

/** The range of the newest timeline that leaves this one where its log is stored. */
function childOf(range: WalRange, ranges: readonly WalRange[], histories: ReadonlyMap<number, readonly HistoryEntry[]>, segmentBytes: number): WalRange | undefined {
  const children = [...histories].flatMap(([timeline, entries]) => {
    const last = entries.at(-1);
    if (timeline <= range.timeline || last?.timeline !== range.timeline || last.switchAt > range.end || last.switchAt < range.start) return [];
    const found = rangeWith(ranges, timeline, last.switchAt, segmentBytes);
    return found === undefined ? [] : [found];
  });
  return children.toSorted((a, b) => b.timeline - a.timeline)[0];
}

/** The one that has the log from the segment of this position on, up to it at least. */
function rangeWith(ranges: readonly WalRange[], timeline: number, at: Lsn, segmentBytes: number): WalRange | undefined {
  return ranges.find((range) => range.timeline === timeline && range.start <= segmentStart(at, segmentBytes) && range.end >= at);
}
