/** A repository of restic's format v2: the face of this folder. Nothing outside knows packs, indexes or trees. */
import { randomBytes } from 'node:crypto';
import * as os from 'node:os';
import { localAccounts } from '../base/accounts.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import type { Storage } from '../storage/storage.ts';
import { archive, type ArchiveOptions, type ArchiveResult } from './archive.ts';
import type { BlobIndex } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import { catFile, type CatKind } from './cat.ts';
import { check, type CheckOptions, type CheckReport } from './check.ts';
import { openCore, saveDocument, sha256, type Core } from './core.ts';
import { copySnapshots, type CopyOptions } from './copy.ts';
import { diffTrees, type DiffEntry, type DiffOptions } from './diff.ts';
import { find, type FindOptions, type FoundPath } from './find.ts';
import { findObjects, type FoundObject, type ObjectKind } from './find-object.ts';
import { Cipher } from './format/cipher.ts';
import { encodeDocument, type ConfigDocument } from './format/documents.ts';
import { formatDate } from './format/go-time.ts';
import { createKeyFile, newMasterKey } from './format/key-file.ts';
import { randomPolynomial } from './format/polynomial.ts';
import { loadReaderIndex, readForWriting, refreshIndex, writerIndex, type WriterIndex, type WriterReading } from './index-loader.ts';
import { addKey, changePassword, listKeys, readKey, removeKey, type KeyInfo } from './key-ring.ts';
import { keepSnapshots, type KeepReport } from './object-lock.ts';
import { acquireLock, acquireReadLock, type Lock, type LockWait } from './lock.ts';
import { listProofs, saveProof, type ProofDocument, type Proofs } from './proof.ts';
import { presentSnapshots, snapshotDocument, type Snapshot, type SnapshotFacts } from './snapshot.ts';
import { StoredFiles } from './snapshot-files.ts';
import { countStats, type Stats, type StatsOptions } from './stats.ts';
import { planPrune, type PruneOptions, type PrunePlan } from './prune-plan.ts';
import { executePrune, type PruneReport } from './prune.ts';
import { Repair, type RepairWork } from './repair.ts';
import { executeUnlock, planUnlock, type PlannedLock, type UnlockReport } from './unlock.ts';
import { UnpackerPool } from './unpack/unpacker-pool.ts';

export { CAT_KINDS, type CatKind } from './cat.ts';
export type { ArchiveResult } from './archive.ts';
export type { CheckReport, ReadData } from './check.ts';
export type { CopyOutcome } from './copy.ts';
export type { Change, DiffEntry, DiffSide } from './diff.ts';
export type { FindOptions, FoundPath, FoundVersion } from './find.ts';
export type { FoundObject, ObjectKind } from './find-object.ts';
export type { KeyInfo } from './key-ring.ts';
export { describeKeeping, type KeepReport } from './object-lock.ts';
export type { Compression } from './packer.ts';
export { proofsOf, type Proof, type ProofDocument, type Proofs } from './proof.ts';
export { findById, tagValue, type Snapshot } from './snapshot.ts';
export type { BrokenSnapshot, DamagedPack, RepairIndexPlan, RepairPacksReport, RepairSnapshotsPlan, RepairSnapshotsReport } from './repair.ts';
export type { PrunePlan } from './prune-plan.ts';
export type { PruneReport } from './prune.ts';
export type { MaxUnused } from './prune-decision.ts';
export type { PlannedLock, UnlockReport } from './unlock.ts';
export type { LockWait } from './lock.ts';
export type { StoredFiles } from './snapshot-files.ts';
export type { Amount, GroupStats, SnapshotStats, Stats } from './stats.ts';

export class Repository {
  readonly #core: Core;
  readonly #clock: Clock;
  #index: BlobIndex | undefined;
  /** The snapshots that were there when they were last listed. */
  #listed: ReadonlySet<string> | undefined;
  #wait: LockWait | undefined;
  /** Read by `lockForWriting`, used by the first `archive`. */
  #reading: WriterReading | undefined;
  /** Of the first `archive`, used by those that follow under the same lock. */
  #writer: WriterIndex | undefined;
  /** Packs that were there before the first `archive`. */
  #packsBefore = 0;

  constructor(core: Core, clock: Clock) {
    this.#core = core;
    this.#clock = clock;
  }

  get id(): string {
    return this.#core.config.id;
  }

  get location(): string {
    return this.#core.storage.location;
  }

