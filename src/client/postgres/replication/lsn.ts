/** Positions in the write-ahead log, and the names of its segments (src/include/access/xlog_internal.h). Pure. */

/** Bytes from the beginning of the log of a cluster. */
export type Lsn = bigint;

const LSN = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;
const SEGMENT = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?$/;
const HISTORY = /^([0-9A-F]{8})\.history$/;
/** What the two halves of the name of a segment share. */
const LOG_FILE = 0x1_0000_0000n;

/** `16/B374D848`; undefined for what is no position. */
export function parseLsn(text: string): Lsn | undefined {
  const [, high, low] = LSN.exec(text) ?? [];
  return high === undefined || low === undefined ? undefined : (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** The same of text that a server or we ourselves have written. */
export function readLsn(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn === undefined) throw new Error(`'${text}' is no position in a write-ahead log`);
  return lsn;
}

/** As the server writes it: `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffff_ffffn).toString(16)}`.toUpperCase();
}

/** The beginning of the segment that a position lies in. */
export function segmentStart(lsn: Lsn, segmentBytes: number): Lsn {
  return lsn - (lsn % BigInt(segmentBytes));
}

/** `000000010000000000000003`: timeline, then the number of the segment in two parts. */
export function segmentName(timeline: number, lsn: Lsn, segmentBytes: number): string {
  const size = BigInt(segmentBytes);
  const perFile = LOG_FILE / size;
  const number = lsn / size;
  return [BigInt(timeline), number / perFile, number % perFile].map((part) => part.toString(16).toUpperCase().padStart(8, '0')).join('');
}

export interface SegmentFile {
  readonly timeline: number;
  readonly start: Lsn;
  /** Not all of it has come yet. */
  readonly partial: boolean;
}

/** What the name of a segment says; undefined for other files. */
export function parseSegmentName(name: string, segmentBytes: number): SegmentFile | undefined {
  const [, timeline, high, low, partial] = SEGMENT.exec(name) ?? [];
  if (timeline === undefined || high === undefined || low === undefined) return undefined;
  const size = BigInt(segmentBytes);
  const number = BigInt(`0x${high}`) * (LOG_FILE / size) + BigInt(`0x${low}`);
  return { timeline: Number.parseInt(timeline, 16), start: number * size, partial: partial !== undefined };
}

/** `00000002.history` */
export function historyName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}

/** The timeline whose history a file of this name holds. */
export function parseHistoryName(name: string): number | undefined {
  const [, timeline] = HISTORY.exec(name) ?? [];
  return timeline === undefined ? undefined : Number.parseInt(timeline, 16);
}

/** Microseconds between 1970, from which we count, and 2000, from which the server does. */
const EPOCH_US = 946_684_800_000_000n;

export function fromServerTime(us: bigint): bigint {
  return us + EPOCH_US;
}

export function toServerTime(unixUs: bigint): bigint {
  return unixUs - EPOCH_US;
}
