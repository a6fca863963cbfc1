/**
 * Copies snapshots into another repository, with another key, on another storage: only blobs that are not there, out of whole
 * stretches of packs (transfer.ts). The target's chunks stay those of the source, so ids of trees stay too.
 *
 * Order: blobs, then an index that names them, then the snapshot, oldest snapshots first. Dying anywhere leaves whole packs, which the
 * next run takes up (index-loader.ts), and whole snapshots, which it passes over. Several snapshots share packs until these are
 * worth a pack; memory is a few bits for each blob of the source.
 */
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import type { BlobIndex } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import { loadDocument, saveDocument, type Core } from './core.ts';
import { chosenPacks, EntrySet } from './entry-set.ts';
import { encodeDocument, type SnapshotDocument } from './format/documents.ts';
import { parseTime } from './format/go-time.ts';
import type { BlobType } from './format/pack-header.ts';
import type { Snapshot } from './snapshot.ts';
import { transfer } from './transfer.ts';

/** Stored bytes at which blobs are moved and the snapshots that wait for them written. */
const BATCH_BYTES = 64 << 20;

export interface CopySource {
  readonly core: Core;
  readonly index: BlobIndex;
}

export interface CopyTarget extends CopySource {
  /** What is there already. */
  readonly snapshots: readonly Snapshot[];
  /** Packs are missing there: what copies that are there need of them is brought again. */
  readonly incomplete: boolean;
}

export interface CopyOptions {
  /** Of the source; copied oldest first. */
  readonly snapshots: readonly Snapshot[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  step(sentence: string): void;
  /** Bytes that are done since the last call, as they are stored in the source. */
  progress(bytes: number): void;
  /** Hears of each snapshot as soon as its fate is known. */
  done(outcome: CopyOutcome): void;
}

export type CopyOutcome =
  /** `id`: its id in the target. */
  | { readonly state: 'copied'; readonly snapshot: Snapshot; readonly id: string; readonly blobs: number; readonly storedBytes: number }
  | { readonly state: 'present'; readonly snapshot: Snapshot; readonly id: string }
  /** Some of it is damaged in the source. */
  | { readonly state: 'failed'; readonly snapshot: Snapshot; readonly error: HoldfastError };

/** A snapshot whose blobs are still to be moved. */
interface Waiting {
  readonly snapshot: Snapshot;
  readonly blobs: number;
  readonly storedBytes: number;
}

class CopyRun {
  readonly #source: CopySource;
  readonly #target: CopyTarget;
  readonly #options: CopyOptions;
  readonly #blobs: BlobReader;
  /** Trees that were walked, and blobs that are in the target or on their way. */
  readonly #met: EntrySet;
  readonly #lost: EntrySet;
  #wanted: EntrySet;
  #wantedBytes = 0;
  #waiting: Waiting[] = [];

  constructor(source: CopySource, target: CopyTarget, options: CopyOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#blobs = new BlobReader(source.core, source.index);
    const { count } = source.index;
    this.#met = new EntrySet(count);
    this.#lost = new EntrySet(count);
    this.#wanted = new EntrySet(count);
  }

