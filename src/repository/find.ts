/**
 * Finds paths in several snapshots at once: folder by folder, every distinct tree of a folder is read once, however many snapshots
 * share it, and each path comes out once, with its versions. Memory: one tree, and of the folders on the way down what matches.
 */
import { createHash } from 'node:crypto';
import { joinRaw, type RawName } from '../base/raw-name.ts';
import type { BlobReader } from './blob-reader.ts';
import { parseTime } from './format/go-time.ts';
import { linkTarget, nodeName, type TreeNode } from './format/tree.ts';
import type { Snapshot } from './snapshot.ts';

export interface FindOptions {
  /** Oldest first; a version lasts over snapshots that follow each other here, so they should be those of one store. */
  readonly snapshots: readonly Snapshot[];
  matches(path: RawName, name: RawName): boolean;
  /** Only what was last changed in between. */
  readonly oldest?: Date | undefined;
  readonly newest?: Date | undefined;
  readonly signal: AbortSignal;
}

/** The same content, from one snapshot to another without a gap. */
export interface FoundVersion {
  readonly type: TreeNode['type'];
  readonly size: number;
  /** RFC 3339, as the first of the snapshots has it. */
  readonly mtime: string;
  readonly from: Snapshot;
  readonly to: Snapshot;
  readonly snapshots: number;
}

export interface FoundPath {
  readonly path: RawName;
  /** Oldest first. */
  readonly versions: readonly FoundVersion[];
}

interface Group {
  readonly tree: string;
  /** Numbers of the snapshots that have it. */
  readonly members: readonly number[];
}

interface Sighting {
  /** Of the snapshot. */
  readonly number: number;
  readonly key: string;
  readonly seen: Pick<FoundVersion, 'type' | 'size' | 'mtime'>;
}

interface Level {
  readonly found: Map<RawName, Sighting[]>;
  readonly below: Map<RawName, Map<string, number[]>>;
}

/** Paths in the order of the tree. */
export async function* find(blobs: BlobReader, options: FindOptions): AsyncGenerator<FoundPath> {
  const roots = new Map<string, number[]>();
  for (const [number, { tree }] of options.snapshots.entries()) put(roots, tree, [number]);
  yield* below(blobs, options, groupsOf(roots), '/');
}

async function* below(blobs: BlobReader, options: FindOptions, groups: readonly Group[], path: RawName): AsyncGenerator<FoundPath> {
  const level: Level = { found: new Map(), below: new Map() };
  for (const group of groups) await collect(blobs, options, group, path, level);
  for (const name of [...new Set([...level.found.keys(), ...level.below.keys()])].sort()) {
    const at = joinRaw(path, name);
    const sightings = level.found.get(name);
    if (sightings) yield { path: at, versions: versionsOf(sightings, options.snapshots) };
    const trees = level.below.get(name);
    if (trees) yield* below(blobs, options, groupsOf(trees), at);
  }
}

async function collect(blobs: BlobReader, options: FindOptions, { tree, members }: Group, path: RawName, level: Level): Promise<void> {
  options.signal.throwIfAborted();
  for (const node of await blobs.tree(tree)) {
    const name = nodeName(node);
    if (node.type === 'dir' && node.subtree !== undefined) {
      const trees = level.below.get(name) ?? new Map<string, number[]>();
      put(trees, node.subtree, members);
      level.below.set(name, trees);
    }
    if (!inTime(node, options) || !options.matches(joinRaw(path, name), name)) continue;
    const key = keyOf(node);
    const { type, size = 0, mtime = '' } = node;
    const seen = { type, size, mtime };
    const sightings = level.found.get(name) ?? [];
    for (const number of members) sightings.push({ number, key, seen });
    level.found.set(name, sightings);
  }
}

function put(map: Map<string, number[]>, key: string, members: readonly number[]): void {
  const known = map.get(key);
  if (known) known.push(...members);
  else map.set(key, [...members]);
}

function groupsOf(trees: ReadonlyMap<string, readonly number[]>): readonly Group[] {
  return [...trees].map(([tree, members]) => ({ tree, members }));
}

function inTime({ mtime }: TreeNode, { oldest, newest }: FindOptions): boolean {
  if (mtime === undefined || (oldest === undefined && newest === undefined)) return true;
  const ms = Number(parseTime(mtime) / 1_000_000n);
  return (oldest === undefined || ms >= oldest.getTime()) && (newest === undefined || ms <= newest.getTime());
}

/** What makes a version: the content of a file, the target of a link; a folder only is there or not. */
function keyOf(node: TreeNode): string {
  if (node.type === 'symlink') return `symlink ${linkTarget(node)}`;
  if (node.type !== 'file') return node.type;
  const [first = '', ...others] = node.content ?? [];
  if (others.length === 0) return `file ${first}`;
  const hash = createHash('sha256');
  for (const id of node.content ?? []) hash.update(id);
  return `file ${hash.digest('hex')}`;
}

function versionsOf(sightings: readonly Sighting[], snapshots: readonly Snapshot[]): readonly FoundVersion[] {
  const versions: FoundVersion[] = [];
  let run: Sighting[] = [];
  const end = (): void => {
    const [first] = run;
    const last = run.at(-1);
    const [from, to] = [snapshots[first?.number ?? 0], snapshots[last?.number ?? 0]];
    if (first && from && to) versions.push({ ...first.seen, from, to, snapshots: run.length });
    run = [];
  };
  for (const sighting of sightings.toSorted((a, b) => a.number - b.number)) {
    const before = run.at(-1);
    if (before && (before.key !== sighting.key || before.number + 1 !== sighting.number)) end();
    run.push(sighting);
  }
  end();
  return versions;
}
