/** The small JSON documents of a repository: config, snapshots and locks (restic design.rst; internal/data/snapshot.go, lock.go). */
import { goString } from './go-json.ts';

export interface ConfigDocument {
  readonly version: number;
  readonly id: string;
  /** Hex digits of the chunker's polynomial. */
  readonly chunker_polynomial: string;
}

/** Counts of one backup, as restic records them. */
export interface SnapshotSummary {
  readonly backup_start: string;
  readonly backup_end: string;
  readonly files_new: number;
  readonly files_changed: number;
  readonly files_unmodified: number;
  readonly dirs_new: number;
  readonly dirs_changed: number;
  readonly dirs_unmodified: number;
  readonly data_blobs: number;
  readonly tree_blobs: number;
  /** Bytes of new blobs before compression. */
  readonly data_added: number;
  /** Bytes of new blobs as they are stored. */
  readonly data_added_packed: number;
  readonly total_files_processed: number;
  readonly total_bytes_processed: number;
}

export interface SnapshotDocument {
  readonly time: string;
  readonly parent?: string;
  readonly tree: string;
  readonly paths: readonly string[];
  readonly hostname?: string;
  readonly username?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly excludes?: readonly string[];
  readonly tags?: readonly string[];
  readonly original?: string;
  readonly program_version?: string;
  readonly summary?: SnapshotSummary;
}

export interface LockDocument {
  readonly time: string;
  readonly exclusive: boolean;
  readonly hostname: string;
  readonly username: string;
  readonly pid: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** JSON as Go's encoder writes it: HTML escapes, no `undefined`, the order of the object's keys. */
export function encodeDocument(value: unknown): string {
  if (typeof value === 'string') return goString(value);
  if (Array.isArray(value)) return `[${value.map(encodeDocument).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([name, field]) => `${goString(name)}:${encodeDocument(field)}`).join(',')}}`;
}
