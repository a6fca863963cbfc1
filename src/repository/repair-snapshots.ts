/**
 * Makes snapshots restorable again that have lost something: a copy of each without the files that cannot be restored, and with
 * an empty folder where a folder's listing is lost. What is left out is named, path by path. The copy says of itself that it is
 * degraded; the old snapshot stays unless it is to be forgotten, and goes only when the copy stands.
 */
import type { Clock } from '../base/clock.ts';
import { isHoldfastError, messageOf } from '../base/errors.ts';
import { joinRaw, toText, type RawName } from '../base/raw-name.ts';
import { LossSearch } from './affected.ts';
import type { BlobIndex } from './blob-index.ts';
import { BlobReader } from './blob-reader.ts';
import { saveDocument, type Core } from './core.ts';
import { packSizes } from './pack-sizes.ts';
import { EntrySet } from './entry-set.ts';
import { encodeDocument, type SnapshotDocument } from './format/documents.ts';
import { nodeName, parseTree } from './format/tree.ts';
import { rawNodes, withSubtree } from './format/tree-edit.ts';
import { readIndexFiles } from './index-loader.ts';
import { PackStore } from './pack-store.ts';
import { needsIndex } from './repair-index.ts';
import { listSnapshots, type Snapshot } from './snapshot.ts';
import { TreeWriter } from './tree-writer.ts';

export interface RepairSnapshotsOptions {
  /** Only these; undefined for all. */
  readonly ids: ReadonlySet<string> | undefined;
  readonly signal: AbortSignal;
  step(sentence: string): void;
}

export interface LostPath {
  readonly path: string;
  /** Its listing is lost, so that what was in it is not known. */
  readonly folder: boolean;
}

export interface BrokenSnapshot {
  readonly snapshot: Snapshot;
  readonly lost: readonly LostPath[];
  /** `done`: a repaired copy stands already. `nothing-left`: the listing of the whole snapshot is lost, and no copy is made. */
  readonly outcome: 'repair' | 'done' | 'nothing-left';
  /** The copy, when it stands already. */
  readonly repaired: string | undefined;
}

export interface RepairSnapshotsPlan {
  readonly looked: number;
  readonly broken: readonly BrokenSnapshot[];
  /** Snapshots whose own file cannot be read. */
  readonly unreadable: readonly { readonly id: string; readonly message: string }[];
}

export interface PlannedSnapshots {
  readonly plan: RepairSnapshotsPlan;
  readonly index: BlobIndex;
  readonly damaged: EntrySet;
}

export const REPAIRED_TAG = 'repaired';

export async function planRepairSnapshots(core: Core, { ids, signal, step }: RepairSnapshotsOptions): Promise<PlannedSnapshots> {
  const unreadable: { id: string; message: string }[] = [];
  const all = await listSnapshots(core, ({ message }, id) => unreadable.push({ id, message }));
  step('loading the index');
  const { builder } = await readIndexFiles(core, (error) => {
    throw needsIndex(error);
  });
  const sizes = await packSizes(core, builder.packsBeside(new Set()));
  const index = builder.build(builder.packsBeside(sizes));
  const damaged = beyondTheEnd(index, sizes);
  const search = new LossSearch({ core, index, damaged, signal });
  const chosen = all.filter(({ id }) => ids?.has(id) ?? true);
  step(`looking what ${chosen.length} snapshots have lost`);
  const broken: BrokenSnapshot[] = [];
  for (const snapshot of chosen) {
    const lost: LostPath[] = [];
    await search.search(snapshot.tree, '/', (path, folder) => lost.push({ path: toText(path), folder }));
    if (lost.length === 0) continue;
    const copy = all.find(({ original, tags }) => original === (snapshot.original ?? snapshot.id) && tags?.includes(REPAIRED_TAG) && !snapshot.tags?.includes(REPAIRED_TAG));
    const outcome = lost.some(({ path, folder }) => folder && path === '/') ? 'nothing-left' : copy ? 'done' : 'repair';
    broken.push({ snapshot, lost, outcome, repaired: copy?.id });
  }
  return { plan: { looked: chosen.length, broken, unreadable }, index, damaged };
}

/** Entries of packs that were cut short. */
function beyondTheEnd(index: BlobIndex, sizes: ReadonlyMap<string, number>): EntrySet {
  const damaged = new EntrySet(index.count);
  for (let number = 0; number < index.count; number++) {
    const { pack, offset, length } = index.location(number);
    if (offset + length > (sizes.get(pack) ?? 0)) damaged.add(number);
  }
  return damaged;
}

