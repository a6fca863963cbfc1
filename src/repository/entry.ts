/**
 * What the repository eats and gives back: the contract between sources and the repository. The consumer declares it, so
 * sources import this file and the repository knows no source.
 */
import type { RawName } from '../base/raw-name.ts';

/** Where the bytes of a stream go while they are archived. */
export interface ContentSink {
  /**
   * Takes all bytes before it returns, so the caller may reuse its buffer at once. A returned promise asks the producer
   * to wait for it before it writes more; it rejects when the archive has failed.
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
}

/** Where the content of a file comes from. */
export type Content =
  /** Read by the engine from the local file system, off the main thread. */
  | { readonly from: 'path'; readonly path: RawName }
  | { readonly from: 'bytes'; readonly bytes: Uint8Array }
  /** Written by the source. It is called once, and must not return before its last write. A rejection fails the archive. */
  | { readonly from: 'stream'; readonly cut?: Cut | undefined; write(sink: ContentSink): Promise<void> }
  | KeptContent;

/**
 * What a file of the previous snapshot of the same store holds, taken over without being read again. `kept` is called when the
 * repository still has all of it; else `otherwise` is read. The size in the entry's metadata is not looked at.
 */
export interface KeptContent {
  readonly from: 'previous';
  /** In the previous snapshot; begins with a slash. */
  readonly path: RawName;
  kept(): void;
  readonly otherwise: Exclude<Content, KeptContent>;
}

export interface ExtendedAttribute {
  readonly name: string;
  readonly value: Uint8Array;
}

/** What the file system says of an entry, under POSIX names. Times are nanoseconds since 1970. */
export interface Metadata {
  /** All 16 bits of `st_mode`: type, setuid, setgid, sticky and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly mtimeNs: bigint;
  readonly atimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
  readonly deviceId: bigint;
  readonly links: number;
  /** Bytes, as the file system says; what counts in the end is what was read. */
  readonly size: number;
  /** Device number of a device node. */
  readonly device?: bigint;
  readonly attributes?: readonly ExtendedAttribute[];
}

interface Named {
  readonly name: RawName;
  readonly metadata: Metadata;
}

export interface FileEntry extends Named {
  readonly type: 'file';
  readonly content: Content;
}

export interface DirectoryEntry extends Named {
  readonly type: 'dir';
  /** Called once, when the archive comes to it. The order is the order in which contents are read, not that of the tree. */
  children(): Promise<readonly Entry[]>;
}

/**
 * A folder whose content arrives in an order of its own, at any depth, and cannot be asked for: the tar stream of a server. Nothing of
 * the content is held; the nodes of all that is below the folder are, until it is done.
 */
export interface FedDirectoryEntry extends Named {
  readonly type: 'fed-dir';
  /** Called once. Returns when all was handed in. A rejection fails the archive. */
  feed(into: EntryFeed): Promise<void>;
}

/**
 * Paths are relative to the fed folder. A folder must have come before what is in it, and no path may come twice. A promise that is
 * returned asks to wait for it before more is handed in.
 */
export interface EntryFeed {
  folder(path: RawName, metadata: Metadata): void;
  /** Its name is the last part of the path. Content of the kind `stream` is asked for at once, beside what goes on arriving. */
  add(path: RawName, entry: FileEntry | SymlinkEntry): Promise<void> | undefined;
  /** Drops all that was handed in, of which no file may be open: what comes after it begins anew. Resolves when all of it was read. */
  restart(): Promise<void>;
  /** A file whose content comes now, before anything else is handed in. */
  open(path: RawName, metadata: Metadata, cut: Cut): FedFile;
}

/** Where a file is cut into chunks: at boundaries that its content has, which move with it, or after a fixed length, at no cost, where content never moves. */
export type Cut = 'by-content' | 'by-length';

export interface FedFile extends ContentSink {
  end(): Promise<void> | undefined;
}

export interface SymlinkEntry extends Named {
  readonly type: 'symlink';
  readonly target: RawName;
}

export interface SpecialEntry extends Named {
  readonly type: 'fifo' | 'socket' | 'dev' | 'chardev';
}

export type Entry = FileEntry | DirectoryEntry | FedDirectoryEntry | SymlinkEntry | SpecialEntry;

/** Something of the source that is not, or not exactly, in the backup. It makes the backup incomplete (exit 3). */
export interface Problem {
  /** Path, table or object, as a person would name it. */
  readonly subject: string;
  readonly kind: 'vanished' | 'unreadable' | 'changed' | 'left-out';
  /** A sentence without the subject: `Permission denied`, `grew from 10 to 12 bytes while it was read`. */
  readonly message: string;
}

/** One name in a folder of a snapshot. */
export interface ListedFile {
  readonly name: RawName;
  readonly type: 'file' | 'dir' | 'symlink' | 'fifo' | 'socket' | 'dev' | 'chardev' | 'irregular';
  readonly size: number;
}

export interface ExtractOptions {
  /** Give files to the users and groups of these names, where they exist here, instead of to the numbers. */
  readonly ownershipByName?: boolean | undefined;
  readonly signal: AbortSignal;
  progress(bytes: number): void;
}

export interface ExtractReport {
  readonly files: number;
  readonly folders: number;
  readonly others: number;
  readonly bytes: number;
  /** What could not be given back as it was, each named: an owner without privilege, an attribute that the file system refuses. */
  readonly problems: readonly Problem[];
}

export interface Comparison {
  readonly files: number;
  readonly bytes: number;
  /** What is missing, what is there in addition, and what differs, each named. */
  readonly differences: readonly Problem[];
}

/** What a source gets to rebuild a store: the files of one snapshot. Every byte it gives out was authenticated and hashed. */
export interface SnapshotFiles {
  readonly snapshotId: string;
  /** Throws `path-missing` when the snapshot has no such folder. Paths start with a slash. */
  list(path: RawName): Promise<readonly ListedFile[]>;
  /**
   * The content of a file in order, in pieces of at most 8 MiB; decrypted and unpacked off the main thread, a few pieces ahead.
   * A piece is valid until the next one is asked for: its memory is used again.
   */
  read(path: RawName): AsyncIterable<Uint8Array>;
  /** A small file as a whole. */
  bytes(path: RawName): Promise<Buffer>;
  /**
   * Rebuilds a folder or a file of the snapshot at `target`, which must not exist: content, owners, modes, times, attributes,
   * links, holes. It is built beside, read back and compared, and only then gets its name; after a failure nothing is left.
   */
  extract(path: RawName, target: RawName, options: ExtractOptions): Promise<ExtractReport>;
  /** Reads what stands at `target` and compares it with the snapshot: types, contents by hash, owners, modes, times, link targets. */
  compare(path: RawName, target: RawName, options: ExtractOptions): Promise<Comparison>;
}
