/**
 * From a wish to a recovery that will reach it: which base backup, which log, where the server is told to stop, and what will be in the
 * result. Pure: what must be read of the log to decide is asked for (`need`), read by the caller, and given back.
 *
 * The rules are the server's (xlogrecovery.c): with a time it stops before the first end of a transaction (commit or abort) that is later,
 * in the order of the log, in which times are not monotone; when there is none it fails, although nothing is missing. So a time in a quiet
 * gap at the end of what is stored becomes "the end of the log", where the stored coverage proves that nothing else happened until then.
 */
import { formatLsn } from '../client/postgres/replication/lsn.ts';
import type { TransactionEnd } from '../client/postgres/replication/wal-transaction.ts';
import { abandoned, gap, noUsableBase, uncovered, unreachable, type Circumstances } from './recovery-refusal.ts';
import { describeWish, formatInstant, type RecoveryWish } from './recovery-wish.ts';
import { newestTimeline, reachOf, usableBases, type BaseBackup, type SegmentRecords, type StoredLog, type UsableBase } from './stored-log.ts';
import { lineageOf, type LogRegion, type LogRun, type LogSegment } from './wal-lineage.ts';

/** What the server is told. */
export type RecoveryStop =
  | { readonly kind: 'time'; readonly us: bigint }
  | { readonly kind: 'lsn'; readonly lsn: bigint; readonly inclusive: boolean }
  | { readonly kind: 'xid'; readonly xid: number }
  /** Nothing: it replays all of the log that it is given. */
  | { readonly kind: 'end' };

export interface RecoveryTarget {
  readonly base: BaseBackup;
  readonly timeline: number;
  /** The log that the server gets. */
  readonly regions: readonly LogRegion[];
  readonly stop: RecoveryStop;
  /** The last transaction that will be included; undefined: none since the base backup began. */
  readonly last: TransactionEnd | undefined;
  /** The first that will not be; undefined: nothing later is stored. */
  readonly next: TransactionEnd | undefined;
  /** Worth telling. */
  readonly notes: readonly string[];
}

export type Resolution = { readonly state: 'need'; readonly segments: readonly LogSegment[] } | { readonly state: 'resolved'; readonly target: RecoveryTarget };

export interface ResolveOptions {
  readonly log: StoredLog;
  readonly wish: RecoveryWish;
  /** Default: the newest. */
  readonly timeline?: number | undefined;
  /** By the name of the file. */
  readonly known: ReadonlyMap<string, SegmentRecords>;
}

/** Thrown where records must be known, caught below: keeps the deciding code in a straight line. */
class Needed {
  readonly segment: LogSegment;
  constructor(segment: LogSegment) {
    this.segment = segment;
  }
}

/** Throws `moment-uncovered` and `wal-gap`, naming the nearest moments that can be reached, and `snapshot-missing` when there is no base backup. */
export function resolveTarget(options: ResolveOptions): Resolution {
  try {
    return { state: 'resolved', target: new Resolver(options).resolve() };
  } catch (error) {
    if (error instanceof Needed) return { state: 'need', segments: [error.segment] };
    throw error;
  }
}

class Resolver {
  readonly #wish: RecoveryWish;
  readonly #known: ReadonlyMap<string, SegmentRecords>;
  readonly #facts: Circumstances;

  constructor({ log, wish, timeline = newestTimeline(log), known }: ResolveOptions) {
    this.#wish = wish;
    this.#known = known;
    const lineage = lineageOf(timeline, log.histories);
    this.#facts = { log, timeline, lineage, bases: usableBases(log, lineage) };
  }

  resolve(): RecoveryTarget {
    const wish = this.#wish;
    const [newest] = this.#facts.bases;
    if (newest === undefined) throw noUsableBase(this.#facts);
    switch (wish.kind) {
      case 'time': return this.#time(wish.us);
      case 'lsn': return this.#position(wish.lsn);
      case 'xid': return this.#transaction(wish.xid);
      case 'name': return this.#named(wish.name);
      case 'latest': return this.#latest(newest);
    }
  }

  #time(us: bigint): RecoveryTarget {
    const found = this.#timeIfReachable(us);
    if (found === undefined) throw uncovered(this.#facts, us, (offer) => this.#timeIfReachable(offer) !== undefined);
    return found;
  }

  #timeIfReachable(us: bigint): RecoveryTarget | undefined {
    const { log, bases } = this.#facts;
    for (const usable of bases) {
      const { base, run } = usable;
      if (base.endedUs > us || holdsLater(usable, log, us)) continue;
      const next = this.#firstEnd(run, (end) => end.timeUs > us, ({ maxUs }) => maxUs > us);
      // A transaction within the backup that is later than its end: the server's clock was set. An older backup may do.
      if (next !== undefined && next.lsn < base.end) continue;
      if (next !== undefined) return this.#target(base, upTo(run, next.end), { kind: 'time', us }, { last: this.#lastEnd(upTo(run, next.end), (end) => end.lsn < next.lsn), next });
      const reach = reachOf(log, usable);
      if (reach !== undefined && reach >= us) return this.#toEnd(usable, `No transaction ended between the last that is included and ${formatInstant(us)}.`);
    }
    return undefined;
  }

