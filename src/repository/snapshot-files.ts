/** The files of one snapshot: looked up by path, read as streams, rebuilt on disk. What sources get to restore a store. */
import { HoldfastError } from '../base/errors.ts';
import { toText, type RawName } from '../base/raw-name.ts';
import { compareTree } from './compare-tree.ts';
import type { Comparison, ExtractOptions, ExtractReport, ListedFile, SnapshotFiles } from './entry.ts';
import { extract } from './extract.ts';
import { modeText } from './format/go-mode.ts';
import { linkTarget, nodeName, type TreeNode } from './format/tree.ts';
import { blobBytes, locate } from './unpack/pack-plan.ts';
import { loadRange } from './unpack/load-range.ts';
import type { Snapshot } from './snapshot.ts';
import type { UnpackSource } from './unpack/unpack-source.ts';

/** Blobs of a stream that are opened at once, and groups that are opened ahead of the reader. */
const GROUP_BYTES = 4 << 20;
const AHEAD = 3;

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
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (node.type !== 'dir' || node.subtree === undefined) throw this.#missing(path, 'is not in the snapshot');
      const found = (await this.#source.blobs.tree(node.subtree)).find((child) => nodeName(child) === name);
      if (!found) throw this.#missing(path, 'is not in the snapshot');
      node = found;
    }
    return node;
  }

  async bytes(path: RawName): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.read(path)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  async *read(path: RawName): AsyncIterable<Uint8Array> {
    const node = await this.#node(path);
    if (node.type !== 'file') throw this.#missing(path, 'is no file');
    const ids = node.content ?? [];
    const opening: Promise<Uint8Array>[] = [];
    for (let next = 0; next < ids.length || opening.length > 0; ) {
      while (next < ids.length && opening.length < AHEAD) {
        const group = this.#group(ids, next, path);
        opening.push(this.#open(group.pack, group.blobs));
        // A later group may fail while an earlier one is still being waited for.
        opening.at(-1)?.catch(() => undefined);
        next += group.blobs.length;
      }
      const content = await opening.shift();
      if (content) yield content;
    }
  }

  /** As many blobs, from number `first`, as lie one behind another in one pack. */
  #group(ids: readonly string[], first: number, path: RawName): { readonly pack: string; readonly blobs: ReturnType<typeof locate>['blob'][] } {
    const { pack, blob } = locate(this.#source.index, ids[first] ?? '', toText(path));
    const blobs = [blob];
    let bytes = blobBytes(blob);
    for (let i = first + 1; i < ids.length && bytes < GROUP_BYTES; i++) {
      const next = locate(this.#source.index, ids[i] ?? '', toText(path));
      const before = blobs.at(-1);
      if (next.pack !== pack || !before || next.blob.offset !== before.offset + before.length) break;
      blobs.push(next.blob);
      bytes += blobBytes(next.blob);
    }
    return { pack, blobs };
  }

  async #open(pack: string, blobs: readonly ReturnType<typeof locate>['blob'][]): Promise<Uint8Array> {
    const first = blobs[0]?.offset ?? 0;
    const last = blobs.at(-1);
    const length = last ? last.offset + last.length - first : 0;
    const done = await this.#source.pool.run(async () => ({ kind: 'open', range: await loadRange(this.#source.core, { pack, offset: first, length }), blobs }));
    return done.content ?? new Uint8Array(0);
  }

  async extract(path: RawName, target: RawName, options: ExtractOptions): Promise<ExtractReport> {
    return await extract(this.#source, await this.#node(path), target, options);
  }

  async compare(path: RawName, target: RawName, options: ExtractOptions): Promise<Comparison> {
    return await compareTree(this.#source, await this.#node(path), target, { ...options, contents: true });
  }

  #missing(path: RawName, what: string): HoldfastError {
    return new HoldfastError('path-missing', `${toText(path)} ${what} (snapshot ${this.snapshotId.slice(0, 10)})`, {
      hint: 'See what it holds with `holdfast ls`.',
    });
  }
}
