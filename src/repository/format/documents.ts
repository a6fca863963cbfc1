/** The small JSON documents of a repository: config, snapshots and locks (restic design.rst; internal/data/snapshot.go, lock.go). */
import { goString } from './go-json.ts';
import { parseTime } from './go-time.ts';
import { idOf, isObject, isUint, optional, parseObject, textOf, textsOf, uintOf, type JsonObject } from './json-shape.ts';

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

const MOST = Number.MAX_SAFE_INTEGER;

function timeOf(object: JsonObject, field: string): string {
  const text = textOf(object, field);
  parseTime(text);
  return text;
}

/** The config; fields that are not known are kept out of the way. Throws Error. */
export function parseConfigDocument(json: string): ConfigDocument & { readonly chunker?: unknown } {
  const config = parseObject(json, 'the config');
  const { chunker } = config;
  return {
    version: uintOf(config, 'version'), id: idOf(config, 'id'), chunker_polynomial: textOf(config, 'chunker_polynomial'),
    ...(chunker === undefined ? {} : { chunker }),
  };
}

/** A snapshot, with the fields that are not known, so that one who writes it again loses none. Throws Error. */
export function parseSnapshot(json: string): SnapshotDocument {
  const snapshot = parseObject(json, 'the snapshot');
  const known = Object.fromEntries(Object.entries(snapshot).filter(([, value]) => value !== null));
  return {
    ...known,
    time: timeOf(snapshot, 'time'), tree: idOf(snapshot, 'tree'), paths: textsOf(snapshot, 'paths'),
    ...optional(snapshot, 'parent', idOf), ...optional(snapshot, 'original', idOf),
    ...optional(snapshot, 'hostname', textOf), ...optional(snapshot, 'username', textOf), ...optional(snapshot, 'program_version', textOf),
    ...optional(snapshot, 'uid', uintOf), ...optional(snapshot, 'gid', uintOf),
    ...optional(snapshot, 'excludes', textsOf), ...optional(snapshot, 'tags', textsOf), ...optional(snapshot, 'summary', summaryOf),
  };
}

/** Counts that another program left out are 0. */
function summaryOf(snapshot: JsonObject, field: string): SnapshotSummary {
  const summary = snapshot[field];
  if (!isObject(summary)) throw new Error(`its field '${field}' is no JSON object`);
  const count = (name: string): number => optional(summary, name, (object, key) => uintOf(object, key, MOST))[name] ?? 0;
  const moment = (name: string): string => optional(summary, name, timeOf)[name] ?? textOf(snapshot, 'time');
  return {
    ...summary, backup_start: moment('backup_start'), backup_end: moment('backup_end'),
    files_new: count('files_new'), files_changed: count('files_changed'), files_unmodified: count('files_unmodified'),
    dirs_new: count('dirs_new'), dirs_changed: count('dirs_changed'), dirs_unmodified: count('dirs_unmodified'),
    data_blobs: count('data_blobs'), tree_blobs: count('tree_blobs'), data_added: count('data_added'), data_added_packed: count('data_added_packed'),
    total_files_processed: count('total_files_processed'), total_bytes_processed: count('total_bytes_processed'),
  };
}

/** A lock. Throws Error. */
export function parseLock(json: string): LockDocument {
  const lock = parseObject(json, 'the lock');
  const { exclusive } = lock;
  if (typeof exclusive !== 'boolean') throw new Error("its field 'exclusive' is neither true nor false");
  if (!isUint(lock['pid'])) throw new Error("its field 'pid' is no process id");
  return {
    time: timeOf(lock, 'time'), exclusive, hostname: textOf(lock, 'hostname'), username: textOf(lock, 'username'), pid: lock['pid'],
    ...optional(lock, 'uid', uintOf), ...optional(lock, 'gid', uintOf),
  };
}
