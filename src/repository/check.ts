/**
 * Is the repository sound? Structure: every index readable, every pack that it names there and long enough, every snapshot's
 * trees readable and their blobs indexed. With data: every byte of the packs decrypted and compared with its hash.
 */
import { messageOf } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import { affectedSnapshots, type AffectedSnapshot } from './affected.ts';
import { type BlobIndex, type PackEntries, plainLength } from './blob-index.ts';
import { listIds, loadKeyFile, type Core } from './core.ts';
import { EntrySet } from './entry-set.ts';
import type { Problem } from './entry.ts';
import { LENGTH_FIELD } from './format/pack-header.ts';
import { nodeName, type TreeNode } from './format/tree.ts';
import { toText } from '../base/raw-name.ts';
import { readIndexFiles } from './index-loader.ts';
import { presentSnapshots, type Snapshot } from './snapshot.ts';
import { walkTrees } from './tree-walk.ts';
import { loadRange } from './unpack/load-range.ts';
import { UnpackerPool } from './unpack/unpacker-pool.ts';

/** Packs that are read or wait to be read by a thread: what is ahead is held in memory. */
const PACKS_AT_ONCE = 4;

/** Which packs to read: all, one part of several (`2/5`), a percentage, or so many bytes; the last two choose at random. */
export type ReadData =
  | { readonly kind: 'none' }
  | { readonly kind: 'all' }
  | { readonly kind: 'part'; readonly part: number; readonly of: number }
  | { readonly kind: 'share'; readonly percent: number }
  | { readonly kind: 'bytes'; readonly bytes: number };

export interface CheckOptions {
  readonly readData: ReadData;
  readonly signal: AbortSignal;
  step(sentence: string): void;
  /** Bytes read and bytes to read, since the last call and in all. */
  progress(bytes: number, total: number): void;
  /** A number in [0, 1) for the choice of packs. */
  random(): number;
}

export interface CheckReport {
  readonly errors: readonly Problem[];
  /** What is no damage, but worth knowing. */
  readonly hints: readonly string[];
  /** The restore points that the errors hit, with the files that cannot be restored from them. */
  readonly affected: readonly AffectedSnapshot[];
  readonly snapshots: number;
  readonly packs: number;
  readonly blobs: number;
  readonly trees: number;
  /** Bytes of packs whose every byte was compared. */
  readonly bytesRead: number;
}

class Check {
  readonly errors: Problem[] = [];
  readonly hints: string[] = [];
  readonly #core: Core;
  readonly #options: CheckOptions;
  readonly #sizes = new Map<string, number>();
  /** Entries of the index that cannot be read. */
  #damaged = new EntrySet(0);

  constructor(core: Core, options: CheckOptions) {
    this.#core = core;
    this.#options = options;
  }

  found(subject: string, message: string, kind: Problem['kind'] = 'changed'): void {
    this.errors.push({ subject, kind, message });
  }

