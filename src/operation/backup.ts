/** `backup`: one restore point over several stores, a snapshot a store. A snapshot is written only when all it needs is stored and read back. */
import { randomBytes } from 'node:crypto';
import * as os from 'node:os';
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { toText } from '../base/raw-name.ts';
import { PROGRAM } from '../base/version.ts';
import type { FileEntry, Problem } from '../repository/entry.ts';
import { describeKeeping, type ArchiveResult, type Compression, type Repository, type Snapshot } from '../repository/repository.ts';
import type { Part, Source, StoreManifest, Traffic } from '../source/source.ts';
import type { Stack, Store } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { createManifest, encodeManifest, MANIFEST_FILE, type SnapshotManifest } from './manifest.ts';
import { sourceOf } from './open.ts';
import { partTags } from './part.ts';
import { FRUGAL_TAG, previousCapture, previousSnapshot } from './previous.ts';
import type { MonthTraffic, TrafficJournal } from './traffic-journal.ts';

export interface BackupOptions {
  readonly stack: Stack;
  readonly stores: readonly Store[];
  readonly repository: Repository;
  readonly compression: Compression;
  /** Added to every snapshot. */
  readonly tags: readonly string[];
  /** The part of a store that is meant; undefined: all of it. */
  readonly partOf?: ((store: Store) => Part | undefined) | undefined;
  /** Spare the network rather than the server; see `CaptureContext`. */
  readonly frugal?: boolean | undefined;
  /** Where the bytes that went over the network are written down. */
  readonly journal?: TrafficJournal | undefined;
}

export type StoreBackup =
  | {
      readonly store: string;
      readonly kind: string;
      readonly state: 'ok' | 'degraded';
      readonly snapshot: string;
      readonly counts: Readonly<Record<string, number>>;
      readonly position?: string | undefined;
      readonly problems: readonly Problem[];
      readonly archived: ArchiveResult;
      readonly part: Part | undefined;
      readonly traffic: Traffic | undefined;
      readonly seconds: number;
    }
  | { readonly store: string; readonly kind: string; readonly state: 'failed'; readonly error: HoldfastError; readonly traffic: Traffic | undefined; readonly seconds: number };

export interface BackupReport {
  readonly run: string;
  readonly state: 'ok' | 'degraded' | 'failed';
  readonly startedAt: string;
  readonly seconds: number;
  readonly stores: readonly StoreBackup[];
  /** What a person should know of the repository. */
  readonly warnings: readonly string[];
  /** What this stack has moved over the network this month, with this run; undefined where nothing was counted. */
  readonly month: MonthTraffic | undefined;
}

/** `20261120T235959Z-1a2b3c`: sorts by time, and two runs of one second differ. */
function runName(now: Date): string {
  return `${now.toISOString().replace(/[-:]/g, '').slice(0, 15)}Z-${randomBytes(3).toString('hex')}`;
}

class BackupRun {
  readonly #options: BackupOptions;
  readonly #context: Context;
  readonly name: string;
  readonly #snapshots: readonly Snapshot[];
  /** Packs that the repository should have and has not. */
  missingPacks = 0;
  readonly warnings = new Set<string>();

  constructor(options: BackupOptions, context: Context, run: string, snapshots: readonly Snapshot[]) {
    this.#options = options;
    this.#context = context;
    this.name = run;
    this.#snapshots = snapshots;
  }

  /** Backs one store up. A store that fails does not keep the others from being backed up. */
  async store(store: Store, source: Source): Promise<StoreBackup> {
    const { clock, emit } = this.#context;
    const started = clock.elapsedMs();
    const seconds = (): number => (clock.elapsedMs() - started) / 1000;
    emit({ type: 'store-started', store: store.name, kind: store.kind });
    let traffic: Traffic | undefined;
    try {
      const backup = await this.#capture(store, source, (moved) => void (traffic = moved));
      return { store: store.name, kind: store.kind, ...backup, traffic, seconds: seconds() };
    } catch (error) {
      if (this.#context.signal.aborted) throw this.#context.signal.reason;
      // The repository itself is out of order: no other store could be stored either.
      if (isHoldfastError(error, 'storage-full', 'storage-failed', 'storage-denied', 'lock-lost', 'repository-missing', 'repository-damaged')) throw error;
      return { store: store.name, kind: store.kind, state: 'failed', error: asHoldfastError(store, error), traffic, seconds: seconds() };
    } finally {
      await this.#writeDown(store, traffic);
      emit({ type: 'store-finished', store: store.name, seconds: seconds() });
    }
  }

  async #capture(store: Store, source: Source, traffic: (moved: Traffic) => void): Promise<Pick<Extract<StoreBackup, { state: 'ok' | 'degraded' }>, 'state' | 'snapshot' | 'counts' | 'position' | 'problems' | 'archived' | 'part'>> {
    const { clock, emit, signal } = this.#context;
    const startedAt = clock.now();
    const problems: Problem[] = [];
    const problem = (found: Problem): void => {
      problems.push(found);
      emit({ type: 'problem', store: store.name, problem: found });
    };
    const part = this.#options.partOf?.(store);
    // Other stores have nothing that a server could be asked for.
    const frugal = this.#options.frugal === true && store.kind === 'postgres';
    const previous = previousSnapshot(this.#snapshots, { stack: this.#options.stack, store, part, frugal });
    await using opened = previous && (await this.#options.repository.files(previous));
    await using capture = await source.capture({
      store: store.name, startedAt, signal, problem, traffic, part, frugal, previous: previous && opened && (await previousCapture(opened, previous)),
      step: (sentence) => emit({ type: 'step', store: store.name, sentence }),
    });
    const manifests: SnapshotManifest[] = [];
    const archived = await this.#options.repository.archive({
      root: capture.root, parallel: capture.parallel, previousTree: previous?.tree, compression: this.#options.compression, signal, problem,
      progress: (bytes, files) => emit({ type: 'progress', store: store.name, bytes, files }),
      closing: async () => {
        const manifest = this.#manifest(store, await capture.manifest(), problems);
        manifests.push(manifest);
        return [manifestEntry(encodeManifest(manifest), startedAt)];
      },
    });
    this.missingPacks = Math.max(this.missingPacks, archived.missingPacks);
    const [manifest] = manifests;
    if (!manifest) throw new Error('a backup without a manifest');
    const snapshot = await this.#saveSnapshot(manifest, [...partTags(part), ...(frugal ? [FRUGAL_TAG] : [])], capture.paths.map(toText), archived, startedAt, previous?.id);
    return { state: manifest.state, snapshot, counts: manifest.content.counts, position: manifest.content.position, problems, archived, part };
  }