  async run(): Promise<void> {
    const present = new Map<string, Snapshot[]>();
    for (const snapshot of this.#target.snapshots) {
      for (const id of new Set([snapshot.id, snapshot.original ?? snapshot.id])) present.set(id, [...(present.get(id) ?? []), snapshot]);
    }
    for (const snapshot of this.#options.snapshots) {
      const copy = present.get(snapshot.original ?? snapshot.id)?.find((one) => isSame(one, snapshot));
      if (copy) await this.#pass(snapshot, copy);
      else await this.#take(snapshot);
      if (this.#wantedBytes >= BATCH_BYTES) await this.#flush();
    }
    await this.#flush();
  }

  async #pass(snapshot: Snapshot, copy: Snapshot): Promise<void> {
    if (this.#target.incomplete) {
      await this.#walk(snapshot.tree).catch((error: unknown) => {
        // What is lost here too cannot be brought again; the copy is there all the same.
        if (!isHoldfastError(error, 'repository-damaged', 'file-missing')) throw error;
      });
    }
    this.#options.done({ state: 'present', snapshot, id: copy.id });
  }

  /** Finds out what a snapshot needs that is neither there nor on its way. */
  async #take(snapshot: Snapshot): Promise<void> {
    this.#options.step(`looking at snapshot ${snapshot.id.slice(0, 8)} of ${snapshot.time.slice(0, 16).replace('T', ' ')}`);
    const [blobs, bytes] = [this.#wanted.size, this.#wantedBytes];
    try {
      await this.#walk(snapshot.tree);
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged', 'file-missing')) throw error;
      this.#options.done({ state: 'failed', snapshot, error });
      return;
    }
    this.#waiting.push({ snapshot, blobs: this.#wanted.size - blobs, storedBytes: this.#wantedBytes - bytes });
  }

  /** A tree that the target has is walked all the same: an interrupted copy may have brought it without what it names. */
  async #walk(tree: string): Promise<void> {
    this.#options.signal.throwIfAborted();
    const { index } = this.#source;
    const number = index.find(tree, 'tree');
    if (number >= 0 && this.#met.has(number)) return;
    for (const node of await this.#blobs.tree(tree)) {
      for (const id of node.content ?? []) this.#want(id, 'data');
      if (node.type === 'dir' && node.subtree !== undefined) await this.#walk(node.subtree);
    }
    // Only now: a tree below which something is missing is met again by the next snapshot that needs it.
    this.#want(tree, 'tree');
  }

  #want(id: string, type: BlobType): void {
    const { index } = this.#source;
    const number = index.find(id, type);
    if (number < 0) {
      throw new HoldfastError('repository-damaged', `${type} blob ${id.slice(0, 10)} is in no index of ${this.#source.core.storage.location}, or in a pack that is missing`, { hint: 'Run `holdfast check` to see which snapshots need it.' });
    }
    if (!this.#met.add(number) || this.#target.index.has(id, type)) return;
    this.#wanted.add(number);
    this.#wantedBytes += index.location(number).length;
  }

  /** Moves what is wanted, then writes the snapshots that wait for it. */
  async #flush(): Promise<void> {
    const { clock, signal, progress, step, done } = this.#options;
    const waiting = this.#waiting;
    if (waiting.length === 0 && this.#wanted.size === 0) return;
    const { core, index } = this.#source;
    if (this.#wanted.size > 0) {
      step(`copying ${this.#wanted.size} blobs`);
      await transfer({
        from: core, to: this.#target.core, packs: chosenPacks(index, this.#wanted), clock, signal, progress: (bytes) => progress(bytes),
        unreadable: ({ blob, error }) => {
          if (error.code === 'storage-failed') throw error;
          this.#lost.add(index.find(blob.id, blob.type));
        },
      });
    }
    this.#waiting = [];
    this.#wanted = new EntrySet(index.count);
    this.#wantedBytes = 0;
    for (const one of waiting) done(await this.#write(one));
  }

  async #write({ snapshot, blobs, storedBytes }: Waiting): Promise<CopyOutcome> {
    const lost = this.#lost.size === 0 ? 0 : await this.#countLost(snapshot.tree);
    if (lost > 0) {
      const error = new HoldfastError('repository-damaged', `${lost === 1 ? 'a blob' : `${lost} blobs`} that snapshot ${snapshot.id.slice(0, 8)} needs cannot be read as ${lost === 1 ? 'it was' : 'they were'} written`, {
        hint: 'Run `holdfast verify` with its id to see which files are affected. What could be read was copied, and is used by the next run.',
      });
      return { state: 'failed', snapshot, error };
    }
    const id = await saveDocument(this.#target.core, 'snapshot', encodeDocument(copyOf(snapshot)));
    await loadDocument(this.#target.core, 'snapshot', id, { keep: false });
    return { state: 'copied', snapshot, id, blobs, storedBytes };
  }

  /** Lost blobs below a tree; each tree once. */
  async #countLost(root: string): Promise<number> {
    const { index } = this.#source;
    const seen = new EntrySet(index.count);
    let lost = 0;
    const meet = (id: string, type: BlobType): boolean => {
      const number = index.find(id, type);
      const isNew = seen.add(number);
      if (isNew && this.#lost.has(number)) lost++;
      return isNew;
    };
    const visit = async (tree: string): Promise<void> => {
      if (!meet(tree, 'tree')) return;
      for (const node of await this.#blobs.tree(tree)) {
        for (const id of node.content ?? []) meet(id, 'data');
        if (node.type === 'dir' && node.subtree !== undefined) await visit(node.subtree);
      }
    };
    await visit(root);
    return lost;
  }
}

/** As restic writes it: a parent means nothing elsewhere, and `original` tells which snapshot it is a copy of. */
function copyOf({ id, parent: _parent, ...document }: Snapshot): SnapshotDocument {
  return { ...document, original: document.original ?? id };
}

/** restic's rule for what is a copy: everything but parent and original is the same (cmd/restic/cmd_copy.go, similarSnapshots). */
function isSame(a: Snapshot, b: Snapshot): boolean {
  const facts = ({ tree, hostname, username, uid, gid, excludes, paths, tags }: Snapshot): string =>
    JSON.stringify([tree, hostname ?? '', username ?? '', uid ?? 0, gid ?? 0, excludes ?? [], [...paths].sort(), [...(tags ?? [])].sort()]);
  return parseTime(a.time) === parseTime(b.time) && facts(a) === facts(b);
}

/** Copies the snapshots that the target does not have; see `CopyOptions.done`. Needs a lock on each side. */
export async function copySnapshots(source: CopySource, target: CopyTarget, options: CopyOptions): Promise<void> {
  await new CopyRun(source, target, options).run();
}
