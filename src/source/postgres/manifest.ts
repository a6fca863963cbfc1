/** What a Postgres store writes into `manifest.json`, and reads back to restore and to compare. */
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import type { StoreManifest } from '../source.ts';

/**
 * What the server itself says of rows: the sums of `hashtextextended(row::text, seed)` for the seeds 0 and 1, exact, as decimal
 * numbers. Only of frugal backups. Equal rows, sums and `shape` mean equal content, in whatever database.
 */
const serverSums = z.tuple([z.string(), z.string()]);

/** How it was found that the content of the snapshot before is still right, so that it was taken over and not transferred. */
const unchanged = z.enum(['fingerprint']);

/** How a large table is split: into ranges of so many blocks, or of a column that is a key. Each piece says where it begins. */
const split = z.discriminatedUnion('by', [
  z.object({ by: z.literal('block'), blocks: z.number() }),
  z.object({ by: z.literal('key'), column: z.string(), type: z.string() }),
]);

/** A range of a large table, in a file of its own. */
const piece = z.object({
  /** Within the folder `data`. */
  file: z.string(),
  rows: z.number(),
  bytes: z.number(),
  fingerprint: z.string(),
  /** The lower bound: a block, or a key as text. Not of the first. */
  from: z.string().optional(),
  server: serverSums.optional(),
  unchanged: unchanged.optional(),
});

const table = z.object({
  schema: z.string(),
  name: z.string(),
  /** Within the folder `data`. */
  file: z.string(),
  columns: z.array(z.string()),
  /** SQL after the table's name that limits the rows: of an extension's configuration table. */
  condition: z.string(),
  /** Belongs to an extension, so the target may have rows already. */
  extension: z.boolean(),
  rows: z.number(),
  bytes: z.number(),
  /** Sum of XXH64 of the rows as COPY text, 128 bits in hex. */
  fingerprint: z.string(),
  /** Of a table that was split: its files, in order; `file` is then not there. Rows, bytes and fingerprints of the pieces add up to the table's. */
  pieces: z.array(piece).optional(),
  split: split.optional(),
  server: serverSums.optional(),
  /** A hash of the names and types of the columns, on which the server's sums depend. */
  shape: z.string().optional(),
  unchanged: unchanged.optional(),
});

const sequence = z.object({ schema: z.string(), name: z.string(), lastValue: z.string(), isCalled: z.boolean() });

const largeObject = z.object({ oid: z.string(), bytes: z.number(), sha256: z.string() });

const database = z.object({
  name: z.string(),
  /** Folder below the store's. */
  folder: z.string(),
  snapshot: z.string(),
  /** Where the write-ahead log stood; undefined where the server does not tell. */
  lsn: z.string().optional(),
  moment: z.string(),
  tables: z.array(table),
  sequences: z.array(sequence),
  largeObjects: z.array(largeObject),
  /** A hash of their owners, privileges and comments. */
  largeObjectRights: z.string().optional(),
  /** They were found equal to those of the snapshot before, by their hashes, and taken over. */
  largeObjectsUnchanged: z.boolean().optional(),
  extensions: z.array(z.object({ name: z.string(), version: z.string() })),
  /** Of the catalogue, as the server computed it; of frugal backups. See catalog-fingerprint.ts. */
  catalogFingerprint: z.string().optional(),
  /** It was that of the snapshot before, whose schema was taken over. */
  schemaUnchanged: z.boolean().optional(),
});

const detail = z.object({ store: z.string(), server: z.string(), schemaBy: z.string(), databases: z.array(database) });

export type TableManifest = z.infer<typeof table>;
export type ServerSums = z.infer<typeof serverSums>;
export type Split = z.infer<typeof split>;
export type PieceManifest = z.infer<typeof piece>;
export type SequenceManifest = z.infer<typeof sequence>;
export type LargeObjectManifest = z.infer<typeof largeObject>;
export type DatabaseManifest = z.infer<typeof database>;
export type PostgresDetail = z.infer<typeof detail>;

/** The files that hold the rows of a table, in order. */
export function piecesOf(table: TableManifest): readonly PieceManifest[] {
  return table.pieces ?? [table];
}

/** The fingerprint of all rows from those of parts that have no row in common. */
export function addFingerprints(parts: readonly string[]): string {
  const sum = parts.reduce((all, part) => all + BigInt(`0x${part}`), 0n);
  return BigInt.asUintN(128, sum).toString(16).padStart(32, '0');
}

/** Throws `restore-unproven` when the manifest is not one of a Postgres store: without it nothing can be proven. */
export function readDetail(manifest: StoreManifest): PostgresDetail {
  const parsed = detail.safeParse(manifest.detail);
  if (manifest.kind === 'postgres' && parsed.success) return parsed.data;
  throw new HoldfastError('restore-unproven', 'The manifest of this snapshot is not that of a Postgres store.', { cause: parsed.error });
}
