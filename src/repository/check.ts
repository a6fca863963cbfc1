/**
 * Is the repository sound? Structure: every index readable, every pack that it names there and long enough, every snapshot's
 * trees readable and their blobs indexed. With data: every byte of the packs decrypted and compared with its hash.
 */
import { isHoldfastError, messageOf } from '../base/errors.ts';
import { type BlobIndex, plainLength } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import { listIds, loadKeyFile, type Core } from './core.ts';
import type { Problem } from './entry.ts';
import { LENGTH_FIELD } from './format/pack-header.ts';
import { nodeName, type TreeNode } from './format/tree.ts';
import { toText } from '../base/raw-name.ts';
import { loadIndex } from './index-loader.ts';
import { listSnapshots } from './snapshot.ts';
import { loadRange } from './unpack/load-range.ts';
import { UnpackerPool } from './unpack/unpacker-pool.ts';

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
  readonly trees = new Set<string>();
  snapshots = 0;

  constructor(core: Core, options: CheckOptions) {
    this.#core = core;
    this.#options = options;
  }

  found(subject: string, message: string, kind: Problem['kind'] = 'changed'): void {
    this.errors.push({ subject, kind, message });
  }

  async run(): Promise<CheckReport> {
    // Snapshots before the index: a backup that ends meanwhile cannot make us miss what a snapshot refers to.
    const snapshots = await this.#readableSnapshots();
    this.#options.step('loading the index');
    const index = await loadIndex(this.#core, (error) => this.found('index', error.message));
    const lists = index.entriesByPack();
    await this.#comparePacks(index, lists);
    this.#options.step(`walking the trees of ${snapshots.length} snapshots`);
    const blobs = new BlobReader(this.#core, index);
    for (const snapshot of snapshots) await this.#walk(index, blobs, snapshot.tree, `snapshot ${snapshot.id.slice(0, 10)}`);
    await this.#checkKeys();
    const bytesRead = await this.#readPacks(index, lists);
    return { errors: this.errors, hints: this.hints, snapshots: snapshots.length, packs: index.packs.length, blobs: index.count, trees: this.trees.size, bytesRead };
  }

  async #readableSnapshots(): Promise<Awaited<ReturnType<typeof listSnapshots>>> {
    try {
      return await listSnapshots(this.#core);
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
      this.found('snapshots', error.message);
      return [];
    }
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

  async #comparePacks(index: BlobIndex, lists: readonly (readonly number[])[]): Promise<void> {
    this.#options.step('comparing packs with the index');
    for await (const { id, size } of this.#core.storage.list('pack')) this.#sizes.set(id, size);
    const indexed = new Set(index.packs);
    const orphans = [...this.#sizes.keys()].filter((id) => !indexed.has(id));
    if (orphans.length > 0) this.hints.push(`${orphans.length} packs are named in no index: an interrupted backup left them, and the next one will use them`);
    index.packs.forEach((pack, number) => {
      const size = this.#sizes.get(pack);
      const numbers = lists[number] ?? [];
      const end = numbers.reduce((most, n) => Math.max(most, index.location(n).offset + index.location(n).length), 0);
      if (size === undefined) this.found(`pack ${pack}`, `is missing; ${numbers.length} blobs are lost with it`, 'vanished');
      else if (size < end + LENGTH_FIELD) this.found(`pack ${pack}`, `has ${size} bytes, but its blobs end at ${end}: it was cut short`);
    });
  }

  async #walk(index: BlobIndex, blobs: BlobReader, tree: string, where: string): Promise<void> {
    if (this.trees.has(tree)) return;
    this.trees.add(tree);
    this.#options.signal.throwIfAborted();
    let nodes: readonly TreeNode[];
    try {
      nodes = await blobs.tree(tree);
    } catch (error) {
      if (isHoldfastError(error, 'storage-failed')) throw error;
      this.found(where, `its tree cannot be read: ${messageOf(error)}`);
      return;
    }
    for (const node of nodes) {
      const path = `${where}/${toText(nodeName(node))}`;
      if (node.type === 'file') this.#checkFile(index, node, path);
      else if (node.type === 'dir' && node.subtree !== undefined) await this.#walk(index, blobs, node.subtree, path);
      else if (node.type === 'dir') this.found(path, 'is a folder without a tree');
    }
  }

  #checkFile(index: BlobIndex, node: TreeNode, path: string): void {
    let size = 0;
    for (const id of node.content ?? []) {
      const location = index.locate(id, 'data');
      if (!location) {
        this.found(path, `its data blob ${id.slice(0, 10)} is in no index`, 'vanished');
        return;
      }
      size += plainLength(location);
    }
    if (size !== (node.size ?? 0)) this.found(path, `its blobs have ${size} bytes, but the snapshot says ${node.size ?? 0}`);
  }

  async #readPacks(index: BlobIndex, lists: readonly (readonly number[])[]): Promise<number> {
    const chosen = choosePacks(index.packs, this.#sizes, this.#options);
    if (chosen.length === 0) return 0;
    const total = chosen.reduce((sum, pack) => sum + (this.#sizes.get(pack) ?? 0), 0);
    this.#options.step(`reading ${chosen.length} packs`);
    const numbers = new Map(index.packs.map((pack, number) => [pack, number]));
    let read = 0;
    await using pool = new UnpackerPool(this.#core);
    await Promise.all(
      chosen.map(async (pack) => {
        const size = this.#sizes.get(pack) ?? 0;
        const done = await pool.run(async () => {
          this.#options.signal.throwIfAborted();
          const indexed = (lists[numbers.get(pack) ?? -1] ?? []).map((n) => index.blob(n)).sort((a, b) => a.offset - b.offset);
          return { kind: 'verify', range: await loadRange(this.#core, { pack, offset: 0, length: size }), indexed };
        });
        this.errors.push(...done.problems);
        read += size;
        this.#options.progress(size, total);
      }),
    );
    return read;
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
