/**
 * How write-ahead log lies in a repository. A snapshot tagged `part:wal` of a physical store holds a folder `wal` of segments under the
 * names that the server gives them, so that `cp` is a restore_command, and `wal.json` beside it. The log is cut into windows of some
 * segments; the snapshots of one window carry the same tag `window:`, each holds all that the ones before it hold, and so the newest
 * replaces them.
 */
import { z } from 'zod';
import { HoldfastError, messageOf } from '../../base/errors.ts';

/** The tag `part:` of snapshots of write-ahead log. */
export const WAL_PART = 'wal';
/** The folder of the segments, and the manifest beside it. */
export const WAL_FOLDER = 'wal';
export const WAL_FILE = 'wal.json';

/** `pg_lsn` as the server writes it: `16/B374D848`. */
const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);
/** Microseconds since 1970, as text of a whole number. */
const us = z.string().regex(/^-?\d{1,20}$/);

const segment = z.object({
  /** `000000010000000000000003`; with `.partial` while not all of it has come. */
  file: z.string(),
  timeline: z.number(),
  start: lsn,
  /** Where the received log ends: start plus 16 MB (or what the server was made with) for a whole segment. */
  end: lsn,
  /** SHA-256 of the bytes from `start` to `end`: all that the file holds. */
  sha256: z.string(),
  /** Of the transactions whose end (commit or abort) has its last byte in it; undefined when none has. By the server's clock. */
  ended: z.object({ count: z.number(), firstUs: us, lastUs: us, minUs: us, maxUs: us }).optional(),
});

/**
 * At this time of the server's clock its log ended here, and all of it was here: no transaction that ended before `atUs` is behind
 * `lsn`. What proves that nothing happened in a quiet time.
 */
const coverage = z.object({ timeline: z.number(), lsn, atUs: us });

export const walManifest = z.object({
  format: z.literal(1),
  store: z.string(),
  /** 64-bit number as text: the identity of the cluster. */
  systemId: z.string(),
  /** Version of the server. */
  server: z.string(),
  segmentBytes: z.number(),
  segments: z.array(segment),
  /** Names of `.history` files in the folder. */
  histories: z.array(z.string()),
  /** Other files that the server has handed over (`archive_command`): `….backup`. */
  others: z.array(z.string()).optional(),
  /** The newest of the window stands in the tag `covered:` of the snapshot: in a quiet time only that is written anew. */
  coverage: z.array(coverage),
});

export type WalSegment = z.infer<typeof segment>;
export type WalCoverage = z.infer<typeof coverage>;
export type WalManifest = z.infer<typeof walManifest>;

/** Throws `repository-damaged`. */
export function parseWalManifest(bytes: Buffer, where: string): WalManifest {
  try {
    return walManifest.parse(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    throw new HoldfastError('repository-damaged', `${WAL_FILE} of ${where} is not understood: ${messageOf(error)}`, { cause: error });
  }
}

/** The value of the tag `covered:`. */
export function encodeCovered({ timeline, lsn: end, atUs }: WalCoverage): string {
  return `${timeline}:${end}:${atUs}`;
}

/** Undefined for what is none. */
export function parseCovered(text: string | undefined): WalCoverage | undefined {
  const [, timeline, end, atUs] = /^(\d{1,10}):([0-9A-F]{1,8}\/[0-9A-F]{1,8}):(-?\d{1,20})$/.exec(text ?? '') ?? [];
  return timeline === undefined || end === undefined || atUs === undefined ? undefined : { timeline: Number(timeline), lsn: end, atUs };
}
