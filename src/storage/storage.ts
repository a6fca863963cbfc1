/** Where the files of a repository live. Five methods; what only some adapters can do is an optional member. */

/** The kinds of files in a repository of restic's format, each in its folder. */
export type FileKind = 'config' | 'key' | 'snapshot' | 'index' | 'lock' | 'pack';

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

export interface Storage {
  /** For people and for error messages; never holds a secret. */
  readonly location: string;

  /**
   * Stores the bytes under this name: all or nothing, durable when the promise resolves. Saving the same name again with the
   * same content is allowed (names are hashes). Throws `storage-full` or `storage-failed`; after a failure nothing of
   * that name is visible.
   */
  save(file: StoredFile, bytes: Uint8Array): Promise<void>;

  /**
   * Loads a file or a range of it. Throws `file-missing`, or `repository-damaged` when the file ends before the range does.
   * May be called again after a failure.
   */
  load(file: StoredFile, range?: { readonly offset: number; readonly length: number }): Promise<Buffer>;

  /** Every file of a kind, in no order. Other things in the folder (unfinished uploads) are not listed. */
  list(kind: FileKind): AsyncIterable<ListedStoredFile>;

  /** Bytes of the file, or undefined when there is none. */
  size(file: StoredFile): Promise<number | undefined>;

  /** Removes a file; one that is not there is no error. */
  remove(file: StoredFile): Promise<void>;

  /**
   * Is the stored file equal to these bytes, read back from where it lies? For storages that can tell without handing the
   * content over; of the others it is loaded and compared.
   */
  holds?(file: StoredFile, bytes: Uint8Array): Promise<boolean>;

  /** Makes the folders of an empty repository, for storages that have folders. */
  prepare?(): Promise<void>;

  /** The path of a file on this host, for storages whose files other threads can read directly. */
  localPath?(file: StoredFile): string;
}
