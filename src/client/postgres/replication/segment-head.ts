/** What the first page of a segment says of it (XLogLongPageHeaderData in src/include/access/xlog_internal.h). Pure. */
import type { Lsn } from './lsn.ts';

export interface SegmentHead {
  /** As text: it does not fit into a JavaScript number. */
  readonly systemId: string;
  readonly timeline: number;
  readonly start: Lsn;
  readonly segmentBytes: number;
}

const LONG_HEAD_BYTES = 40;
const LONG = 2;

/** Undefined when these bytes are no beginning of a segment. */
export function readSegmentHead(bytes: Buffer): SegmentHead | undefined {
  if (bytes.length < LONG_HEAD_BYTES || bytes.readUInt16LE(0) >> 8 !== 0xd1 || (bytes.readUInt16LE(2) & LONG) === 0) return undefined;
  return { systemId: String(bytes.readBigUInt64LE(24)), timeline: bytes.readUInt32LE(4), start: bytes.readBigUInt64LE(8), segmentBytes: bytes.readUInt32LE(32) };
}