export interface RepairedSnapshot {
  readonly from: string;
  /** The copy; undefined when there was nothing left to copy. */
  readonly to: string | undefined;
  readonly removed: boolean;
}

export interface RepairSnapshotsReport {
  readonly repaired: readonly RepairedSnapshot[];
}

/** Under an exclusive lock. New trees and their index come first, then the copies, then the old ones go: dying anywhere loses no snapshot, and a second run makes no second copy. */
export async function executeRepairSnapshots(core: Core, { plan, index, damaged }: PlannedSnapshots, forget: boolean, clock: Clock, signal: AbortSignal): Promise<RepairSnapshotsReport> {
  const packs = new PackStore(core, clock);
  const rewrite = new TreeRewrite(core, index, new LossSearch({ core, index, damaged, signal }), packs);
  const trees = new Map<string, string>();
  for (const { snapshot, outcome } of plan.broken) {
    signal.throwIfAborted();
    if (outcome === 'repair') trees.set(snapshot.id, await rewrite.tree(snapshot.tree, '/'));
  }
  await rewrite.end();
  const repaired: RepairedSnapshot[] = [];
  for (const { snapshot, repaired: done } of plan.broken) {
    const tree = trees.get(snapshot.id);
    const to = tree === undefined ? done : await saveDocument(core, 'snapshot', encodeDocument(repairedDocument(snapshot, tree)));
    repaired.push({ from: snapshot.id, to, removed: forget && (await removed(core, snapshot.id)) });
  }
  for (const { id } of plan.unreadable) if (forget) repaired.push({ from: id, to: undefined, removed: await removed(core, id) });
  return { repaired };
}

async function removed(core: Core, id: string): Promise<boolean> {
  try {
    await core.storage.remove({ kind: 'snapshot', id });
    return true;
  } catch (error) {
    if (!isHoldfastError(error, 'storage-kept')) throw error;
    return false;
  }
}

/** The summary is left out: it counts what is not there any more. */
function repairedDocument({ id, tree: _tree, summary: _summary, tags = [], ...rest }: Snapshot, tree: string): SnapshotDocument {
  const said = tags.map((tag) => (tag === 'state:ok' ? 'state:degraded' : tag));
  const { time, parent, original = id, ...others } = rest;
  return { time, ...(parent === undefined ? {} : { parent }), tree, ...others, tags: [...said, REPAIRED_TAG], original };
}

class TreeRewrite {
  readonly #blobs: BlobReader;
  readonly #search: LossSearch;
  readonly #trees: TreeWriter;
  readonly #packs: PackStore;
  /** What became of trees that were looked at. */
  readonly #done = new Map<string, string>();

  constructor(core: Core, index: BlobIndex, search: LossSearch, packs: PackStore) {
    this.#blobs = new BlobReader(core, index);
    this.#search = search;
    this.#packs = packs;
    this.#trees = new TreeWriter(core, index, (pack) => packs.store(pack));
  }

  async end(): Promise<void> {
    await this.#trees.flush();
    await this.#packs.writeIndex();
  }

  /** The id of the tree without what is lost; the same when nothing is. */
  async tree(id: string, path: RawName): Promise<string> {
    const known = this.#done.get(id);
    if (known !== undefined) return known;
    const whole = await this.#search.search(id, path, () => undefined);
    const made = whole ? id : await this.#rewritten(id, path);
    this.#done.set(id, made);
    return made;
  }

  async #rewritten(id: string, path: RawName): Promise<string> {
    if (typeof (await this.#search.nodes(id)) === 'string') return await this.#trees.save([]);
    const bytes = await this.#blobs.read(id, 'tree');
    const raw = rawNodes(bytes);
    const kept: string[] = [];
    for (const [i, node] of parseTree(bytes).entries()) {
      const text = raw[i];
      if (text === undefined) throw new Error(`tree ${id.slice(0, 10)} has other nodes than it seems: ${messageOf(node.name)}`);
      if (node.type === 'file' && (node.content ?? []).some((blob) => this.#search.isLost(blob, 'data'))) continue;
      if (node.type !== 'dir') kept.push(text);
      else if (node.subtree === undefined) kept.push(withSubtree(text, undefined, await this.#trees.save([])));
      else kept.push(withSubtree(text, node.subtree, await this.tree(node.subtree, joinRaw(path, nodeName(node)))));
    }
    return await this.#trees.save(kept);
  }
}
