/** What must hold after anything has failed: looked at with fresh eyes, from what is stored alone. */
import type { Clock } from '../../src/base/clock.ts';
import { firstError, isHoldfastError, messageOf } from '../../src/base/errors.ts';
import { BlobReader } from '../../src/repository/blob-reader.ts';
import { openCore, sha256 } from '../../src/repository/core.ts';
import { nodeName, type TreeNode } from '../../src/repository/format/tree.ts';
import { loadReaderIndex } from '../../src/repository/index-loader.ts';
import { openRepository, type CheckReport } from '../../src/repository/repository.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { PASSWORD, type Content } from './world.ts';

/** `check`, reading every byte. */
export async function checkAll(storage: Storage, clock: Clock): Promise<CheckReport> {
  const repository = await openRepository(storage, PASSWORD, clock);
  return await repository.check({ readData: { kind: 'all' }, signal: new AbortController().signal, step: () => undefined, progress: () => undefined, random: () => 0.5 });
}

/** Reads every file of these snapshots; answers what is not as it was, as sentences. */
export async function compareSnapshots(storage: Storage, clock: Clock, wanted: ReadonlyMap<string, Content>): Promise<readonly string[]> {
  const repository = await openRepository(storage, PASSWORD, clock);
  const snapshots = await repository.snapshots();
  const core = await openCore(storage, PASSWORD);
  const blobs = new BlobReader(core, await loadReaderIndex(core));
  const wrong: string[] = [];
  for (const [id, content] of wanted) {
    const snapshot = snapshots.find((one) => one.id === id);
    if (!snapshot) {
      wrong.push(`the snapshot ${id.slice(0, 10)} is gone`);
      continue;
    }
    try {
      const found = new Map<string, string>();
      await readTree(blobs, snapshot.tree, '', found);
      for (const [path, hash] of content) {
        const stored = found.get(path);
        if (stored !== hash) wrong.push(`${path} in snapshot ${id.slice(0, 10)} ${stored === undefined ? 'is gone' : 'has another content'}`);
      }
    } catch (error) {
      wrong.push(`the snapshot ${id.slice(0, 10)} cannot be read: ${messageOf(error)}`);
    }
  }
  return wrong;
}

async function readTree(blobs: BlobReader, tree: string, above: string, found: Map<string, string>): Promise<void> {
  for (const node of await blobs.tree(tree)) {
    const path = `${above}/${nodeName(node)}`;
    if (node.type === 'dir' && node.subtree !== undefined) await readTree(blobs, node.subtree, path, found);
    else if (node.type === 'file') found.set(path, sha256(await readFile(blobs, node)));
  }
}

async function readFile(blobs: BlobReader, node: TreeNode): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const id of node.content ?? []) parts.push(await blobs.read(id, 'data'));
  return Buffer.concat(parts);
}

export async function countFiles(storage: Storage, kind: 'lock' | 'pack' | 'index' | 'snapshot'): Promise<number> {
  let count = 0;
  for await (const _ of storage.list(kind)) count++;
  return count;
}

/** An error as a user may get it: of the closed table, no bug, with a sentence. Answers what is wrong with it. */
export function faultOf(thrown: unknown): readonly string[] {
  const error = firstError(thrown);
  if (!isHoldfastError(error)) return [`the error is none of ours: ${error instanceof Error ? `${error.name} ${error.stack ?? error.message}` : String(error)}`];
  if (error.code === 'internal') return [`the error is called a bug: ${error.message}`];
  return [];
}
