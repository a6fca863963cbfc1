/** What is stored of one cluster, and which times can be reached with it. Pure. */
import type { RestorePoint, TransactionEnd } from '../client/postgres/replication/wal-transaction.ts';
import { runFrom, type LineagePiece, type LogRun, type LogSegment, type TimelineHistory } from './wal-lineage.ts';

export interface BaseBackup {
  readonly snapshot: string;
  readonly timeline: number;
  /** Log from here on is needed. */
  readonly start: bigint;
  /** Log up to here makes it consistent: nothing earlier can be reached with it. */
  readonly end: bigint;
  /** Microseconds since 1970 by the server's clock, when it was finished: no transaction before `end` has a later time. */
  readonly endedUs: bigint;
}

/** At this time of the server's clock its log ended here. */
export interface LogCoverage {
  readonly timeline: number;
  readonly lsn: bigint;
  readonly atUs: bigint;
}

export interface StoredLog {
  /** The name of the store, for messages. */
  readonly store: string;
  readonly bases: readonly BaseBackup[];
  readonly segments: readonly LogSegment[];
  readonly coverage: readonly LogCoverage[];
  readonly histories: readonly TimelineHistory[];
  readonly segmentBytes: bigint;
}

/** What is read in one file of log: records that end in it, in their order. */
export interface SegmentRecords {
  readonly ends: readonly TransactionEnd[];
  readonly points: readonly RestorePoint[];
  /** Where the last record of any kind begins; undefined: none ends here. */
  readonly last: bigint | undefined;
}

/** A base backup with the log that follows on it. */
export interface UsableBase {
  readonly base: BaseBackup;
  readonly run: LogRun;
}

/** The newest timeline of which anything is stored. */
export function newestTimeline({ bases, segments }: Pick<StoredLog, 'bases' | 'segments'>): number {
  return [...bases, ...segments].reduce((newest, { timeline }) => Math.max(newest, timeline), 1);
}

/** The base backups of a lineage whose own log is stored, newest first. */
export function usableBases({ bases, segments, segmentBytes }: StoredLog, lineage: readonly LineagePiece[]): readonly UsableBase[] {
  const ofLineage = bases.filter(({ timeline, end }) => lineage.some((piece) => piece.timeline === timeline && (piece.until === undefined || end <= piece.until)));
  const withRuns = ofLineage.map((base) => ({ base, run: runFrom(lineage, base.start, segments, segmentBytes) }));
  return withRuns.filter(({ base, run }) => run.until >= base.end).sort((a, b) => (a.base.end < b.base.end ? 1 : a.base.end > b.base.end ? -1 : 0));
}

/** The latest time of which the stored log tells all: by a statement of the server on whose timeline it ends, or by the last transaction. */
export function reachOf({ coverage }: StoredLog, { base, run: { regions, until } }: UsableBase): bigint | undefined {
  const timeline = regions.at(-1)?.segment.timeline;
  const stated = coverage.filter((one) => one.timeline === timeline && one.lsn <= until && one.lsn >= base.start).map(({ atUs }) => atUs);
  // A file that is left before its end tells of a branch that was abandoned, too.
  const ended = regions.flatMap((region) => (region.until === region.segment.end ? (region.segment.ended?.maxUs ?? []) : []));
  return [...stated, ...ended].reduce<bigint | undefined>((latest, us) => (latest === undefined || us > latest ? us : latest), undefined);
}

export interface Period {
  readonly from: bigint;
  readonly until: bigint;
}

/** From when to when each base backup can be brought forward, newest first. */
export function periodsOf(log: StoredLog, bases: readonly UsableBase[]): readonly Period[] {
  return bases.flatMap((usable) => {
    const until = reachOf(log, usable);
    return until === undefined || until < usable.base.endedUs ? [] : [{ from: usable.base.endedUs, until }];
  });
}
