/** Walks the trees of snapshots, every tree once however many snapshots have it, several at a time: what takes long is the way to the storage. */
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { collectWhenGrown } from '../base/garbage.ts';
import { toText } from '../base/raw-name.ts';
import type { BlobIndex } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import type { Core } from './core.ts';
import { EntrySet } from './entry-set.ts';
import { nodeName, type TreeNode } from './format/tree.ts';

/** At most so many trees are held at once, whatever the storage would bear: one can be large. */
const MOST_PARALLEL = 8;

export interface WalkedTree {
  readonly id: string;
  /** A path by which it was met first, for messages. */
  readonly where: string;
}

export interface TreeWalkOptions {
  readonly core: Core;
  readonly index: BlobIndex;
  readonly roots: readonly WalkedTree[];
  readonly signal: AbortSignal;
  /** `number`: the entry of the tree in the index. */
  visit(tree: WalkedTree, number: number, nodes: readonly TreeNode[]): void;
  /** Hears of a tree that is in no index or damaged, and may go on without it. */
  unreadable(tree: WalkedTree, error: HoldfastError): void;
}

interface Pending extends WalkedTree {
  /** Where it lies: trees that lie side by side are read in one go. */
  readonly number: number;
}

/** Answers how many trees there were. Throws what the callbacks throw, and what the storage throws. */
export async function walkTrees(options: TreeWalkOptions): Promise<number> {
  const { core, index, roots, signal, visit, unreadable } = options;
  const blobs = new BlobReader(core, index);
  const seen = new EntrySet(index.count);
  const unknown = new Set<string>();
  const stack: Pending[] = [];
  let trees = 0;
  const add = (tree: WalkedTree): void => {
    const number = index.find(tree.id, 'tree');
    const fresh = number < 0 ? !unknown.has(tree.id) : seen.add(number);
    if (!fresh) return;
    if (number < 0) unknown.add(tree.id);
    stack.push({ ...tree, number });
  };
  const one = async ({ number, ...tree }: Pending): Promise<void> => {
    signal.throwIfAborted();
    trees++;
    const nodes = await readTree(blobs, tree, unreadable);
    if (!nodes) return;
    visit(tree, number, nodes);
    // The last one is taken first: children are added backwards, so that they are met in their order.
    for (const node of nodes.toReversed()) {
      if (node.type === 'dir' && node.subtree !== undefined) add({ id: node.subtree, where: `${tree.where}/${toText(nodeName(node))}` });
    }
    collectWhenGrown();
  };
  for (const root of roots.toReversed()) add(root);
  await drain(stack, one, Math.min(core.storage.parallel ?? 2, MOST_PARALLEL));
  return trees;
}

async function readTree(blobs: BlobReader, tree: WalkedTree, unreadable: TreeWalkOptions['unreadable']): Promise<readonly TreeNode[] | undefined> {
  try {
    return await blobs.tree(tree.id);
  } catch (error) {
    if (!isHoldfastError(error, 'repository-damaged', 'file-missing')) throw error;
    unreadable(tree, error);
    return undefined;
  }
}

/** Works the stack off with so many at once; work may add to it. The first error ends it, when those that run have ended. */
async function drain<T>(stack: T[], work: (item: T) => Promise<void>, parallel: number): Promise<void> {
  const running = new Set<Promise<void>>();
  const errors: unknown[] = [];
  while (errors.length === 0 && (stack.length > 0 || running.size > 0)) {
    const item = running.size < parallel ? stack.pop() : undefined;
    if (item === undefined) {
      await Promise.race(running);
      continue;
    }
    const task = work(item).catch((error: unknown) => void errors.push(error));
    running.add(task);
    void task.finally(() => running.delete(task));
  }
  await Promise.all(running);
  if (errors.length > 0) throw errors[0];
}
