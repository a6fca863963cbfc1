/**
 * Reads all that a snapshot needs and compares it: every tree and every blob is decrypted, unpacked and hashed, each once, however
 * many files share it; every file has as many bytes as its blobs. Nothing is written.
 *
 * Memory: a bit for each blob of the index, and the counts of each distinct folder. Blobs are read in the order in which they lie
 * in the packs, in stretches of a few megabytes, by the threads of the pool.
 */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { collectWhenGrown } from '../base/garbage.ts';
import { joinRaw, toText, type RawName } from '../base/raw-name.ts';
import { plainLength } from './blob-index.ts';
import { EntrySet } from './entry-set.ts';
import type { Problem } from './entry.ts';
import type { PackedBlob } from './format/pack-header.ts';
import { nodeName, type TreeNode } from './format/tree.ts';
import { loadRange } from './unpack/load-range.ts';
import type { UnpackSource } from './unpack/unpack-source.ts';

/** Bytes that are read at once, and gaps that are cheaper to read over than to ask again for. */
const STRETCH_BYTES = 4 << 20;
const GAP_BYTES = 64 * 1024;
/** Stretches under way: what the threads work on, and as much again. */
const AHEAD = 6;

export interface ContentCounts {
  readonly files: number;
  readonly folders: number;
  readonly others: number;
  readonly bytes: number;
}

export interface ProveContentOptions {
  /** Files whose content is read and compared by somebody else: only their sizes are looked at here. */
  readonly elsewhere: ReadonlySet<RawName>;
  readonly signal: AbortSignal;
  step(sentence: string): void;
  /** Bytes of packs read since the last call, and in all. */
  progress(bytes: number, total: number): void;
}

export interface ContentProof extends ContentCounts {
  /** Distinct blobs that were read, and their bytes as they are stored. */
  readonly blobs: number;
  readonly storedBytes: number;
  readonly problems: readonly Problem[];
}

interface Stretch {
  readonly pack: string;
  readonly blobs: PackedBlob[];
  offset: number;
  end: number;
}

const NOTHING: ContentCounts = { files: 0, folders: 0, others: 0, bytes: 0 };

class Proving {
  readonly #source: UnpackSource;
  readonly #options: ProveContentOptions;
  readonly #problems: Problem[] = [];
  /** What lies in and below each distinct folder, by the number of its tree. */
  readonly #folders = new Map<number, ContentCounts>();
  readonly #wanted: EntrySet;
  #storedBytes = 0;

  constructor(source: UnpackSource, options: ProveContentOptions) {
    this.#source = source;
    this.#options = options;
    this.#wanted = new EntrySet(source.index.count);
  }

  async run(tree: string): Promise<ContentProof> {
    this.#options.step('walking the folders');
    const counts = await this.#walk(tree, '/');
    this.#options.step(`reading ${this.#wanted.size} blobs`);
    const damaged = await this.#read();
    if (damaged.size > 0) await this.#name(damaged, tree);
    return { ...counts, blobs: this.#wanted.size + this.#folders.size, storedBytes: this.#storedBytes, problems: this.#problems };
  }

  #differs(path: RawName, message: string, kind: Problem['kind'] = 'changed'): void {
    this.#problems.push({ subject: toText(path), kind, message });
  }

  async #walk(id: string, path: RawName): Promise<ContentCounts> {
    this.#options.signal.throwIfAborted();
    const number = this.#source.index.find(id, 'tree');
    const known = this.#folders.get(number);
    if (known && number >= 0 && this.#options.elsewhere.size === 0) return known;
    const counts = { ...NOTHING };
    for (const node of await this.#tree(id, path)) {
      const below = joinRaw(path, nodeName(node));
      if (node.type === 'dir') {
        counts.folders++;
        if (node.subtree === undefined) this.#differs(below, 'is a folder without a tree');
        else add(counts, await this.#walk(node.subtree, below));
      } else if (node.type === 'file') {
        counts.files++;
        counts.bytes += node.size ?? 0;
        this.#file(node, below);
      } else counts.others++;
    }
    this.#folders.set(number, counts);
    collectWhenGrown();
    return counts;
  }

  async #tree(id: string, path: RawName): Promise<readonly TreeNode[]> {
    try {
      return await this.#source.blobs.tree(id);
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged', 'file-missing')) throw error;
      this.#differs(path, `cannot be read, and nothing below it: ${error.message}`, 'unreadable');
      return [];
    }
  }