  #latest(newest: UsableBase): RecoveryTarget {
    if (newest.run.resumes !== undefined) throw gap(this.#facts, newest.run, 'the latest moment');
    return this.#toEnd(newest);
  }

  #position(lsn: bigint): RecoveryTarget {
    const found = this.#facts.bases.find(({ base }) => base.end <= lsn);
    if (found === undefined) throw unreachable(this.#facts, `${describeWish(this.#wish)} lies before ${formatLsn(this.#facts.bases.at(-1)?.base.end ?? 0n)}, where the oldest base backup is complete`);
    const { base, run } = found;
    if (run.until <= lsn) throw this.#beyond(run, lsn);
    // The server must meet a later record to stop before it; where there is none it has everything that was asked for.
    if (!this.#hasRecordAfter(run, lsn)) return this.#toEnd(found, `Nothing that is stored begins after ${formatLsn(lsn)}.`);
    const last = this.#lastEnd(upTo(run, lsn), (end) => end.lsn <= lsn, run);
    const next = this.#firstEnd(run, (end) => end.lsn > lsn, () => true, lsn);
    return this.#target(base, run.regions, { kind: 'lsn', lsn: lsn + 1n, inclusive: false }, { last, next });
  }

  #transaction(xid: number): RecoveryTarget {
    const found = this.#newestFirst((records) => records.ends.findLast((end) => end.xid === xid));
    if (found === undefined) throw this.#absent(`transaction ${xid}`, (records) => records.ends.some((end) => end.xid === xid), 'A transaction within another (a savepoint) ends with the outer one: name that.');
    const { base, run } = this.#baseBefore(found.lsn, `transaction ${xid} ended at ${formatLsn(found.lsn)}`);
    const notes = found.kind === 'commit' ? [] : [`Transaction ${xid} was rolled back; everything up to its end is included.`];
    return this.#target(base, upTo(run, found.end), { kind: 'xid', xid }, { last: found, next: this.#firstEnd(run, (end) => end.lsn > found.lsn, () => true, found.lsn), notes });
  }

