/** The files of one snapshot: looked up by path, read as streams, rebuilt on disk. What sources get to restore a store. */
import { HoldfastError } from '../base/errors.ts';
import { toText, type RawName } from '../base/raw-name.ts';
import { compareTree } from './compare-tree.ts';
import type { Comparison, ExtractOptions, ExtractReport, ListedFile, SnapshotFiles } from './entry.ts';
import { extract } from './extract.ts';
import { proveTree, type ContentProof, type ProveContentOptions } from './proof-content.ts';
import { modeText } from './format/go-mode.ts';
import { linkTarget, nodeName, type TreeNode } from './format/tree.ts';
import { readContent } from './unpack/read-content.ts';
import type { Snapshot } from './snapshot.ts';
import type { UnpackSource } from './unpack/unpack-source.ts';

export interface FileDetails extends ListedFile {
  /** As `ls -l` shows it: `drwxr-xr-x`. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** RFC 3339. */
  readonly mtime: string;
  readonly target: RawName | undefined;
}

export class StoredFiles implements SnapshotFiles {
  readonly snapshotId: string;
  readonly #source: UnpackSource;
  readonly #root: TreeNode;
  /** The folders on the way to what was looked up last: a database has thousands of files in one. */
  #way: readonly (readonly [string, readonly TreeNode[]])[] = [];

  constructor(source: UnpackSource, snapshot: Snapshot) {
    this.snapshotId = snapshot.id;
    this.#source = source;
    this.#root = { name: '', type: 'dir', subtree: snapshot.tree, mode: 2 ** 31 + 0o700 };
  }

  async list(path: RawName): Promise<readonly ListedFile[]> {
    return (await this.#nodes(path)).map((node) => ({ name: nodeName(node), type: node.type, size: node.size ?? 0 }));
  }

  /** What is known of each entry of a folder, for people. */
  async details(path: RawName): Promise<readonly FileDetails[]> {
    return (await this.#nodes(path)).map((node) => ({
      name: nodeName(node), type: node.type, size: node.size ?? 0, mode: modeText(node.type, node.mode ?? 0),
      uid: node.uid ?? 0, gid: node.gid ?? 0, user: node.user, group: node.group, mtime: node.mtime ?? '',
      target: node.type === 'symlink' ? linkTarget(node) : undefined,
    }));
  }

  async #nodes(path: RawName): Promise<readonly TreeNode[]> {
    const node = await this.#node(path);
    if (node.type !== 'dir' || node.subtree === undefined) throw this.#missing(path, 'is no folder');
    return await this.#source.blobs.tree(node.subtree);
  }

  /** The node at a path. Throws `path-missing`. */
  async #node(path: RawName): Promise<TreeNode> {
    let node = this.#root;
    const way: (readonly [string, readonly TreeNode[]])[] = [];
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (node.type !== 'dir' || node.subtree === undefined) throw this.#missing(path, 'is not in the snapshot');
      const tree = node.subtree;
      const nodes = this.#way.find(([known]) => known === tree)?.[1] ?? (await this.#source.blobs.tree(tree));
      way.push([tree, nodes]);
      const found = nodes.find((child) => nodeName(child) === name);
      if (!found) throw this.#missing(path, 'is not in the snapshot');
      node = found;
    }
    this.#way = way;
    return node;
  }

  async bytes(path: RawName): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.read(path)) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  }

  async *read(path: RawName): AsyncIterable<Uint8Array> {
    const node = await this.#node(path);
    if (node.type !== 'file') throw this.#missing(path, 'is no file');
    yield* readContent(this.#source, node.content ?? [], toText(path));
  }

  async extract(path: RawName, target: RawName, options: ExtractOptions): Promise<ExtractReport> {
    return await extract(this.#source, await this.#node(path), target, options);
  }

  async compare(path: RawName, target: RawName, options: ExtractOptions): Promise<Comparison> {
    return await compareTree(this.#source, await this.#node(path), target, { ...options, contents: true });
  }

  /** Reads and compares everything that the snapshot needs; see proof-content.ts. */
  async prove(options: ProveContentOptions): Promise<ContentProof> {
    return await proveTree(this.#source, this.#root.subtree ?? '', options);
  }

  #missing(path: RawName, what: string): HoldfastError {
    return new HoldfastError('path-missing', `${toText(path)} ${what} (snapshot ${this.snapshotId.slice(0, 10)})`, {
      hint: 'See what it holds with `holdfast ls`.',
    });
  }
}
