/**
 * What snapshots hold, and what they cost. Every distinct folder is read once a store; memory is a few bits and two bytes for each
 * blob of the index, the counts of each distinct folder, and a hash for each distinct file of several blobs.
 */
import { createHash } from 'node:crypto';
import { plainLength, type BlobIndex } from './blob-index.ts';
import type { BlobReader } from './blob-reader.ts';
import { EntrySet } from './entry-set.ts';
import type { BlobType } from './format/pack-header.ts';
import type { TreeNode } from './format/tree.ts';
import type { Snapshot } from './snapshot.ts';

export interface Amount {
  readonly blobs: number;
  /** Bytes before compression, and as they are stored. */
  readonly plainBytes: number;
  readonly storedBytes: number;
}

export interface SnapshotStats {
  readonly snapshot: Snapshot;
  /** What a restore would write. */
  readonly files: number;
  readonly folders: number;
  readonly bytes: number;
  /** What it added to what earlier snapshots of its group had. */
  readonly added: Amount;
}

export interface GroupStats {
  readonly name: string;
  readonly snapshots: readonly SnapshotStats[];
  /** Files of distinct content, over all snapshots, and their bytes. */
  readonly distinctFiles: number;
  readonly distinctBytes: number;
  /** All blobs that its snapshots need, and those that no other group needs: what would be freed with it. */
  readonly needed: Amount;
  readonly exclusive: Amount;
}

export interface Stats {
  readonly groups: readonly GroupStats[];
  readonly distinctFiles: number;
  readonly distinctBytes: number;
  readonly needed: Amount;
  /** Blobs that no snapshot needs; only counted when all snapshots were looked at. */
  readonly unused: Amount | undefined;
}

export interface StatsOptions {
  /** Snapshots of each group oldest first. */
  readonly groups: readonly { readonly name: string; readonly snapshots: readonly Snapshot[] }[];
  /** These are all snapshots of the repository. */
  readonly all: boolean;
  readonly signal: AbortSignal;
  step(sentence: string): void;
}

const SHARED = 0xffff;

type Sum = { -readonly [name in keyof Amount]: number };

interface Counts {
  files: number;
  folders: number;
  bytes: number;
}

const nothing = (): Sum => ({ blobs: 0, plainBytes: 0, storedBytes: 0 });

/** Files of distinct content: by their one blob, or by a hash of their list. */
class DistinctFiles {
  readonly #single: EntrySet;
  readonly #lists = new Set<string>();
  #empty = 0;
  bytes = 0;

  constructor(count: number) {
    this.#single = new EntrySet(count);
  }

  get count(): number {
    return this.#single.size + this.#lists.size + this.#empty;
  }

  add(index: BlobIndex, { content, size }: TreeNode): void {
    const [first, ...others] = content ?? [];
    if (first === undefined) this.#empty = 1;
    else if (others.length === 0 ? this.#isNewSingle(index, first) : this.#isNewList(content ?? [])) this.bytes += size ?? 0;
  }

  #isNewSingle(index: BlobIndex, id: string): boolean {
    const number = index.find(id, 'data');
    return number >= 0 && this.#single.add(number);
  }

  #isNewList(content: readonly string[]): boolean {
    const hash = createHash('sha256');
    for (const id of content) hash.update(id, 'hex');
    const before = this.#lists.size;
    return this.#lists.add(hash.digest('base64')).size > before;
  }
}

class Counting {
  readonly #blobs: BlobReader;
  readonly #index: BlobIndex;
  readonly #signal: AbortSignal;
  /** Which group needs a blob: its number from 1, or several. */
  readonly #owners: Uint16Array;
  readonly #folders = new Map<number, Counts>();
  readonly distinct: DistinctFiles;

  constructor(blobs: BlobReader, index: BlobIndex, signal: AbortSignal) {
    this.#blobs = blobs;
    this.#index = index;
    this.#signal = signal;
    this.#owners = new Uint16Array(index.count);
    this.distinct = new DistinctFiles(index.count);
  }

