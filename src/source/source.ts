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
  /** Where in the server's log the content stands, for people: `0/A000100 on timeline 1`. */
  readonly position?: string | undefined;
  /** What only this kind of source knows: tables with fingerprints, server versions … JSON. */
  readonly detail: unknown;
}

/** The part of a store that a backup is about; what is undefined means all. Only databases have parts. */
export interface Part {
  readonly only?: 'schema' | 'data' | undefined;
  /** Patterns of tables, `schema.table` with `*` for any letters. */
  readonly tables?: readonly string[] | undefined;
}

export interface PreviousCapture {
  readonly snapshotId: string;
  readonly manifest: StoreManifest;
  /** What it holds, for sources that are told only what has changed; valid as long as the capture. */
  readonly files?: SnapshotFiles | undefined;
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
  readonly previous?: PreviousCapture | undefined;
  /** Something was left out, changed or became unreadable; the run ends as incomplete. */
  problem(problem: Problem): void;
  /** A sentence about what is going on now, for progress displays. */
  step(sentence: string): void;
  /** Told once when the store is let go, also after a failure: what has gone over the network. Only of sources that count it. */
  traffic?(moved: Traffic): void;
}

export interface EstimateItem {
  /** A table, or `large objects`. */
  readonly subject: string;
  /** Bytes that would come from the server; 0 when it is unchanged. */
  readonly bytes: number;
  readonly unchanged: boolean;
}

/** What a capture would move, found without moving it. */
export interface Estimate {
  /** Largest first. */
  readonly items: readonly EstimateItem[];
  /** From the server in all: `items`, and what every capture asks for. */
  readonly bytes: number;
  /** What the estimate itself has moved. */
  readonly spent: Traffic;
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

/** What is done about that which a restore needs and the target does not have. */
export interface RestoreChoices {
  /** Role of the backup → role of the target, which takes its place as owner, in privileges and in policies. */
  readonly mapRoles?: Readonly<Record<string, string>> | undefined;
  /** Roles that are missing: make them (the default), or do without: what they own is then ours, what they were granted is left out. */
  readonly roles?: 'create' | 'skip' | undefined;
  /** Extensions to do without. */
  readonly skipExtensions?: readonly string[] | undefined;
  /** False: all is owned by the user of the restore. */
  readonly owners?: boolean | undefined;
  /** False: nothing is granted. */
  readonly privileges?: boolean | undefined;
  /** False: everything is stored where the database is. */
  readonly tablespaces?: boolean | undefined;
  /** A locale of the target's C library in place of the one of the backup. */
  readonly locale?: string | undefined;
}

/** How a restore writes what it has. */
export interface RestoreRequest {
  /** Only this part: a path of a directory, `schema.table` of a database. Undefined means all. */
  readonly part?: string | undefined;
  /** Only these tables of a database, as names or patterns `schema.table` with `*` for any letters. Undefined means all. */
  readonly tables?: readonly string[] | undefined;
  /** Only the schema, or only rows into tables that are there. */
  readonly only?: 'schema' | 'data' | undefined;
  /** One table under another name, `schema.table`, in the database that it comes from. */
  readonly as?: string | undefined;
  /** Replace in the existing database what the backup holds, and leave alone what else is there. */
  readonly clean?: boolean | undefined;
  /** With `clean`: also drop what depends on it from outside. */
  readonly cascade?: boolean | undefined;
  readonly choices?: RestoreChoices | undefined;
  /** Somewhere else than where the store was: a folder, another database name. Nothing that exists is ever overwritten there. */
  readonly into?: string | undefined;
  /** Schemas of a database that get another name: of the backup → restored. */
  readonly schemas?: Readonly<Record<string, string>> | undefined;
  /** Where tablespaces of a whole server go, by OID or name; absolute. The others go beside the data directory. */
  readonly tablespaces?: Readonly<Record<string, string>> | undefined;
  /** `into` names a database that exists and is empty: for users that may not make one. */
  readonly intoExisting?: boolean | undefined;
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

/** One thing that a restore does besides writing what the backup holds: on the target something is missing, or in the way. */
export interface RestoreStep {
  /** `role app_owner`, `extension postgis`, `table public.orders` */
  readonly subject: string;
  readonly action: 'create' | 'map' | 'skip' | 'drop' | 'replace' | 'note';
  /** A clause that goes on after the subject and the action: `to postgres, because …`. */
  readonly detail: string;
}

export interface Source {
  readonly kind: string;
  /** Can it be read, with everything that a backup needs? Throws one error that names all that is missing. */
  check(): Promise<void>;
  capture(context: CaptureContext): Promise<Capture>;
  /** What a capture with this context would move over the network. Only of sources that are read over one. */
  estimate?(context: CaptureContext): Promise<Estimate>;
  /**
   * Rebuilds the store, or a part, beside what is there; proves it against the manifest; then puts it in place by rename
   * and keeps the old. Throws `restore-unproven` (and puts nothing in place) when a comparison fails.
   */
  restore(files: SnapshotFiles, manifest: StoreManifest, request: RestoreRequest): Promise<RestoreReport>;
  /**
   * What a restore would do on the target as it is now, besides writing; changes nothing. Throws `missing-on-target` with all that stands
   * against it. Only sources whose target can lack something have it.
   */
  planRestore?(files: SnapshotFiles, manifest: StoreManifest, request: RestoreRequest): Promise<readonly RestoreStep[]>;
  /** Compares the store as it stands now with what was backed up; changes nothing. */
  compare(manifest: StoreManifest, files: SnapshotFiles): Promise<readonly ProofLine[]>;
}
