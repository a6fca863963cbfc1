/**
 * Which stored write-ahead log follows on which: through the timelines that one server after another has written, without a hole.
 * Pure. Positions in the log are LSNs: 64-bit numbers.
 */

/** A stored file of log; `end` is where what was received of it ends. */
export interface LogSegment {
  /** `000000010000000000000003`, without `.partial`. */
  readonly file: string;
  readonly timeline: number;
  readonly start: bigint;
  readonly end: bigint;
  /** Of the transactions that ended in it; undefined: none. Microseconds since 1970. */
  readonly ended?: { readonly count: number; readonly minUs: bigint; readonly maxUs: bigint } | undefined;
}

/** A `.history` file: the timelines that came before, oldest first, each with where it was left. */
export interface TimelineHistory {
  readonly timeline: number;
  readonly parents: readonly { readonly timeline: number; readonly until: bigint }[];
}

/** The part of one timeline that belongs to a lineage. */
export interface LineagePiece {
  readonly timeline: number;
  readonly from: bigint;
  /** Undefined: it is the last. */
  readonly until: bigint | undefined;
}

/** The way to a timeline, oldest piece first. */
export function lineageOf(timeline: number, histories: readonly TimelineHistory[]): readonly LineagePiece[] {
  const parents = histories.find((history) => history.timeline === timeline)?.parents ?? [];
  const pieces: LineagePiece[] = [];
  let from = 0n;
  for (const parent of parents) {
    pieces.push({ timeline: parent.timeline, from, until: parent.until });
    from = parent.until;
  }
  return [...pieces, { timeline, from, until: undefined }];
}

/** What of a file counts: on a lineage, a file is left where its timeline was. */
export interface LogRegion {
  readonly segment: LogSegment;
  readonly from: bigint;
  readonly until: bigint;
}

/** Log without a hole. */
export interface LogRun {
  readonly regions: readonly LogRegion[];
  /** Where it ends. */
  readonly until: bigint;
  /** More of the lineage is stored behind a hole, which begins at `until`; where that is. */
  readonly resumes: bigint | undefined;
}

/** The stored log of a lineage from the file that holds `from` on. */
export function runFrom(lineage: readonly LineagePiece[], from: bigint, segments: readonly LogSegment[], segmentBytes: bigint): LogRun {
  const newestFirst = lineage.toReversed();
  const files = new Map<string, LogSegment>();
  for (const segment of segments) {
    const key = `${segment.timeline}.${segment.start / segmentBytes}`;
    const known = files.get(key);
    if (known === undefined || known.end < segment.end) files.set(key, segment);
  }
  const regions: LogRegion[] = [];
  let at = from - (from % segmentBytes);
  for (;;) {
    const region = regionAt(at, newestFirst, files, segmentBytes);
    if (region === undefined) break;
    regions.push(region);
    at = region.until;
  }
  return { regions, until: at, resumes: resumesAfter(at, lineage, segments) };
}

/** The server takes the file of the newest timeline that has one, from the segment on in which that timeline began. */
function regionAt(at: bigint, newestFirst: readonly LineagePiece[], files: ReadonlyMap<string, LogSegment>, segmentBytes: bigint): LogRegion | undefined {
  const number = at / segmentBytes;
  for (const piece of newestFirst) {
    if (number < piece.from / segmentBytes) continue;
    const segment = files.get(`${piece.timeline}.${number}`);
    if (segment === undefined || segment.start > at) continue;
    const until = piece.until !== undefined && piece.until < segment.end ? piece.until : segment.end;
    if (until > at) return { segment, from: at, until };
  }
  return undefined;
}

function resumesAfter(at: bigint, lineage: readonly LineagePiece[], segments: readonly LogSegment[]): bigint | undefined {
  let next: bigint | undefined;
  for (const { timeline, start, end } of segments) {
    const piece = lineage.find((one) => one.timeline === timeline);
    if (piece === undefined || end <= at || (piece.until !== undefined && start >= piece.until)) continue;
    if (start > at && (next === undefined || start < next)) next = start;
  }
  return next;
}