  async group(number: number, snapshots: readonly Snapshot[]): Promise<Omit<GroupStats, 'name' | 'exclusive'>> {
    const seen = new EntrySet(this.#index.count);
    const distinct = new DistinctFiles(this.#index.count);
    const needed = nothing();
    const found: SnapshotStats[] = [];
    for (const snapshot of snapshots) {
      const added = nothing();
      const take = (id: string, type: BlobType): boolean => this.#take(id, type, number, seen, added);
      const { files, folders, bytes } = await this.#walk(snapshot.tree, take, distinct);
      found.push({ snapshot, files, folders, bytes, added });
      addTo(needed, added);
    }
    return { snapshots: found, distinctFiles: distinct.count, distinctBytes: distinct.bytes, needed };
  }

  /** True when the group meets this blob for the first time. */
  #take(id: string, type: BlobType, group: number, seen: EntrySet, added: Sum): boolean {
    const entry = this.#index.find(id, type);
    if (entry < 0) return true;
    if (!seen.add(entry)) return false;
    addTo(added, this.#amount(entry));
    const owner = this.#owners[entry];
    this.#owners[entry] = owner === 0 || owner === group ? group : SHARED;
    return true;
  }

  #amount(entry: number): Amount {
    const location = this.#index.location(entry);
    return { blobs: 1, plainBytes: plainLength(location), storedBytes: location.length };
  }

  async #walk(tree: string, take: (id: string, type: BlobType) => boolean, distinct: DistinctFiles): Promise<Counts> {
    this.#signal.throwIfAborted();
    const entry = this.#index.find(tree, 'tree');
    const known = take(tree, 'tree') ? undefined : this.#folders.get(entry);
    if (known) return known;
    const counts: Counts = { files: 0, folders: 0, bytes: 0 };
    for (const node of await this.#blobs.tree(tree)) {
      if (node.type === 'dir' && node.subtree !== undefined) {
        const inside = await this.#walk(node.subtree, take, distinct);
        counts.folders += 1 + inside.folders;
        counts.files += inside.files;
        counts.bytes += inside.bytes;
      } else if (node.type === 'file') {
        counts.files++;
        counts.bytes += node.size ?? 0;
        for (const id of node.content ?? []) take(id, 'data');
        distinct.add(this.#index, node);
        this.distinct.add(this.#index, node);
      }
    }
    this.#folders.set(entry, counts);
    return counts;
  }

  /** What each group alone needs, what any needs, and what none does. */
  totals(groups: number): { readonly exclusive: readonly Sum[]; readonly needed: Sum; readonly unused: Sum } {
    const exclusive = Array.from({ length: groups }, nothing);
    const [needed, unused] = [nothing(), nothing()];
    for (let entry = 0; entry < this.#index.count; entry++) {
      const owner = this.#owners[entry] ?? 0;
      const amount = this.#amount(entry);
      addTo(owner === 0 ? unused : needed, amount);
      const own = owner === SHARED ? undefined : exclusive[owner - 1];
      if (own) addTo(own, amount);
    }
    return { exclusive, needed, unused };
  }
}

function addTo(sum: Sum, { blobs, plainBytes, storedBytes }: Amount): void {
  sum.blobs += blobs;
  sum.plainBytes += plainBytes;
  sum.storedBytes += storedBytes;
}

export async function countStats(blobs: BlobReader, index: BlobIndex, { groups, all, signal, step }: StatsOptions): Promise<Stats> {
  const counting = new Counting(blobs, index, signal);
  const counted: Omit<GroupStats, 'exclusive'>[] = [];
  for (const [i, { name, snapshots }] of groups.entries()) {
    step(`counting ${snapshots.length} snapshots of ${name}`);
    counted.push({ name, ...(await counting.group(Math.min(i + 1, SHARED - 1), snapshots)) });
  }
  const { exclusive, needed, unused } = counting.totals(groups.length);
  return {
    groups: counted.map((group, i) => ({ ...group, exclusive: exclusive[i] ?? nothing() })),
    distinctFiles: counting.distinct.count, distinctBytes: counting.distinct.bytes, needed, unused: all ? unused : undefined,
  };
}
