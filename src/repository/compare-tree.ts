/** Compares what stands on the local file system with a tree: the proof of a restore. */
import * as fs from 'node:fs';
import { joinRaw, toFsPath, toText, type RawName } from '../base/raw-name.ts';
import type { Comparison, Problem } from './entry.ts';
import { permissionsOf } from './format/go-mode.ts';
import { parseTime } from './format/go-time.ts';
import { linkTarget, nodeName, type TreeNode } from './format/tree.ts';
import { ownerOf } from './node-owner.ts';
import { NODE_MODES } from './node-types.ts';
import type { ComparedFile } from './unpack/messages.ts';
import { blobBytes, locate } from './unpack/pack-plan.ts';
import type { UnpackSource } from './unpack/unpack-source.ts';

const BATCH_FILES = 256;
const BATCH_BYTES = 8 << 20;
const TYPE = 0o170000;

export interface CompareOptions {
  readonly signal: AbortSignal;
  /** Read the files and compare their content too. */
  readonly contents: boolean;
  readonly ownershipByName?: boolean | undefined;
  progress(bytes: number): void;
}

class TreeComparison {
  readonly differences: Problem[] = [];
  files = 0;
  bytes = 0;
  readonly #source: UnpackSource;
  readonly #options: CompareOptions;
  readonly #underWay = new Set<Promise<void>>();
  #batch: ComparedFile[] = [];
  #batchBytes = 0;

  constructor(source: UnpackSource, options: CompareOptions) {
    this.#source = source;
    this.#options = options;
  }

  async run(node: TreeNode, target: RawName): Promise<Comparison> {
    await this.#compare(node, target);
    this.#send();
    await Promise.all(this.#underWay);
    return { files: this.files, bytes: this.bytes, differences: this.differences };
  }

  async #compare(node: TreeNode, path: RawName): Promise<void> {
    this.#options.signal.throwIfAborted();
    const stats = fs.lstatSync(toFsPath(path), { bigint: true, throwIfNoEntry: false });
    if (!stats) return this.#differs(path, 'is missing', 'vanished');
    if ((Number(stats.mode) & TYPE) !== NODE_MODES[node.type]) return this.#differs(path, `is no ${node.type} any more`);
    this.#compareMetadata(node, path, stats);
    if (node.type === 'symlink' && fs.readlinkSync(toFsPath(path), 'latin1') !== linkTarget(node)) this.#differs(path, 'points elsewhere');
    if (node.type === 'file') await this.#compareFile(node, path, stats);
    if (node.type === 'dir') await this.#compareFolder(node, path);
  }

  #compareMetadata(node: TreeNode, path: RawName, stats: fs.BigIntStats): void {
    const mode = Number(stats.mode) & 0o7777;
    const wanted = permissionsOf(node.mode ?? 0);
    if (node.type !== 'symlink' && mode !== wanted) this.#differs(path, `has mode ${mode.toString(8)} instead of ${wanted.toString(8)}`);
    const owner = `${stats.uid}:${stats.gid}`;
    const { uid, gid } = ownerOf(node, this.#source.accounts, this.#options.ownershipByName === true);
    const wantedOwner = `${uid}:${gid}`;
    if (owner !== wantedOwner) this.#differs(path, `belongs to ${owner} instead of ${wantedOwner}`);
    if (node.mtime !== undefined && parseTime(node.mtime) !== stats.mtimeNs) this.#differs(path, `was changed at another time than ${node.mtime}`);
  }

  async #compareFile(node: TreeNode, path: RawName, stats: fs.BigIntStats): Promise<void> {
    this.files++;
    if (Number(stats.size) !== (node.size ?? 0)) return this.#differs(path, `has ${stats.size} bytes instead of ${node.size ?? 0}`);
    if (!this.#options.contents) return;
    const chunks = (node.content ?? []).map((id) => ({ id, length: blobBytes(locate(this.#source.index, id, toText(path)).blob) }));
    this.#batch.push({ path, chunks });
    this.#batchBytes += node.size ?? 0;
    if (this.#batch.length < BATCH_FILES && this.#batchBytes < BATCH_BYTES) return;
    this.#send();
    while (this.#underWay.size > 6) await Promise.race(this.#underWay);
  }

  async #compareFolder(node: TreeNode, path: RawName): Promise<void> {
    const nodes = node.subtree === undefined ? [] : await this.#source.blobs.tree(node.subtree);
    const names = new Set(nodes.map(nodeName));
    for (const name of fs.readdirSync(toFsPath(path), { encoding: 'latin1' })) {
      if (!names.has(name)) this.#differs(joinRaw(path, name), 'is there in addition');
    }
    for (const child of nodes) await this.#compare(child, joinRaw(path, nodeName(child)));
  }

  #send(): void {
    const files = this.#batch;
    if (files.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    const work = this.#source.pool.run(() => Promise.resolve({ kind: 'compare', files })).then((done) => {
      this.bytes += done.bytes;
      this.differences.push(...done.problems);
      this.#options.progress(done.bytes);
    });
    this.#underWay.add(work);
    // The rejection is met where the promise is awaited.
    work.finally(() => this.#underWay.delete(work)).catch(() => undefined);
  }

  #differs(path: RawName, message: string, kind: Problem['kind'] = 'changed'): void {
    this.differences.push({ subject: toText(path), kind, message });
  }
}

/** Compares `target` with the node of a snapshot; changes nothing. */
export async function compareTree(source: UnpackSource, node: TreeNode, target: RawName, options: CompareOptions): Promise<Comparison> {
  return await new TreeComparison(source, options).run(node, target);
}
