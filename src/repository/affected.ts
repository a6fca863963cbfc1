/** Which restore points a damage hits, and which of their files: what a person has to know of it. */
import { isHoldfastError, messageOf } from '../base/errors.ts';
import { joinRaw, toText, type RawName } from '../base/raw-name.ts';
import type { BlobIndex } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import type { Core } from './core.ts';
import { EntrySet } from './entry-set.ts';
import { nodeName, type TreeNode } from './format/tree.ts';
import type { Snapshot } from './snapshot.ts';

/** Paths that are named of one snapshot; the others are counted. */
const MOST_PATHS = 100;

export interface AffectedSnapshot {
  readonly id: string;
  readonly time: string;
  readonly tags: readonly string[];
  /** Files that lost something, and folders whose listing is lost (they end with a slash); not more than 100. */
  readonly paths: readonly string[];
  /** All of them. */
  readonly count: number;
}

export interface LossOptions {
  readonly core: Core;
  readonly index: BlobIndex;
  /** Entries that cannot be read; what is in no index cannot either. */
  readonly damaged: EntrySet;
  readonly signal: AbortSignal;
}

export class LossSearch {
  readonly #options: LossOptions;
  readonly #blobs: BlobReader;
  /** Trees below which nothing is lost, by their entry. */
  readonly #whole: EntrySet;

  constructor(options: LossOptions) {
    this.#options = options;
    this.#blobs = new BlobReader(options.core, options.index);
    this.#whole = new EntrySet(options.index.count);
  }

  isLost(id: string, type: 'data' | 'tree'): boolean {
    const entry = this.#options.index.find(id, type);
    return entry < 0 || this.#options.damaged.has(entry);
  }

  /** The nodes of a tree, or why they cannot be had. */
  async nodes(id: string): Promise<readonly TreeNode[] | string> {
    if (this.isLost(id, 'tree')) return 'its listing is lost';
    try {
      return await this.#blobs.tree(id);
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged', 'file-missing')) throw error;
      return `its listing cannot be read: ${messageOf(error)}`;
    }
  }

  /** Calls `lost` for every file and folder below a tree that lost something; true when there was none. Folders that are known to be whole are not read again. */
  async search(tree: string, path: RawName, lost: (path: RawName, folder: boolean) => void): Promise<boolean> {
    const { index, signal } = this.#options;
    signal.throwIfAborted();
    const number = index.find(tree, 'tree');
    if (number >= 0 && this.#whole.has(number)) return true;
    const nodes = await this.nodes(tree);
    if (typeof nodes === 'string') {
      lost(path, true);
      return false;
    }
    let whole = true;
    for (const node of nodes) {
      const below = joinRaw(path, nodeName(node));
      if ((node.content ?? []).some((id) => this.isLost(id, 'data'))) {
        lost(below, false);
        whole = false;
      } else if (node.type === 'dir') {
        if (node.subtree === undefined) lost(below, true);
        whole = node.subtree !== undefined && (await this.search(node.subtree, below, lost)) && whole;
      }
    }
    if (whole && number >= 0) this.#whole.add(number);
    return whole;
  }
}

/** The snapshots that a damage hits, in the order in which they are given. */
export async function affectedSnapshots(snapshots: readonly Snapshot[], options: LossOptions): Promise<readonly AffectedSnapshot[]> {
  const search = new LossSearch(options);
  const affected: AffectedSnapshot[] = [];
  for (const { id, time, tags = [], tree } of snapshots) {
    const paths: string[] = [];
    let count = 0;
    await search.search(tree, '/', (path, folder) => {
      count++;
      if (paths.length < MOST_PATHS) paths.push(folder && path !== '/' ? `${toText(path)}/` : toText(path));
    });
    if (count > 0) affected.push({ id, time, tags, paths, count });
  }
  return affected;
}
