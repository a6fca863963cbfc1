/** Finds which files and folders of which snapshots need a blob, a tree, or what lies in a pack. Every distinct tree is looked at once. */
import { joinRaw, type RawName } from '../base/raw-name.ts';
import { HoldfastError } from '../base/errors.ts';
import type { BlobIndex } from './blob-index.ts';
import type { BlobReader } from './blob-reader.ts';
import { EntrySet } from './entry-set.ts';
import type { BlobType } from './format/pack-header.ts';
import { nodeName } from './format/tree.ts';
import type { Snapshot } from './snapshot.ts';

export type ObjectKind = 'blob' | 'tree' | 'pack';

export interface FoundObject {
  readonly id: string;
  readonly type: BlobType;
  /** The pack in which it is looked for. */
  readonly pack: string;
  /** `/` for the root of a snapshot. */
  readonly path: RawName;
  /** The first snapshot in which it was met; others may share it. */
  readonly snapshot: Snapshot;
}

/** The entries that are meant. Throws `file-missing` when the index has none. */
function wantedEntries(index: BlobIndex, kind: ObjectKind, prefixes: readonly string[]): EntrySet {
  const wanted = new EntrySet(index.count);
  for (const prefix of prefixes) {
    const packs = new Set(kind === 'pack' ? index.packs.flatMap((pack, number) => (pack.startsWith(prefix) ? [number] : [])) : []);
    const before = wanted.size;
    for (let number = 0; number < index.count; number++) {
      if (kind === 'pack' ? packs.has(index.packNumber(number)) : matches(index, number, kind, prefix)) wanted.add(number);
    }
    if (wanted.size === before) throw new HoldfastError('file-missing', `the index knows no ${kind} whose id begins with '${prefix}'`, { hint: 'Give the id as `holdfast check` or `holdfast cat` shows it.' });
  }
  return wanted;
}

function matches(index: BlobIndex, number: number, kind: 'blob' | 'tree', prefix: string): boolean {
  const { id, type } = index.blob(number);
  return id.startsWith(prefix) && (kind === 'blob' || type === 'tree');
}

/** Each object with every file or folder that needs it, once for each distinct folder that this is in. */
export async function* findObjects(
  { blobs, index }: { readonly blobs: BlobReader; readonly index: BlobIndex }, snapshots: readonly Snapshot[], kind: ObjectKind, prefixes: readonly string[], signal: AbortSignal,
): AsyncGenerator<FoundObject> {
  const wanted = wantedEntries(index, kind, prefixes);
  const seen = new EntrySet(index.count);
  const found = function* (id: string, type: BlobType, path: RawName, snapshot: Snapshot): Generator<FoundObject> {
    const number = index.find(id, type);
    if (number >= 0 && wanted.has(number)) yield { id, type, pack: index.location(number).pack, path, snapshot };
  };
  const visit = async function* (tree: string, path: RawName, snapshot: Snapshot): AsyncGenerator<FoundObject> {
    signal.throwIfAborted();
    yield* found(tree, 'tree', path, snapshot);
    const number = index.find(tree, 'tree');
    if (number >= 0 && !seen.add(number)) return;
    for (const node of await blobs.tree(tree)) {
      const at = joinRaw(path, nodeName(node));
      for (const id of new Set(node.content ?? [])) yield* found(id, 'data', at, snapshot);
      if (node.type === 'dir' && node.subtree !== undefined) yield* visit(node.subtree, at, snapshot);
    }
  };
  for (const snapshot of snapshots) yield* visit(snapshot.tree, '/', snapshot);
}