  #file(node: TreeNode, path: RawName): void {
    const { index } = this.#source;
    const elsewhere = this.#options.elsewhere.has(path);
    let size = 0;
    for (const id of node.content ?? []) {
      const number = index.find(id, 'data');
      if (number < 0) return this.#differs(path, `its blob ${id.slice(0, 10)} is in no index, or in a pack that is missing`, 'vanished');
      const location = index.location(number);
      size += plainLength(location);
      if (!elsewhere && this.#wanted.add(number)) this.#storedBytes += location.length;
    }
    if (size !== (node.size ?? 0)) this.#differs(path, `its blobs have ${size} bytes, but the snapshot says ${node.size ?? 0}`);
  }

  /** Reads every wanted blob; answers what is wrong with those that are damaged, by their ids. */
  async #read(): Promise<ReadonlyMap<string, string>> {
    const damaged = new Map<string, string>();
    const underWay = new Set<Promise<void>>();
    let failure: unknown;
    for (const stretch of this.#stretches()) {
      while (underWay.size >= AHEAD) await Promise.race(underWay);
      if (failure !== undefined || this.#options.signal.aborted) break;
      const work = this.#readStretch(stretch, damaged).catch((error: unknown) => {
        failure ??= error;
      });
      underWay.add(work);
      void work.finally(() => underWay.delete(work));
    }
    await Promise.all(underWay);
    this.#options.signal.throwIfAborted();
    if (failure !== undefined) throw failure;
    return damaged;
  }

  async #readStretch({ pack, offset, end, blobs }: Stretch, damaged: Map<string, string>): Promise<void> {
    try {
      const done = await this.#source.pool.run(async () => ({ kind: 'prove', blobs, range: await loadRange(this.#source.core, { pack, offset, length: end - offset }) }));
      for (const { subject, message } of done.problems) damaged.set(subject, message);
    } catch (error) {
      // A pack that is not there, or ends too early: elsewhere than on this host that is met before a thread sees it.
      if (!isHoldfastError(error, 'repository-damaged', 'file-missing')) throw error;
      const [only, ...others] = blobs;
      if (only && others.length === 0) damaged.set(only.id, messageOf(error));
      else for (const blob of blobs) await this.#readStretch({ pack, offset: blob.offset, end: blob.offset + blob.length, blobs: [blob] }, damaged);
      return;
    }
    collectWhenGrown();
    this.#options.progress(end - offset, this.#storedBytes);
  }

  /** The wanted blobs in the order of the index, which is that of the packs, neighbours together. */
  *#stretches(): Generator<Stretch> {
    const { index } = this.#source;
    let stretch: Stretch | undefined;
    for (let number = 0; number < index.count; number++) {
      if (!this.#wanted.has(number)) continue;
      const pack = index.packs[index.packNumber(number)] ?? '';
      const blob = index.blob(number);
      const { offset, length } = blob;
      const joins = stretch?.pack === pack && offset >= stretch.end && offset - stretch.end <= GAP_BYTES && offset + length - stretch.offset <= STRETCH_BYTES;
      if (stretch && joins) {
        stretch.blobs.push(blob);
        stretch.end = offset + length;
        continue;
      }
      if (stretch) yield stretch;
      stretch = { pack, offset, end: offset + length, blobs: [blob] };
    }
    if (stretch) yield stretch;
  }

  /** Says which files need the damaged blobs. */
  async #name(damaged: ReadonlyMap<string, string>, root: string): Promise<void> {
    // Folders in which nothing is damaged are looked at once; the others at each place where they are.
    const whole = new Set<string>();
    const visit = async (id: string, path: RawName): Promise<void> => {
      if (whole.has(id)) return;
      const before = this.#problems.length;
      for (const node of await this.#source.blobs.tree(id).catch(() => [])) {
        const below = joinRaw(path, nodeName(node));
        if (node.type === 'dir' && node.subtree !== undefined) await visit(node.subtree, below);
        const bad = node.content?.find((blob) => damaged.has(blob));
        if (bad !== undefined) this.#differs(below, `cannot be read: ${damaged.get(bad) ?? ''}`, 'unreadable');
      }
      if (this.#problems.length === before) whole.add(id);
    };
    await visit(root, '/');
    if (this.#problems.length === 0) throw new HoldfastError('internal', 'damaged blobs belong to no file');
  }
}

function add(sum: { -readonly [name in keyof ContentCounts]: number }, more: ContentCounts): void {
  sum.files += more.files;
  sum.folders += more.folders;
  sum.others += more.others;
  sum.bytes += more.bytes;
}

/** Proves the content of a tree. What is damaged or missing is a problem of the result; a storage that fails throws. */
export async function proveTree(source: UnpackSource, tree: string, options: ProveContentOptions): Promise<ContentProof> {
  return await new Proving(source, options).run(tree);
}
