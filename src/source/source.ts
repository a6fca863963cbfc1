/** What can be backed up. Each kind of store is one adapter of this interface; `suite.ts` is what each of them must pass. */
import type { DirectoryEntry, Problem, SnapshotFiles } from '../repository/entry.ts';
import type { RawName } from '../base/raw-name.ts';

/** How the content of a store hangs together in time. */
export type Consistency = 'quiesced' | 'transactional' | 'crash-consistent' | 'live';

/** Bytes at our sockets: from the server and to it. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/** The part of `manifest.json` that every source writes: what was read, from what, at which moment. */
export interface StoreManifest {
  readonly kind: string;
  /** ISO 8601; the moment that the content belongs to. */
  readonly moment: string;
  readonly consistency: Consistency;
  readonly counts: Readonly<Record<string, number>>;
  readonly problems: readonly Problem[];
  /** What was left out by intent, each with its reason. */
  readonly leftOut: readonly { readonly subject: string; readonly because: string }[];
  /** Bytes that went over the network to read it, counted at the sockets; undefined where nothing did. */
  readonly traffic?: Traffic | undefined;
  /** Undefined: the whole store. */
  readonly part?: Part | undefined;
  /** What only this kind of source knows: tables with fingerprints, server versions … JSON. */
  readonly detail: unknown;
}

/** The part of a store that a backup is about; what is undefined means all. Only databases have parts. */
export interface Part {
  readonly only?: 'schema' | 'data' | undefined;
  /** Patterns of tables, `schema.table` with `*` for any letters. */
  readonly tables?: readonly string[] | undefined;
}

export interface CaptureContext {
  /** The store's name in `holdfast.yaml`. */
  readonly store: string;
  readonly startedAt: Date;
  readonly signal: AbortSignal;
  /** Undefined: the whole store. */
  readonly part?: Part | undefined;
  /** Ask the server for fingerprints and take over what has not changed, where moving bytes is dear. */
  readonly frugal?: boolean | undefined;
  /** The newest snapshot of the same store and part, whose content entries of the kind `previous` may take over. */
  readonly previous?: { readonly snapshotId: string; readonly manifest: StoreManifest } | undefined;
  /** Something was left out, changed or became unreadable; the run ends as incomplete. */
  problem(problem: Problem): void;
  /** A sentence about what is going on now, for progress displays. */
  step(sentence: string): void;
}

/** A store that stands still for the backup: a snapshot transaction, a quiesced folder. Disposing it lets the store go. */
export interface Capture extends AsyncDisposable {
  /** Absolute paths that the snapshot speaks for, as restic records them. */
  readonly paths: readonly RawName[];
  readonly root: DirectoryEntry;
  /** How many contents of the kind `stream` may be read at once. */
  readonly parallel: number;
  /** Called after all of `root` was read. Throws when what was read cannot be accounted for. */
  manifest(): Promise<StoreManifest>;
}

/** How a restore writes what it has. */
export interface RestoreRequest {
  /** Only this part: a path of a directory, `schema.table` of a database. Undefined means all. */
  readonly part?: string | undefined;
  /** Somewhere else than where the store was: a folder, another database name. Nothing that exists is ever overwritten there. */
  readonly into?: string | undefined;
  readonly signal: AbortSignal;
  step(sentence: string): void;
  /** Bytes of content written since the last call. */
  progress(bytes: number): void;
}

/** One comparison between what was backed up and what stands there now. */
export interface ProofLine {
  readonly subject: string;
  readonly equal: boolean;
  /** `1,200 rows, fingerprint equal`, or what differs. */
  readonly detail: string;
}

/** What is told while stored content is proven against its manifest; see prove.ts. */
export interface ProveRequest {
  readonly signal: AbortSignal;
  step(sentence: string): void;
  /** Bytes of content read since the last call. */
  progress(bytes: number): void;
}

export interface RestoreReport {
  /** Where the restored content stands now. */
  readonly target: string;
  /** Where the content that stood there before was kept, when there was any. */
  readonly kept?: string | undefined;
  readonly counts: Readonly<Record<string, number>>;
  readonly proof: readonly ProofLine[];
}

export interface Source {
  readonly kind: string;
  /** Can it be read, with everything that a backup needs? Throws one error that names all that is missing. */
  check(): Promise<void>;
  capture(context: CaptureContext): Promise<Capture>;
  /**
   * Rebuilds the store, or a part, beside what is there; proves it against the manifest; then puts it in place by rename
   * and keeps the old. Throws `restore-unproven` (and puts nothing in place) when a comparison fails.
   */
  restore(files: SnapshotFiles, manifest: StoreManifest, request: RestoreRequest): Promise<RestoreReport>;
  /** Compares the store as it stands now with what was backed up; changes nothing. */
  compare(manifest: StoreManifest, files: SnapshotFiles): Promise<readonly ProofLine[]>;
}