  /** From now on, locks that others hold are waited for. */
  waitForLocks(wait: LockWait): void {
    this.#wait = wait;
  }

  /** Which locks there are; stale ones are to go, with `all` every one. */
  async planUnlock(all: boolean): Promise<readonly PlannedLock[]> {
    return await planUnlock(this.#core, this.#clock, all);
  }

  async executeUnlock(plan: readonly PlannedLock[]): Promise<UnlockReport> {
    return await executeUnlock(this.#core, plan);
  }

  /** What pruning would do; see prune-plan.ts. Needs a lock. */
  async planPrune(options: Omit<PruneOptions, 'clock'>): Promise<PrunePlan> {
    return (await planPrune(this.#core, { ...options, clock: this.#clock })).plan;
  }

  /** Plans and does it; see prune.ts. Needs an exclusive lock. */
  async prune(options: Omit<PruneOptions, 'clock'>): Promise<{ readonly plan: PrunePlan; readonly report: PruneReport }> {
    const withClock = { ...options, clock: this.#clock };
    const planned = await planPrune(this.#core, withClock);
    this.#forget();
    return { plan: planned.plan, report: await executePrune(this.#core, planned, withClock) };
  }

  /** What it can do for itself when it is damaged; see repair.ts. Needs a lock, to do it an exclusive one. */
  repair(work: RepairWork): Repair {
    this.#forget();
    return new Repair(this.#core, this.#clock, work);
  }

  /** A lock on the repository, released by disposing it. */
  async lock(exclusive: boolean): Promise<Lock> {
    this.#forget();
    return await acquireLock(this.#core, { exclusive, clock: this.#clock, wait: this.#wait });
  }

  /** A lock for a backup, and all snapshots, oldest first. They and the index are read while the lock settles. */
  async lockForWriting(): Promise<{ readonly lock: Lock; readonly snapshots: readonly Snapshot[] }> {
    let snapshots: readonly Snapshot[] = [];
    this.#forget();
    const meanwhile = async (): Promise<void> => {
      // At once: under this lock nothing goes, and a snapshot that comes meanwhile is only a parent that is not used.
      [snapshots, this.#reading] = await Promise.all([presentSnapshots(this.#core), readForWriting(this.#core)]);
    };
    const lock = await acquireLock(this.#core, { exclusive: false, clock: this.#clock, meanwhile, wait: this.#wait });
    return { lock, snapshots };
  }

  /**
   * A lock for one who adds a little again and again: the index that was loaded for the time before is kept when it is still true (see
   * `refreshIndex`), and snapshots are not listed.
   */
  async lockForAppending(): Promise<Lock> {
    const kept = this.#writer;
    this.#forget();
    const meanwhile = async (): Promise<void> => {
      if (kept !== undefined && (await refreshIndex(this.#core, kept))) [this.#writer, this.#index] = [kept, kept.index];
      else this.#reading = await readForWriting(this.#core);
    };
    return await acquireLock(this.#core, { exclusive: false, clock: this.#clock, meanwhile, wait: this.#wait });
  }

  /** A lock for what only reads; see lock.ts. With `files`, the index that `files` needs is loaded while it settles. */
  async lockForReading(purpose: 'check' | 'files'): Promise<AsyncDisposable> {
    const meanwhile = purpose === 'check' ? undefined : async (): Promise<void> => void (await this.#loadedIndex());
    return await acquireReadLock(this.#core, { clock: this.#clock, meanwhile, wait: this.#wait });
  }

  /**
   * All snapshots, oldest first. What a snapshot refers to is in an index that is loaded after it was listed: when others have written some since
   * the last time, as a follower of a server's log does all the while, the index for reading is loaded anew when it is needed.
   */
  async snapshots(): Promise<readonly Snapshot[]> {
    const snapshots = await presentSnapshots(this.#core);
    const known = this.#listed;
    this.#listed = new Set(snapshots.map(({ id }) => id));
    if (this.#writer === undefined && !snapshots.every(({ id }) => known?.has(id) === true)) this.#index = undefined;
    return snapshots;
  }

  /** Stores a tree of entries, packs and index; see archive.ts. Needs a lock. */
  async archive(options: Omit<ArchiveOptions, 'clock'>): Promise<ArchiveResult & Pick<WriterIndex, 'missingPacks'>> {
    const writer = await this.#writing();
    // After a failure packs may be stored that no index names yet: the next one looks anew, and finds them.
    this.#writer = undefined;
    this.#index = undefined;
    const { indexFiles, ...result } = await archive(this.#core, writer.index, { ...options, clock: this.#clock });
    // The index knows now what was written: the next store and all readers use the same.
    for (const id of indexFiles) writer.files.add(id);
    this.#writer = writer;
    this.#index = writer.index;
    return { ...result, missingPacks: writer.missingPacks };
  }

  /** The index to write with, made from what was read while the lock settled. */
  async #writing(): Promise<WriterIndex> {
    const writer = this.#writer ?? (await writerIndex(this.#core, this.#reading ?? (await readForWriting(this.#core))));
    this.#reading = undefined;
    this.#packsBefore ||= writer.index.packs.length;
    this.#writer = writer;
    return writer;
  }

  /** Writes a snapshot and reads it back; the last step of a backup. Answers its id. */
  async saveSnapshot(facts: SnapshotFacts): Promise<string> {
    const document = snapshotDocument(facts, this.#clock.now());
    return await saveDocument(this.#core, 'snapshot', encodeDocument(document));
  }

  /**
   * Makes the object locks of all that these snapshots of this run need last for as long as the storage is configured to, from
   * `from` on. Undefined when there are no object locks.
   */
  async keepSnapshots(snapshots: readonly Pick<Snapshot, 'id' | 'tree'>[], from: Date, signal: AbortSignal): Promise<KeepReport | undefined> {
    if (this.#core.storage.keepDays === undefined) return undefined;
    return await keepSnapshots(this.#core, await this.#loadedIndex(), { snapshots, from, newPacks: this.#packsBefore, signal });
  }

  /** What verifications have found; see proof.ts. */
  async proofs(): Promise<Proofs> {
    return await listProofs(this.#core);
  }

  async saveProof(proof: ProofDocument): Promise<string> {
    return await saveProof(this.#core, proof);
  }

  /**
   * Removes the file of a snapshot or of a proof; one that is not there is no error. Throws `storage-denied`, `storage-kept`. Needs an
   * exclusive lock; a shared one is enough for a snapshot of our own that a newer one of ours replaces, of which nobody is deprived.
   */
  async remove(kind: 'snapshot' | 'proof', id: string): Promise<void> {
    await this.#core.storage.remove({ kind, id });
  }

  /** The files of a snapshot, for as long as the result is not disposed. Needs the snapshot to have been listed before. */
  async files(snapshot: Snapshot): Promise<OpenedFiles> {
    const index = await this.#loadedIndex();
    const pool = new UnpackerPool(this.#core);
    const blobs = new BlobReader(this.#core, index);
    const files = new StoredFiles({ core: this.#core, index, blobs, pool, accounts: localAccounts() }, snapshot);
    return { files, [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose]() };
  }

  /** Paths of several snapshots, each once with its versions; see find.ts. */
  async *find(options: FindOptions): AsyncGenerator<FoundPath> {
    yield* find(new BlobReader(this.#core, await this.#loadedIndex()), options);
  }

  /** What needs a blob, a tree or what lies in a pack; see find-object.ts. */
  async *findObjects(snapshots: readonly Snapshot[], kind: ObjectKind, prefixes: readonly string[], signal: AbortSignal): AsyncGenerator<FoundObject> {
    const index = await this.#loadedIndex();
    yield* findObjects({ blobs: new BlobReader(this.#core, index), index }, snapshots, kind, prefixes, signal);
  }

  /** Copies snapshots of another repository into this one; see copy.ts. Needs `lockForWriting` here and a lock there. Answers how many packs are missing here. */
  async copyFrom(source: Repository, present: readonly Snapshot[], options: Omit<CopyOptions, 'clock'>): Promise<number> {
    const { index, missingPacks } = await writerIndex(this.#core, this.#reading ?? (await readForWriting(this.#core)));
    this.#forget();
    // Which packs are new is not kept: the object locks of all that the copies need are looked at.
    this.#packsBefore = Number.MAX_SAFE_INTEGER;
    const from = { core: source.#core, index: await source.#loadedIndex() };
    await copySnapshots(from, { core: this.#core, index, snapshots: present, incomplete: missingPacks > 0 }, { ...options, clock: this.#clock });
    return missingPacks;
  }

  /** The polynomial of the chunker: repositories that share it cut the same content into the same chunks. */
  get polynomial(): bigint {
    return this.#core.polynomial;
  }

  /** What differs from one snapshot to another; see diff.ts. */
  async *diff(before: Snapshot, after: Snapshot, options: DiffOptions): AsyncGenerator<DiffEntry> {
    yield* diffTrees(new BlobReader(this.#core, await this.#loadedIndex()), before.tree, after.tree, '/', options);
  }

  /** What snapshots hold and cost; see stats.ts. */
  async stats(options: StatsOptions): Promise<Stats> {
    const index = await this.#loadedIndex();
    return await countStats(new BlobReader(this.#core, index), index, options);
  }

  /** Is it sound? See check.ts. */
  async check(options: CheckOptions): Promise<CheckReport> {
    return await check(this.#core, options);
  }

  /** A file of the repository as it is inside, as JSON or as the plaintext of a blob. */
  async cat(kind: CatKind, id: string): Promise<Buffer> {
    return await catFile(this.#core, () => this.#loadedIndex(), kind, id);
  }

  async keys(): Promise<readonly KeyInfo[]> {
    return await listKeys(this.#core);
  }

  /** The key that the password has opened. */
  async currentKey(): Promise<KeyInfo> {
    return await readKey(this.#core, this.#core.keyId);
  }

  async addKey(password: Secret): Promise<string> {
    return await addKey(this.#core, password, this.#clock);
  }

  async removeKey(prefix: string): Promise<string> {
    return await removeKey(this.#core, prefix);
  }

  async changePassword(password: Secret): Promise<string> {
    return await changePassword(this.#core, password, this.#clock);
  }

  /** Ends the connections of the storage. */
  async close(): Promise<void> {
    await this.#core.storage.close?.();
  }

  /** Before a lock is held others may write and remove: what was read then is not relied on. */
  #forget(): void {
    this.#index = undefined;
    this.#reading = undefined;
    this.#writer = undefined;
    this.#packsBefore = 0;
  }

  /** The index, loaded once. Snapshots must have been listed before: what they refer to is then in it. */
  async #loadedIndex(): Promise<BlobIndex> {
    this.#index ??= this.#reading === undefined && this.#writer === undefined ? await loadReaderIndex(this.#core) : (await this.#writing()).index;
    return this.#index;
  }
}

export interface OpenedFiles extends AsyncDisposable {
  readonly files: StoredFiles;
}

/** Makes an empty repository with one password. Throws `repository-exists`. */
export async function createRepository(storage: Storage, password: Secret, clock: Clock, polynomial = randomPolynomial()): Promise<Repository> {
  await refuseExisting(storage);
  await storage.prepare?.();
  const key = newMasterKey();
  const keyFile = await createKeyFile(key, password, { created: formatDate(clock.now()), username: os.userInfo().username, hostname: os.hostname() });
  const keyBytes = Buffer.from(JSON.stringify(keyFile));
  await storage.save({ kind: 'key', id: sha256(keyBytes) }, keyBytes);
  const config: ConfigDocument = { version: 2, id: randomBytes(32).toString('hex'), chunker_polynomial: polynomial.toString(16) };
  // The config is never compressed, in no version, and written last: without it there is no repository.
  await storage.save({ kind: 'config', id: '' }, new Cipher(key).seal(Buffer.from(encodeDocument(config))));
  return await openRepository(storage, password, clock);
}

/** A bucket's life cycle may have eaten the config alone: keys and snapshots count too. Where there is no bucket yet there is nothing. */
async function refuseExisting(storage: Storage): Promise<void> {
  const found = await firstFile(storage).catch((error: unknown) => {
    if (isHoldfastError(error, 'repository-missing')) return undefined;
    throw error;
  });
  if (found === undefined) return;
  throw new HoldfastError('repository-exists', `there is a repository at ${storage.location} already (it has ${found})`, { hint: 'Use it as it is, or choose another place.' });
}

async function firstFile(storage: Storage): Promise<string | undefined> {
  for (const kind of ['config', 'key', 'snapshot'] as const) {
    for await (const file of storage.list(kind)) return kind === 'config' ? 'a config' : `the ${kind} ${file.id.slice(0, 10)}`;
  }
  return undefined;
}

/** Opens a repository. Throws `repository-missing`, `wrong-password`, `repository-format`. */
export async function openRepository(storage: Storage, password: Secret, clock: Clock): Promise<Repository> {
  return new Repository(await openCore(storage, password), clock);
}
