/**
 * Rebuilds a tree on the local file system. Folders, links and special files are made while the tree is walked; contents are
 * written by threads, pack by pack; folders get their metadata last, deepest first, since writing below them touches their times.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { HoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { putInPlace } from '../base/file.ts';
import { makeNode } from '../base/posix.ts';
import { joinRaw, toFsPath, toText, type RawName } from '../base/raw-name.ts';
import { compareTree } from './compare-tree.ts';
import type { ExtractOptions, ExtractReport, Problem } from './entry.ts';
import { permissionsOf } from './format/go-mode.ts';
import { parseTime } from './format/go-time.ts';
import { linkTarget, nodeName, type TreeNode } from './format/tree.ts';
import { ownerOf } from './node-owner.ts';
import { NODE_MODES } from './node-types.ts';
import { ContentWriter } from './unpack/content-writer.ts';
import type { RestoredMetadata } from './unpack/messages.ts';
import { restoreMetadata } from './unpack/restore-metadata.ts';
import { targetError } from './unpack/target-error.ts';
import type { UnpackSource } from './unpack/unpack-source.ts';

class Extraction {
  readonly #source: UnpackSource;
  readonly #options: ExtractOptions;
  readonly #content: ContentWriter;
  readonly #problems: Problem[] = [];
  /** Folders in the order in which they were made; their metadata is set from the end. */
  readonly #folders: RestoredMetadata[] = [];
  /** The first path of each file that has several names. */
  readonly #linked = new Map<string, RawName>();
  readonly #links: (readonly [RawName, RawName])[] = [];
  #files = 0;
  #others = 0;

  constructor(source: UnpackSource, options: ExtractOptions) {
    this.#source = source;
    this.#options = options;
    this.#content = new ContentWriter(source, options, this.#problems);
  }

  async run(node: TreeNode, target: RawName): Promise<ExtractReport> {
    await this.#restore(node, target);
    const bytes = await this.#content.end();
    for (const [from, to] of this.#links) fs.linkSync(toFsPath(from), toFsPath(to));
    for (const folder of this.#folders.toReversed()) this.#problems.push(...restoreMetadata(folder));
    return { files: this.#files, folders: this.#folders.length, others: this.#others, bytes, problems: this.#problems };
  }

  async #restore(node: TreeNode, path: RawName): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (node.type === 'dir') await this.#restoreFolder(node, path);
    else if (node.type === 'file') await this.#restoreFile(node, path);
    else this.#restoreOther(node, path);
  }

  async #restoreFolder(node: TreeNode, path: RawName): Promise<void> {
    fs.mkdirSync(toFsPath(path), { mode: 0o700 });
    this.#folders.push(this.#metadata(node, path));
    if (node.subtree === undefined) throw new HoldfastError('repository-damaged', `${toText(path)}: the snapshot has this folder without a tree, so what was in it is not known`);
    // Its names lead nowhere else: parseTree refuses those that would.
    for (const child of await this.#source.blobs.tree(node.subtree)) await this.#restore(child, joinRaw(path, nodeName(child)));
  }

  async #restoreFile(node: TreeNode, path: RawName): Promise<void> {
    this.#files++;
    if ((node.links ?? 0) > 1 && node.inode) {
      // The content is part of the key: inodes beyond 53 bits (layered and network file systems) lose their last digits in JSON.
      const key = `${node.device_id ?? 0}:${node.inode}:${node.size ?? 0}:${(node.content ?? []).join()}`;
      const first = this.#linked.get(key);
      if (first !== undefined) {
        this.#links.push([first, path]);
        return;
      }
      this.#linked.set(key, path);
    }
    await this.#content.add(this.#metadata(node, path), node);
  }

  #restoreOther(node: TreeNode, path: RawName): void {
    this.#others++;
    try {
      if (node.type === 'symlink') fs.symlinkSync(Buffer.from(linkTarget(node), 'latin1'), toFsPath(path));
      else {
        if (node.type === 'irregular') throw new Error('its type is not known');
        makeNode(path, NODE_MODES[node.type] | permissionsOf(node.mode ?? 0), BigInt(node.device ?? 0));
      }
    } catch (error) {
      const why = systemCode(error) === 'EPERM' ? `a ${node.type} can only be made by root` : messageOf(error);
      this.#problems.push({ subject: toText(path), kind: 'left-out', message: `could not be made: ${why}` });
      return;
    }
    const metadata = this.#metadata(node, path);
    this.#problems.push(...restoreMetadata(node.type === 'symlink' ? { ...metadata, mode: undefined } : metadata));
  }

  #metadata(node: TreeNode, path: RawName): RestoredMetadata {
    return {
      path,
      mode: permissionsOf(node.mode ?? 0),
      ...ownerOf(node, this.#source.accounts, this.#options.ownershipByName === true),
      atimeNs: parseTime(node.atime ?? node.mtime ?? '1970-01-01T00:00:00Z'),
      mtimeNs: parseTime(node.mtime ?? '1970-01-01T00:00:00Z'),
      attributes: (node.extended_attributes ?? []).map(({ name, value }) => ({ name, value: Buffer.from(value ?? '', 'base64') })),
    };
  }
}

/**
 * Rebuilds `node` at `target`, which must not exist: beside, compared, then renamed. Throws `target-exists`, `target-failed`,
 * `target-full`, `repository-damaged`, `restore-unproven`; nothing is left of it then. A kill leaves `TARGET.holdfast-*`.
 */
export async function extract(source: UnpackSource, node: TreeNode, target: RawName, options: ExtractOptions): Promise<ExtractReport> {
  if (fs.lstatSync(toFsPath(target), { throwIfNoEntry: false })) {
    throw new HoldfastError('target-exists', `${toText(target)} exists already; nothing was overwritten`, { hint: 'Restore to a path that does not exist yet.' });
  }
  const building = `${target}.holdfast-${randomBytes(4).toString('hex')}`;
  try {
    const parent = target.slice(0, target.lastIndexOf('/'));
    if (parent !== '') fs.mkdirSync(toFsPath(parent), { recursive: true });
    const report = await new Extraction(source, options).run(node, building);
    await prove(source, node, building, options, report.problems);
    await putInPlace(toFsPath(building), toFsPath(target));
    const named = report.problems.map((problem) => ({ ...problem, subject: problem.subject.replace(toText(building), toText(target)) }));
    return { ...report, problems: named };
  } catch (error) {
    fs.rmSync(toFsPath(building), { recursive: true, force: true });
    throw asTargetError(error);
  }
}

/**
 * Contents were read back as they were written; now everything is looked at again: names, types, sizes, owners, modes, times, link
 * targets. What could not be given back for want of privilege was told already; any other difference is a failure.
 */
async function prove(source: UnpackSource, node: TreeNode, building: RawName, options: ExtractOptions, told: readonly Problem[]): Promise<void> {
  const { differences, files } = await compareTree(source, node, building, { ...options, contents: false });
  const known = new Set(told.map(({ subject }) => subject));
  const [first, ...others] = differences.filter(({ subject }) => !known.has(subject));
  if (!first) return;
  throw new HoldfastError('restore-unproven', `${others.length + 1} of ${files} restored files differ from the backup; the first: ${first.subject} ${first.message}`, {
    hint: 'What was written is removed again. Look at the disk of the target, and try another one.',
  });
}

/** System errors here come from what is restored; anything else is told as it is. */
function asTargetError(error: unknown): unknown {
  const code = systemCode(error);
  const foreign = error instanceof HoldfastError || code === undefined || !code.startsWith('E');
  return foreign ? error : targetError(code, messageOf(error), error);
}
