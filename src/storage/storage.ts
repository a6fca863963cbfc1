/** Where the files of a repository live. Five methods; what only some adapters can do is an optional member. */

/** The kinds of files in a repository: those of restic's format, and `proof`, a folder of ours that restic does not look at. */
export type FileKind = 'config' | 'key' | 'snapshot' | 'index' | 'lock' | 'pack' | 'proof';

export interface StoredFile {
  readonly kind: FileKind;
  /** 64 hex digits: the SHA-256 of the stored bytes. Empty for the one `config`. */
  readonly id: string;
}

export interface ListedStoredFile {
  readonly id: string;
  /** Bytes. */
  readonly size: number;
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** How one call is carried out. Adapters report and obey; decorators (retry, limits, cache) are who asks. */
export interface Call {
  /** Gives the call up; it rejects with the reason of the signal. */
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes as they pass over the wire, up or down. A returned promise is waited for before more are sent or read. */
  moved?(bytes: number): Promise<void> | undefined;
  /**
   * The file is metadata that will be read again and again (trees): a cache keeps the whole of it. `false`: the answer must come
   * from the storage itself, as when what was written is read back.
   */
  readonly keep?: boolean | undefined;
}

export interface Storage {
  /** For people and for error messages; never holds a secret. */
  readonly location: string;

  /**
   * Stores the bytes under this name: all or nothing, durable when the promise resolves. Saving the same name again with the
   * same content is allowed (names are hashes). Throws `storage-full`, `storage-denied` or `storage-failed`; after a failure
   * nothing of that name is visible, or the whole of it.
   */
  save(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<void>;

  /**
   * Loads a file or a range of it. Throws `file-missing`, or `repository-damaged` when the file ends before the range does.
   * May be called again after a failure.
   */
  load(file: StoredFile, range?: Range, call?: Call): Promise<Buffer>;

  /** Every file of a kind, in no order. Other things in the folder (unfinished uploads) are not listed. */
  list(kind: FileKind, call?: Call): AsyncIterable<ListedStoredFile>;

  /** Bytes of the file, or undefined when there is none. */
  size(file: StoredFile, call?: Call): Promise<number | undefined>;

  /**
   * Removes a file; one that is not there is no error. Throws `storage-denied` when the credentials may not, `storage-kept`
   * when an object lock keeps it.
   */
  remove(file: StoredFile, call?: Call): Promise<void>;

  /**
   * Is the stored file equal to these bytes, read back from where it lies? For storages that can tell without handing the
   * content over; of the others it is loaded and compared.
   */
  holds?(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<boolean>;

  /** Makes the folders of an empty repository, for storages that have folders. */
  prepare?(): Promise<void>;

  /** The path of a file on this host, for storages whose files other threads can read directly. */
  localPath?(file: StoredFile): string;

  /** How many calls at once make it fast; 1 when it does not say. */
  readonly parallel?: number;

  /**
   * For storages with an object lock: nobody can remove or change the file before `until`. A lock is only ever made longer.
   * What `save` stores is locked for as long as the storage is configured to.
   */
  keepUntil?(file: StoredFile, until: Date, call?: Call): Promise<void>;
  /** Until when the file is locked; undefined when it is not. */
  keptUntil?(file: StoredFile, call?: Call): Promise<Date | undefined>;
  /** For how many days `save` locks; undefined when it does not. */
  readonly keepDays?: number;

  /**
   * Stores the bytes only where nothing has this name yet, as the storage itself judges at one moment; false when something has.
   * Throws as `save` does.
   */
  saveNew?(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<boolean>;

  /** What the clock of the storage's host shows. */
  serverTime?(call?: Call): Promise<Date>;
  /** Bytes that can still be stored; undefined when the storage does not say. */
  freeBytes?(call?: Call): Promise<number | undefined>;

  /** Removes what unfinished writes from before this moment have left (temporary files, unfinished uploads); answers how many. */
  sweep?(before: Date, call?: Call): Promise<number>;

  /** Ends connections. The storage is not used afterwards. */
  close?(): Promise<void>;
}