  async run(): Promise<CheckReport> {
    // Snapshots before the index: a backup that ends meanwhile cannot make us miss what a snapshot refers to.
    const snapshots = await presentSnapshots(this.#core, (error) => this.found('snapshots', error.message));
    this.#options.step('loading the index');
    const { builder } = await readIndexFiles(this.#core, (error) => this.found('index', error.message));
    this.#options.step('comparing packs with the index');
    for await (const { id, size } of this.#core.storage.list('pack')) this.#sizes.set(id, size);
    // A blob that lies in a second pack, too, is not lost with the first.
    const index = builder.build(builder.packsBeside(this.#sizes));
    this.#damaged = new EntrySet(index.count);
    const entries = index.entriesByPack();
    this.#comparePacks(index, entries);
    this.#options.step(`walking the trees of ${snapshots.length} snapshots`);
    const trees = await this.#walk(index, snapshots);
    await this.#checkKeys();
    const bytesRead = await this.#readPacks(index, entries);
    const affected = await this.#affected(index, snapshots);
    return { errors: this.errors, hints: this.hints, affected, snapshots: snapshots.length, packs: index.packs.length, blobs: index.count, trees, bytesRead };
  }

  async #checkKeys(): Promise<void> {
    for (const id of await listIds(this.#core.storage, 'key')) {
      try {
        await loadKeyFile(this.#core.storage, id);
      } catch (error) {
        this.found(`key ${id}`, messageOf(error));
      }
    }
  }

  #comparePacks(index: BlobIndex, entries: PackEntries): void {
    const marked = new Set(index.marks.map(({ id }) => id));
    let orphans = 0;
    for (const id of this.#sizes.keys()) if (index.numberOfPack(id) < 0 && !marked.has(id)) orphans++;
    if (orphans > 0) this.hints.push(`${orphans} packs are named in no index: an interrupted backup left them, and the next one will use them`);
    if (marked.size > 0) this.hints.push(`${marked.size === 1 ? '1 pack holds nothing that is needed and waits' : `${marked.size} packs hold nothing that is needed and wait`} to be deleted: \`holdfast prune\` does it when their time has come`);
    for (const [number, pack] of index.packs.entries()) {
      const size = this.#sizes.get(pack);
      const numbers = entries.of(number);
      const end = numbers.reduce((most, n) => Math.max(most, index.location(n).offset + index.lengthOf(n)), 0);
      if (size !== undefined && size >= end + LENGTH_FIELD) continue;
      for (const n of numbers) if (size === undefined || index.location(n).offset + index.lengthOf(n) > size) this.#damaged.add(n);
      if (size === undefined) this.found(`pack ${pack}`, `is missing; ${numbers.length} blobs are lost with it`, 'vanished');
      else this.found(`pack ${pack}`, `has ${size} bytes, but its blobs end at ${end}: it was cut short`);
    }
  }

  async #walk(index: BlobIndex, snapshots: readonly Snapshot[]): Promise<number> {
    return await walkTrees({
      core: this.#core, index, signal: this.#options.signal,
      roots: snapshots.map(({ id, tree }) => ({ id: tree, where: `snapshot ${id.slice(0, 10)}` })),
      visit: ({ where }, _number, nodes) => {
        for (const node of nodes) {
          const path = `${where}/${toText(nodeName(node))}`;
          if (node.type === 'file') this.#checkFile(index, node, path);
          else if (node.type === 'dir' && node.subtree === undefined) this.found(path, 'is a folder without a tree');
        }
      },
      unreadable: ({ id, where }, error) => {
        this.found(where, `its tree cannot be read: ${error.message}`);
        const number = index.find(id, 'tree');
        if (number >= 0) this.#damaged.add(number);
      },
    });
  }

  #checkFile(index: BlobIndex, node: TreeNode, path: string): void {
    let size = 0;
    for (const id of node.content ?? []) {
      const number = index.find(id, 'data');
      if (number < 0) {
        this.found(path, `its data blob ${id.slice(0, 10)} is in no index, or in a pack that is missing`, 'vanished');
        return;
      }
      size += plainLength(index.location(number));
    }
    if (size !== (node.size ?? 0)) this.found(path, `its blobs have ${size} bytes, but the snapshot says ${node.size ?? 0}`);
  }

  async #readPacks(index: BlobIndex, entries: PackEntries): Promise<number> {
    const chosen = choosePacks(index.packs, this.#sizes, this.#options);
    if (chosen.length === 0) return 0;
    const total = chosen.reduce((sum, pack) => sum + (this.#sizes.get(pack) ?? 0), 0);
    this.#options.step(`reading ${chosen.length} packs`);
    let read = 0;
    await using pool = new UnpackerPool(this.#core);
    const parallel = new Semaphore(PACKS_AT_ONCE);
    await Promise.all(
      chosen.map((pack) => parallel.run(async () => {
        const size = this.#sizes.get(pack) ?? 0;
        const numbers = entries.of(index.numberOfPack(pack)).toSorted((a, b) => index.location(a).offset - index.location(b).offset);
        const done = await pool.run(async () => {
          this.#options.signal.throwIfAborted();
          const indexed = Array.from(numbers, (number) => index.blob(number));
          return { kind: 'verify', range: await loadRange(this.#core, { pack, offset: 0, length: size }), indexed };
        });
        this.errors.push(...done.problems);
        for (const at of done.lost ?? []) this.#damaged.add(numbers[at] ?? 0);
        read += size;
        this.#options.progress(size, total);
      })),
    );
    return read;
  }

  /** Only looked for when something is wrong: a walk through every snapshot that names each path. */
  async #affected(index: BlobIndex, snapshots: readonly Snapshot[]): Promise<readonly AffectedSnapshot[]> {
    if (this.errors.length === 0) return [];
    this.#options.step('looking which restore points the damage hits');
    return await affectedSnapshots(snapshots, { core: this.#core, index, damaged: this.#damaged, signal: this.#options.signal });
  }
}

/** The packs to read, of those that exist. */
function choosePacks(packs: readonly string[], sizes: ReadonlyMap<string, number>, { readData, random }: CheckOptions): readonly string[] {
  const there = packs.filter((pack) => sizes.has(pack)).sort();
  if (readData.kind === 'none') return [];
  if (readData.kind === 'all') return there;
  // restic's rule: the first byte of the id decides to which part a pack belongs, so that parts stay the same as packs come and go.
  if (readData.kind === 'part') return there.filter((pack) => Number.parseInt(pack.slice(0, 2), 16) % readData.of === readData.part - 1);
  const shuffled = there.map((pack) => ({ pack, at: random() })).sort((a, b) => a.at - b.at);
  const total = there.reduce((sum, pack) => sum + (sizes.get(pack) ?? 0), 0);
  let left = readData.kind === 'bytes' ? readData.bytes : (total * readData.percent) / 100;
  const chosen: string[] = [];
  for (const { pack } of shuffled) {
    if (left <= 0) break;
    chosen.push(pack);
    left -= sizes.get(pack) ?? 0;
  }
  return chosen;
}

export async function check(core: Core, options: CheckOptions): Promise<CheckReport> {
  return await new Check(core, options).run();
}
