/**
 * How write-ahead log lies in a repository. A snapshot tagged `part:wal` of a physical store holds a folder of segments under the names
 * that the server gives them, and `wal.json` beside them. Each snapshot of a follower holds all that it has received since it
 * was started or since the last full window; the newest of a window replaces the one before.
 */
import { z } from 'zod';

/** The tag `part:` of snapshots of write-ahead log. */
export const WAL_PART = 'wal';

/** `pg_lsn` as the server writes it: `16/B374D848`. */
const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);

const segment = z.object({
  /** `000000010000000000000003`; with `.partial` while not all of it has come. */
  file: z.string(),
  timeline: z.number(),
  start: lsn,
  /** Where the received log ends: start plus 16 MB (or what the server was made with) for a whole segment. */
  end: lsn,
  /** SHA-256 of the bytes from `start` to `end`. */
  sha256: z.string(),
  /** Of the transactions that ended (commit or abort) in it; undefined when none did. Microseconds since 1970, as text of a whole number. */
  ended: z.object({ count: z.number(), firstUs: z.string(), lastUs: z.string(), minUs: z.string(), maxUs: z.string() }).optional(),
});

/** At this time of the server's clock its log ended here, and all of it was here. What proves that nothing happened in a quiet time. */
const coverage = z.object({ timeline: z.number(), lsn, atUs: z.string() });

export const walManifest = z.object({
  format: z.literal(1),
  store: z.string(),
  /** 64-bit number as text: the identity of the cluster. */
  systemId: z.string(),
  server: z.string(),
  segmentBytes: z.number(),
  segments: z.array(segment),
  /** Names of `.history` files in the folder. */
  histories: z.array(z.string()),
  coverage: z.array(coverage),
});

export type WalSegment = z.infer<typeof segment>;
export type WalCoverage = z.infer<typeof coverage>;
export type WalManifest = z.infer<typeof walManifest>;
