/** The operations of the campaign. Each is small: a world, how to run it through a storage that may fail, what holds when it says that it is done. */
import type { Storage } from '../../src/storage/storage.ts';
import { compareSnapshots } from './judge.ts';
import { backupOnce, makeWorld, snapshotsOf, type Content, type MovedClock, type World } from './world.ts';
import type { Scratch } from '../fixture/scratch.ts';

export interface Operation {
  readonly name: string;
  /** The storage in which things fail: where it reads and writes, or where copies go. */
  readonly failing: 'storage' | 'second';
  prepare(place: Scratch): Promise<World>;
  /** Carries it out. Rejects as the operation does; answers the snapshots that it says it has made, in the failing storage. */
  run(world: World, storage: Storage, clock: MovedClock, signal: AbortSignal): Promise<ReadonlyMap<string, Content>>;
  /** Old snapshots that it may remove, by intent. */
  mayRemove?(world: World): ReadonlySet<string>;
  /** What is wrong though it said that it was done; sentences. */
  done(world: World): Promise<readonly string[]>;
}

const BACKUP: Operation = {
  name: 'backup',
  failing: 'storage',
  prepare: (place) => makeWorld(place, 2),
  run: async (world, storage, clock, signal) => new Map(snapshotsOf(await backupOnce(storage, world.stack, clock, signal)).map((id) => [id, world.now])),
  done: () => Promise.resolve([]),
};

export const OPERATIONS: readonly Operation[] = [BACKUP];

/** All old snapshots of a world that must read back in the failing storage whatever happened. */
export async function lostSnapshots(world: World, operation: Operation): Promise<readonly string[]> {
  const may = operation.mayRemove?.(world) ?? new Set();
  const kept = new Map([...world.old].filter(([id]) => !may.has(id)));
  return await compareSnapshots(world.storage, world.clock, kept);
}