  /** The source's own account, with what the engine has met while it read. */
  #manifest(store: Store, content: StoreManifest, problems: readonly Problem[]): SnapshotManifest {
    const { name, folder, text } = this.#options.stack;
    const configuration = text === undefined ? undefined : { folder, text };
    return createManifest({ stack: name, store: store.name, run: this.name, tier: store.tier, configuration, content: { ...content, problems } });
  }

  /** Also what a run has moved that failed. A host that cannot keep the journal has its backup all the same. */
  async #writeDown(store: Store, traffic: Traffic | undefined): Promise<void> {
    const { journal, stack } = this.#options;
    if (journal === undefined || traffic === undefined) return;
    try {
      await journal.add([{ time: this.#context.clock.now().toISOString(), stack: stack.name, store: store.name, verb: 'backup', ...traffic }]);
    } catch (error) {
      this.warnings.add(`what went over the network could not be written down: ${messageOf(error)}`);
    }
  }

  async #saveSnapshot(manifest: SnapshotManifest, tags: readonly string[], paths: readonly string[], archived: ArchiveResult, startedAt: Date, parent: string | undefined): Promise<string> {
    const user = os.userInfo();
    const { stack, store, run, state } = manifest;
    return await this.#options.repository.saveSnapshot({
      at: startedAt, parent, tree: archived.tree, paths, hostname: os.hostname(), username: user.username, uid: user.uid, gid: user.gid,
      tags: [`stack:${stack}`, `store:${store}`, `run:${run}`, `state:${state}`, ...tags, ...this.#options.tags], program: PROGRAM, archived,
    });
  }
}

function asHoldfastError(store: Store, error: unknown): HoldfastError {
  if (isHoldfastError(error)) return error;
  return new HoldfastError('internal', `${store.name} could not be backed up: ${messageOf(error)}`, { cause: error });
}

function manifestEntry(bytes: Buffer, at: Date): FileEntry {
  const ns = BigInt(at.getTime()) * 1_000_000n;
  const { uid, gid } = os.userInfo();
  return {
    type: 'file', name: MANIFEST_FILE, content: { from: 'bytes', bytes },
    metadata: { mode: 0o100600, uid, gid, mtimeNs: ns, atimeNs: ns, ctimeNs: ns, inode: 0n, deviceId: 0n, links: 1, size: bytes.length },
  };
}

function warningsOf(missingPacks: number): readonly string[] {
  if (missingPacks === 0) return [];
  return [`${missingPacks} packs of the repository are missing. This backup does not rely on them, but earlier snapshots may not restore: run \`holdfast check\`.`];
}

/** Object locks last from the newest snapshot that needs them. */
async function keep(repository: Repository, stores: readonly StoreBackup[], from: Date, { signal }: Context): Promise<readonly string[]> {
  const made = stores.flatMap((store) => (store.state === 'failed' ? [] : [{ id: store.snapshot, tree: store.archived.tree }]));
  const warning = describeKeeping(await repository.keepSnapshots(made, from, signal));
  return warning === undefined ? [] : [warning];
}

/** Backs the stores up, one after the other, into one repository. */
export async function backup(options: BackupOptions, context: Context): Promise<BackupReport> {
  const { clock } = context;
  const started = clock.elapsedMs();
  const startedAt = clock.now();
  const sources: (readonly [Store, Source])[] = [];
  for (const store of options.stores) sources.push([store, await sourceOf(store, clock)]);
  const { lock, snapshots } = await options.repository.lockForWriting();
  await using _lock = lock;
  const run = new BackupRun(options, context, runName(startedAt), snapshots);
  const stores: StoreBackup[] = [];
  for (const [store, source] of sources) stores.push(await run.store(store, source));
  const warnings = [...warningsOf(run.missingPacks), ...run.warnings, ...(await keep(options.repository, stores, startedAt, context))];
  const states = stores.map(({ state }) => state);
  const state = states.includes('failed') ? 'failed' : states.includes('degraded') ? 'degraded' : 'ok';
  return { run: run.name, state, startedAt: startedAt.toISOString(), seconds: (clock.elapsedMs() - started) / 1000, stores, warnings, month: await monthOf(options, stores, startedAt) };
}

async function monthOf({ journal, stack }: BackupOptions, stores: readonly StoreBackup[], at: Date): Promise<MonthTraffic | undefined> {
  if (stores.every(({ traffic }) => traffic === undefined)) return undefined;
  return await journal?.month(stack.name, at).catch(() => undefined);
}
