/** What differs between two trees. Folders of the same id are passed over; memory is that of the folders on the way down. */
import { joinRaw, type RawName } from '../base/raw-name.ts';
import type { BlobReader } from './blob-reader.ts';
import { linkTarget, nodeName, type TreeNode } from './format/tree.ts';

/** As restic marks them: `+` added, `-` removed, `M` other content, `U` other metadata, `T` another type. */
export type Change = '+' | '-' | 'M' | 'U' | 'T';

export interface DiffEntry {
  readonly path: RawName;
  readonly change: Change;
  readonly before: DiffSide | undefined;
  readonly after: DiffSide | undefined;
}

export interface DiffSide {
  readonly type: TreeNode['type'];
  readonly size: number;
}

export interface DiffOptions {
  /** Also tell of folders that only have another time. */
  readonly folderTimes: boolean;
  readonly signal: AbortSignal;
}

interface Named {
  readonly name: RawName;
  readonly node: TreeNode;
}

/** In the order of the trees, a folder before what lies in it. `undefined` for a tree that is not there. */
export async function* diffTrees(blobs: BlobReader, before: string | undefined, after: string | undefined, path: RawName, options: DiffOptions): AsyncGenerator<DiffEntry> {
  options.signal.throwIfAborted();
  if (before === after) return;
  const [old, fresh] = [await namedNodes(blobs, before), await namedNodes(blobs, after)];
  for (let i = 0, k = 0; i < old.length || k < fresh.length; ) {
    const [a, b] = [old[i], fresh[k]];
    const order = !a ? 1 : !b ? -1 : a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
    const one = order <= 0 ? a : undefined;
    const other = order >= 0 ? b : undefined;
    if (order <= 0) i++;
    if (order >= 0) k++;
    const name = (one ?? other)?.name;
    if (name !== undefined) yield* diffNodes(blobs, one?.node, other?.node, joinRaw(path, name), options);
  }
}

async function namedNodes(blobs: BlobReader, tree: string | undefined): Promise<readonly Named[]> {
  return tree === undefined ? [] : (await blobs.tree(tree)).map((node) => ({ name: nodeName(node), node }));
}

async function* diffNodes(blobs: BlobReader, before: TreeNode | undefined, after: TreeNode | undefined, path: RawName, options: DiffOptions): AsyncGenerator<DiffEntry> {
  const change = changeOf(before, after, options);
  if (change) yield { path, change, before: before && sideOf(before), after: after && sideOf(after) };
  const [old, fresh] = [before?.type === 'dir' ? before.subtree : undefined, after?.type === 'dir' ? after.subtree : undefined];
  if (old !== fresh) yield* diffTrees(blobs, old, fresh, path, options);
}

const sideOf = ({ type, size }: TreeNode): DiffSide => ({ type, size: size ?? 0 });

function changeOf(before: TreeNode | undefined, after: TreeNode | undefined, { folderTimes }: DiffOptions): Change | undefined {
  if (!before) return '+';
  if (!after) return '-';
  if (before.type !== after.type) return 'T';
  if (before.type === 'file' && !sameList(before.content ?? [], after.content ?? [])) return 'M';
  if (before.type === 'symlink' && linkTarget(before) !== linkTarget(after)) return 'M';
  const withTime = folderTimes || before.type !== 'dir';
  return metadataOf(before, withTime) === metadataOf(after, withTime) ? undefined : 'U';
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

function metadataOf({ mode, uid, gid, user, group, mtime, device, extended_attributes: attributes }: TreeNode, withTime: boolean): string {
  return JSON.stringify([mode, uid, gid, user, group, withTime ? mtime : '', device, attributes]);
}