  #named(name: string): RecoveryTarget {
    const found = this.#newestFirst((records) => records.points.findLast((point) => point.name === name));
    if (found === undefined) throw this.#absent(`the restore point "${name}"`, (records) => records.points.some((point) => point.name === name), "They are made on the server: SELECT pg_create_restore_point('name').");
    const { base, run } = this.#baseBefore(found.lsn, `the restore point "${name}" lies at ${formatLsn(found.lsn)}`);
    const last = this.#lastEnd(upTo(run, found.end), (end) => end.lsn < found.lsn);
    const next = this.#firstEnd(run, (end) => end.lsn > found.lsn, () => true, found.lsn);
    // By position: an older point of the same name would stop the server first.
    return this.#target(base, upTo(run, found.end), { kind: 'lsn', lsn: found.lsn, inclusive: true }, { last, next, notes: [`The restore point "${name}" was made ${formatInstant(found.timeUs)}.`] });
  }

  #toEnd({ base, run }: UsableBase, ...notes: readonly string[]): RecoveryTarget {
    return this.#target(base, run.regions, { kind: 'end' }, { last: this.#lastEnd(run.regions, () => true), next: undefined, notes });
  }

  #target(base: BaseBackup, regions: readonly LogRegion[], stop: RecoveryStop, rest: Pick<RecoveryTarget, 'last' | 'next'> & { readonly notes?: readonly string[] }): RecoveryTarget {
    return { base, timeline: this.#facts.timeline, regions, stop, notes: [], ...rest };
  }

  #recordsOf(segment: LogSegment): SegmentRecords {
    const records = this.#known.get(segment.file);
    if (records === undefined) throw new Needed(segment);
    return records;
  }

  /** The first end of a transaction that `wanted` takes; files are read only where `mayHold` says so. */
  #firstEnd(run: LogRun, wanted: (end: TransactionEnd) => boolean, mayHold: (ended: NonNullable<LogSegment['ended']>) => boolean, after = -1n): TransactionEnd | undefined {
    for (const region of run.regions) {
      const { ended } = region.segment;
      if (ended === undefined || region.until <= after || !mayHold(ended)) continue;
      const found = this.#recordsOf(region.segment).ends.find((end) => within(region, end) && wanted(end));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** With `run`, the file behind `regions` is looked at as well: a record that begins in the last of them may end there. */
  #lastEnd(regions: readonly LogRegion[], wanted: (end: TransactionEnd) => boolean, run?: LogRun): TransactionEnd | undefined {
    const looked = run === undefined ? regions : run.regions.slice(0, regions.length + 1);
    for (const region of looked.toReversed()) {
      if (region.segment.ended === undefined) continue;
      const found = this.#recordsOf(region.segment).ends.findLast((end) => within(region, end) && wanted(end));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #hasRecordAfter(run: LogRun, lsn: bigint): boolean {
    return run.regions.some((region) => {
      if (region.until <= lsn) return false;
      const { last } = this.#recordsOf(region.segment);
      return last !== undefined && last > lsn && last < region.until;
    });
  }

  /** Searches all log that can be reached from any base backup. */
  #newestFirst<T extends { readonly end: bigint }>(find: (records: SegmentRecords) => T | undefined): T | undefined {
    const seen = new Set<string>();
    for (const region of this.#facts.bases.flatMap(({ run }) => run.regions.toReversed())) {
      if (seen.has(region.segment.file)) continue;
      seen.add(region.segment.file);
      const found = find(this.#recordsOf(region.segment));
      if (found !== undefined && within(region, found)) return found;
    }
    return undefined;
  }

  #baseBefore(lsn: bigint, what: string): UsableBase {
    const found = this.#facts.bases.find(({ base, run }) => base.end <= lsn && lsn < run.until);
    if (found !== undefined) return found;
    throw unreachable(this.#facts, `${what}, before the first base backup from which it could be reached`);
  }

  /** The stored log does not come as far as that. */
  #beyond(run: LogRun, lsn: bigint): Error {
    const { log, lineage, timeline } = this.#facts;
    if (run.resumes !== undefined) return gap(this.#facts, run, describeWish(this.#wish));
    const other = log.segments.find((one) => one.start <= lsn && lsn < one.end && !lineage.some((piece) => piece.timeline === one.timeline && (piece.until === undefined || lsn < piece.until)));
    if (other !== undefined) return abandoned(this.#facts, describeWish(this.#wish), other.timeline);
    return unreachable(this.#facts, `${describeWish(this.#wish)} is later than ${formatLsn(run.until)}, where the stored log of timeline ${timeline} ends`);
  }

  /** Not on this lineage: perhaps on a branch that the servers have left. */
  #absent(what: string, holds: (records: SegmentRecords) => boolean, hint: string): Error {
    const { bases, log } = this.#facts;
    const whole = new Set(bases.flatMap(({ run }) => run.regions.flatMap(({ segment, until }) => (until === segment.end ? [segment.file] : []))));
    for (const segment of log.segments) if (!whole.has(segment.file) && holds(this.#recordsOf(segment))) return abandoned(this.#facts, what, segment.timeline);
    return unreachable(this.#facts, `${what} is not in the stored log of ${log.store}. ${hint}`);
  }
}

/** A backup may be dated by another clock than the server's: what was committed just before it began tells. */
function holdsLater({ base }: UsableBase, { segments }: StoredLog, us: bigint): boolean {
  const before = segments.filter(({ timeline, end, ended }) => timeline === base.timeline && end <= base.start && ended !== undefined);
  const last = before.toSorted((a, b) => (a.end < b.end ? -1 : 1)).at(-1);
  return last?.ended !== undefined && last.ended.maxUs > us;
}

/** A record counts where it ends. */
function within(region: LogRegion, { end }: { readonly end: bigint }): boolean {
  return end > region.from && end <= region.until;
}

/** The files that hold everything before `end`. */
function upTo(run: LogRun, end: bigint): readonly LogRegion[] {
  return run.regions.filter((region) => region.from < end);
}
