/** What a base backup is made of, in the order in which the server sends it. */
import type { Lsn } from './lsn.ts';

export interface TablespaceRow {
  /** Undefined: the data directory. */
  readonly oid: string | undefined;
  readonly location: string;
  /** Estimated. */
  readonly bytes: number;
}

export interface BaseBackupStart {
  readonly lsn: Lsn;
  readonly timeline: number;
  readonly tablespaces: readonly TablespaceRow[];
}

export interface BaseBackupEnd extends Pick<BaseBackupStart, 'lsn' | 'timeline'> {
  /** What the server said beside, such as which page of which file has a wrong checksum. */
  readonly notices: readonly string[];
}

/** Gets the backup in its order. A promise asks to wait before more comes; what throws or rejects ends the backup. */
export interface BaseBackupListener {
  begin(start: BaseBackupStart): void;
  /** A tar stream begins: of the data directory (no oid), or of a tablespace. */
  archive(oid: string | undefined, compressed: boolean): void;
  /** The manifest begins. */
  manifest(): void;
  /** Bytes of what began last; their memory is used again afterwards. */
  data(bytes: Uint8Array, wait: (promise: Promise<void> | undefined) => void): void;
}
