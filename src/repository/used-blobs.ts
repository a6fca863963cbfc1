/** Which blobs the trees of snapshots need: for pruning, for copying, and for telling what a damage hits. */
import { HoldfastError } from '../base/errors.ts';
import { toText } from '../base/raw-name.ts';
import type { BlobIndex } from './blob-index.ts';
import type { Core } from './core.ts';
import { EntrySet } from './entry-set.ts';
import { nodeName } from './format/tree.ts';
import type { Snapshot } from './snapshot.ts';
import { walkTrees } from './tree-walk.ts';

/** A blob that is needed and not there, or a tree that cannot be read. */
export interface LostBlob {
  readonly id: string;
  readonly type: 'data' | 'tree';
  /** Who needs it first: `snapshot 1a2b3c4d5e/data/file`. */
  readonly where: string;
  readonly message: string;
}

export interface UsedBlobsOptions {
  readonly core: Core;
  readonly index: BlobIndex;
  readonly snapshots: readonly Pick<Snapshot, 'id' | 'tree'>[];
  readonly signal: AbortSignal;
  /** Hears of every blob that is lost, and goes on. Without it the first one is thrown as `repository-damaged`. */
  lost?(blob: LostBlob): void;
  /** Trees that were read since the last call. */
  progress?(trees: number): void;
}

/** The first entry of every blob that is needed. Content of files is looked up, not read; trees are read and hashed. */
export async function usedBlobs({ core, index, snapshots, signal, lost = refuse, progress }: UsedBlobsOptions): Promise<EntrySet> {
  const used = new EntrySet(index.count);
  await walkTrees({
    core, index, signal,
    roots: snapshots.map(({ id, tree }) => ({ id: tree, where: `snapshot ${id.slice(0, 10)}` })),
    visit: ({ where }, number, nodes) => {
      used.add(number);
      for (const node of nodes) {
        for (const id of node.content ?? []) {
          const entry = index.find(id, 'data');
          if (entry >= 0) used.add(entry);
          else lost({ id, type: 'data', where: `${where}/${toText(nodeName(node))}`, message: `its data blob ${id.slice(0, 10)} is in no index, or in a pack that is missing` });
        }
      }
      progress?.(1);
    },
    unreadable: ({ id, where }, error) => lost({ id, type: 'tree', where, message: `its tree cannot be read: ${error.message}` }),
  });
  return used;
}

function refuse({ where, message }: LostBlob): never {
  throw new HoldfastError('repository-damaged', `${where}: ${message}`, { hint: 'Run `holdfast check` to see how far the damage goes, then `holdfast repair` to mend it.' });
}
