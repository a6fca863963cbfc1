/** What write-ahead log is stored, out of the manifests of many snapshots: segments, ranges without a hole, times, timelines. Pure. */
import { parseHistoryName, readLsn, type Lsn } from '../client/postgres/replication/lsn.ts';
import type { WalCoverage, WalManifest, WalSegment } from '../source/cluster/wal-archive.ts';

/** One snapshot of write-ahead log. */
export interface WalSource {
  readonly snapshot: string;
  readonly manifest: WalManifest;
  /** Of its tag. */
  readonly covered: WalCoverage | undefined;
}

export interface StoredSegment extends WalSegment {
  /** The snapshot that holds it. */
  readonly snapshot: string;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  /** All of it is there, and not only its beginning. */
  readonly whole: boolean;
}

export interface WalMap {
  /** Of the cluster. */
  readonly systemId: string;
  readonly server: string;
  readonly segmentBytes: number;
  /** By timeline and position, each once. */
  readonly segments: readonly StoredSegment[];
  /** Where the history of each timeline lies. */
  readonly histories: readonly { readonly timeline: number; readonly file: string; readonly snapshot: string }[];
  /** By timeline and time. */
  readonly coverage: readonly WalCoverage[];
  /** Segments of which two with different content are stored: someone writes here who is not the same server. */
  readonly conflicts: readonly StoredSegment[];
}

/** A map for each cluster that the log of a store comes from: a store may have got a new server. By system id, in the order in which they first appear. */
export function mapWal(sources: readonly WalSource[]): ReadonlyMap<string, WalMap> {
  const groups = Map.groupBy(sources, ({ manifest }) => manifest.systemId);
  return new Map([...groups].map(([systemId, group]) => [systemId, mapCluster(systemId, group)]));
}

function mapCluster(systemId: string, sources: readonly WalSource[]): WalMap {
  const best = new Map<string, StoredSegment>();
  const conflicts: StoredSegment[] = [];
  const histories = new Map<number, { readonly timeline: number; readonly file: string; readonly snapshot: string }>();
  for (const { snapshot, manifest } of sources) {
    for (const segment of manifest.segments) {
      const stored = storedSegment(segment, snapshot, manifest.segmentBytes);
      const key = `${segment.timeline} ${segment.start}`;
      const known = best.get(key);
      if (known && known.endLsn === stored.endLsn && known.sha256 !== stored.sha256) conflicts.push(stored);
      if (!known || stored.endLsn > known.endLsn) best.set(key, stored);
    }
    for (const file of manifest.histories) {
      const timeline = parseHistoryName(file);
      if (timeline !== undefined) histories.set(timeline, { timeline, file, snapshot });
    }
  }
  const newest = sources.at(-1)?.manifest;
  return {
    systemId, server: newest?.server ?? '', segmentBytes: newest?.segmentBytes ?? 0, conflicts,
    segments: [...best.values()].sort((a, b) => a.timeline - b.timeline || (a.startLsn < b.startLsn ? -1 : 1)),
    histories: [...histories.values()].sort((a, b) => a.timeline - b.timeline),
    coverage: sources.flatMap(({ manifest, covered }) => [...manifest.coverage, ...(covered ? [covered] : [])]).sort((a, b) => a.timeline - b.timeline || Number(BigInt(a.atUs) - BigInt(b.atUs))),
  };
}

function storedSegment(segment: WalSegment, snapshot: string, segmentBytes: number): StoredSegment {
  const [startLsn, endLsn] = [readLsn(segment.start), readLsn(segment.end)];
  return { ...segment, snapshot, startLsn, endLsn, whole: endLsn - startLsn === BigInt(segmentBytes) };
}

/** Log without a hole on one timeline. */
export interface WalRange {
  readonly timeline: number;
  readonly start: Lsn;
  readonly end: Lsn;
  readonly segments: readonly StoredSegment[];
  readonly transactions: number;
  /** Microseconds since 1970: when the first and the last transaction ended. Undefined when none did. */
  readonly firstUs: bigint | undefined;
  readonly lastUs: bigint | undefined;
  /** Up to this moment it is known that nothing happened that is not here; undefined when nothing says so. */
  readonly coveredUs: bigint | undefined;
}

/** The ranges of a map, by timeline and position. Between two of one timeline log is missing. */
export function rangesOf(map: WalMap): readonly WalRange[] {
  const runs: StoredSegment[][] = [];
  for (const segment of map.segments) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run && last && last.timeline === segment.timeline && last.endLsn === segment.startLsn) run.push(segment);
    else runs.push([segment]);
  }
  return runs.map((segments) => rangeOf(segments, map.coverage));
}

function rangeOf(segments: readonly StoredSegment[], coverage: readonly WalCoverage[]): WalRange {
  const [first] = segments;
  const last = segments.at(-1);
  if (!first || !last) throw new Error('a range without segments');
  const times = segments.flatMap(({ ended }) => (ended === undefined ? [] : [{ count: ended.count, minUs: BigInt(ended.minUs), maxUs: BigInt(ended.maxUs) }]));
  const covered = coverage.filter(({ timeline, lsn }) => timeline === first.timeline && readLsn(lsn) >= first.startLsn && readLsn(lsn) <= last.endLsn).map(({ atUs }) => BigInt(atUs));
  return {
    timeline: first.timeline, start: first.startLsn, end: last.endLsn, segments,
    transactions: times.reduce((sum, { count }) => sum + count, 0),
    firstUs: least(times.map(({ minUs }) => minUs)), lastUs: most(times.map(({ maxUs }) => maxUs)), coveredUs: most(covered),
  };
}

function most(values: readonly bigint[]): bigint | undefined {
  return values.reduce<bigint | undefined>((best, value) => (best === undefined || value > best ? value : best), undefined);
}

function least(values: readonly bigint[]): bigint | undefined {
  return values.reduce<bigint | undefined>((best, value) => (best === undefined || value < best ? value : best), undefined);
}

/** One line of a history file: this timeline was left at `switchAt`. */
export interface HistoryEntry {
  readonly timeline: number;
  readonly switchAt: Lsn;
  readonly reason: string;
}

/** The timelines that one comes from, oldest first (src/backend/access/transam/timeline.c). */
export function parseHistory(text: string): readonly HistoryEntry[] {
  return text.split('\n').flatMap((line) => {
    const [, timeline, at, reason] = /^\s*(\d+)\s+([0-9A-F]{1,8}\/[0-9A-F]{1,8})\s*(.*)$/i.exec(line) ?? [];
    return timeline === undefined || at === undefined ? [] : [{ timeline: Number(timeline), switchAt: readLsn(at), reason: reason ?? '' }];
  });
}
