/**
 * What a snapshot of a whole Postgres server holds, and what its `manifest.json` says of it. Below the folder of the store lie
 *
 * - `data/`: the data directory as the server sends it, with `backup_label`, `backup_manifest` and the write-ahead log that makes it
 *   consistent, so that it can be started as it is. Links of `data/pg_tblspc` lead to `tablespaces`, never to where the server has them;
 * - `tablespaces/OID/`: the tablespaces that lie outside the data directory;
 * - `config/`: configuration that lies outside the data directory, under its whole path, and `settings.conf`: all that is set.
 */
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import type { StoreManifest } from '../source.ts';

export const DATA_FOLDER = 'data';
export const TABLESPACES_FOLDER = 'tablespaces';
export const CONFIG_FOLDER = 'config';
/** In the data directory; see src/backend/backup/backup_manifest.c of the server. */
export const BACKUP_MANIFEST = 'backup_manifest';

/** `pg_lsn` as the server writes it: `16/B374D848`. */
const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);

const tablespace = z.object({
  oid: z.string().regex(/^\d{1,10}$/),
  /** Undefined where the user may not ask. */
  name: z.string().optional(),
  /** Where the server has it: absolute. */
  location: z.string(),
});

/** Without at least these values, recovery of the copy pauses or ends. */
const recoverySettings = z.object({
  max_connections: z.string().optional(),
  max_worker_processes: z.string().optional(),
  max_wal_senders: z.string().optional(),
  max_prepared_transactions: z.string().optional(),
  max_locks_per_transaction: z.string().optional(),
  wal_level: z.string().optional(),
  shared_preload_libraries: z.string().optional(),
});

const database = z.object({ name: z.string(), encoding: z.string(), extensions: z.array(z.object({ name: z.string(), version: z.string() })).optional() });

const detail = z.object({
  /** The folder of the snapshot in which all lies. */
  store: z.string(),
  /** 64-bit number as text: the identity of the cluster. */
  systemId: z.string(),
  /** `15.20` */
  server: z.string(),
  timeline: z.number(),
  /** Replay begins here … */
  startLsn: lsn,
  /** … and must reach this position before the copy is consistent. */
  endLsn: lsn,
  /** The timeline of `endLsn`. */
  endTimeline: z.number(),
  /** ISO 8601, by the server's clock where it tells. */
  startedAt: z.string(),
  stoppedAt: z.string(),
  segmentBytes: z.number(),
  blockBytes: z.number(),
  dataChecksums: z.boolean(),
  /** It was in recovery: a standby. */
  standby: z.boolean(),
  /** Where the server has its data directory; undefined where the user may not ask. */
  dataDirectory: z.string().optional(),
  settings: recoverySettings,
  tablespaces: z.array(tablespace),
  databases: z.array(database),
  /** Absolute paths on the server of the files below `config`. */
  configuration: z.object({ config: z.string().optional(), hba: z.string().optional(), ident: z.string().optional() }).optional(),
  /** The snapshot from which unchanged blocks were taken; undefined when all was read from the server. */
  parent: z.string().optional(),
  /** Why all was read though there was a snapshot to build on: a clause after "because". */
  whole: z.string().optional(),
});

export type ClusterDetail = z.infer<typeof detail>;
export type TablespaceManifest = z.infer<typeof tablespace>;
export type RecoverySettings = z.infer<typeof recoverySettings>;
export type ClusterDatabase = z.infer<typeof database>;

/** Throws `restore-unproven` when the manifest is not one of a physical store. */
export function readClusterDetail(manifest: StoreManifest): ClusterDetail {
  const parsed = detail.safeParse(manifest.detail);
  if (manifest.kind === 'cluster' && parsed.success) return parsed.data;
  throw new HoldfastError('restore-unproven', 'The manifest of this snapshot is not that of a whole Postgres server.', { cause: parsed.error });
}

/** The major version of a server: 15 of `15.20`. */
export function majorOf(server: string): number {
  return Number.parseInt(server, 10);
}
