/** The operations of the campaign. Each is small: a world, how to run it through a storage that may fail, what holds when it says that it is done. */
import { chooseToCopy, copy } from '../../src/operation/copy.ts';
import { executeForget, planForget, type ForgetRequest } from '../../src/operation/forget.ts';
import { planPrune, prune, type PruneRequest } from '../../src/operation/prune.ts';
import { repairIndex, repairPacks, repairSnapshots } from '../../src/operation/repair.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { Secret } from '../../src/base/secret.ts';
import { openRepository, type Repository } from '../../src/repository/repository.ts';
import type { Storage, StoredFile } from '../../src/storage/storage.ts';
import type { Scratch } from '../fixture/scratch.ts';
import { compareSnapshots, countFiles } from './judge.ts';
import { backupOnce, contextOf, makeWorld, PASSWORD, snapshotsOf, type Content, type MovedClock, type World } from './world.ts';

export interface Operation {
  readonly name: string;
  /** The storage in which things fail. */
  readonly failing: 'storage' | 'second';
  /** Where what it makes lies, if that is not where things fail. */
  readonly makes?: 'storage' | 'second';
  prepare(place: Scratch): Promise<World>;
  /** Carries it out. Rejects as the operation does; answers the snapshots that it says it has made. */
  run(world: World, storage: Storage, clock: MovedClock, signal: AbortSignal): Promise<ReadonlyMap<string, Content>>;
  /** Old snapshots that it may remove, by intent. */
  mayRemove?(world: World): ReadonlySet<string>;
  /** Its world is damaged to begin with, so that nothing can be said of it before the operation is done. */
  readonly mends?: boolean;
  /** What is wrong though it said that it was done; sentences. */
  done(world: World): Promise<readonly string[]>;
}

const nothingMore = (): Promise<readonly string[]> => Promise.resolve([]);
const nothingMade: ReadonlyMap<string, Content> = new Map();

async function open(storage: Storage, clock: MovedClock): Promise<Repository> {
  return await openRepository(storage, PASSWORD, clock);
}

const BACKUP: Operation = {
  name: 'backup',
  failing: 'storage',
  prepare: (place) => makeWorld(place, 2),
  run: async (world, storage, clock, signal) => new Map(snapshotsOf(await backupOnce(storage, world.stack, clock, signal)).map((id) => [id, world.now])),
  done: nothingMore,
};

const KEPT = 3;
const FORGET_REQUEST: ForgetRequest = { stack: undefined, stores: [], ids: [], policy: { last: KEPT }, plans: [], zone: 'UTC' };

const FORGET: Operation = {
  name: 'forget',
  failing: 'storage',
  prepare: (place) => makeWorld(place, 5),
  run: async (_world, storage, clock, signal) => {
    const repository = await open(storage, clock);
    await executeForget(await planForget(FORGET_REQUEST, repository, clock.now()), FORGET_REQUEST, repository, contextOf(clock, signal));
    return nothingMade;
  },
  mayRemove: (world) => new Set([...world.old.keys()].slice(0, -KEPT)),
  done: async (world) => {
    const left = await countFiles(world.storage, 'snapshot');
    return left === KEPT ? [] : [`${left} snapshots are left, not ${KEPT}`];
  },
};

/** A world of which the older snapshots were forgotten, so that there is something to prune: whole packs, and parts of packs. */
async function forgottenWorld(place: Scratch): Promise<World> {
  const world = await makeWorld(place, 5);
  const [first = '', second = '', third = '', ...kept] = world.old.keys();
  for (const id of [first, second, third]) await world.storage.remove({ kind: 'snapshot', id });
  return { ...world, old: new Map(kept.map((id) => [id, world.old.get(id) ?? new Map()])) };
}

function pruning(name: string, graceMs: number): Operation {
  const request: PruneRequest = { maxUnused: { kind: 'bytes', bytes: 0 }, maxRepack: undefined, graceMs };
  return {
    name,
    failing: 'storage',
    prepare: forgottenWorld,
    run: async (_world, storage, clock, signal) => {
      await prune(await open(storage, clock), request, contextOf(clock, signal));
      return nothingMade;
    },
    done: async (world) => {
      const { unusedBytes, duplicateBytes } = await planPrune(await open(world.storage, world.clock), request, contextOf(world.clock));
      return unusedBytes + duplicateBytes === 0 ? [] : [`${unusedBytes} bytes that nobody needs and ${duplicateBytes} that are there twice are left`];
    },
  };
}

/** The same storage under a name of its own: an operation refuses to copy a place into itself. */
function named(storage: Storage, location: string): Storage {
  return {
    location,
    save: (file, bytes, call) => storage.save(file, bytes, call), load: (file, range, call) => storage.load(file, range, call), list: (kind, call) => storage.list(kind, call),
    size: (file, call) => storage.size(file, call), remove: (file, call) => storage.remove(file, call),
  };
}

function copying(name: string, failing: 'storage' | 'second'): Operation {
  return {
    name,
    failing,
    makes: 'second',
    prepare: (place) => makeWorld(place, 3),
    run: async (world, storage, clock, signal) => {
      const [from, to] = failing === 'storage' ? [storage, world.second] : [world.storage, storage];
      const [source, target] = [await open(named(from, 'source'), clock), await open(named(to, 'target'), clock)];
      const { outcomes } = await copy({ source, target, choose: (snapshots) => chooseToCopy(snapshots, { stores: [], ids: [] }) }, contextOf(clock, signal));
      for (const outcome of outcomes) if (outcome.state === 'failed') throw outcome.error;
      return new Map(outcomes.flatMap((outcome) => (outcome.state === 'copied' ? [[outcome.id, world.old.get(outcome.snapshot.id) ?? new Map()] as const] : [])));
    },
    done: async (world) => {
      const copies = await (await open(world.second, world.clock)).snapshots();
      const wanted = new Map(copies.flatMap(({ id, original }) => (original === undefined ? [] : [[id, world.old.get(original) ?? new Map()] as const])));
      return [...(wanted.size === world.old.size ? [] : [`${wanted.size} of ${world.old.size} snapshots were copied`]), ...(await compareSnapshots(world.second, world.clock, wanted))];
    },
  };
}

/** Another password beside the first, which goes on to open. */
const KEY: Operation = {
  name: 'key',
  failing: 'storage',
  prepare: (place) => makeWorld(place, 1),
  run: async (_world, storage, clock) => {
    await (await open(storage, clock)).addKey(new Secret('another'));
    return nothingMade;
  },
  done: async (world) => {
    await openRepository(world.storage, new Secret('another'), world.clock);
    return [];
  },
};

async function idsIn(storage: Storage, kind: 'index' | 'pack'): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { id } of storage.list(kind)) ids.push(id);
  return ids.sort();
}

/** Turns a bit in the middle of a stored file. */
async function damage(storage: Storage, file: StoredFile, at?: number): Promise<void> {
  const bytes = await storage.load(file);
  const where = at ?? Math.floor(bytes.length / 2);
  bytes[where] = (bytes[where] ?? 0) ^ 1;
  await storage.save(file, bytes);
}

/** One index file is gone, and one is damaged. */
const REPAIR_INDEX: Operation = {
  name: 'repair-index',
  failing: 'storage',
  mends: true,
  prepare: async (place) => {
    const world = await makeWorld(place, 3);
    const [gone = '', damaged = ''] = await idsIn(world.storage, 'index');
    await world.storage.remove({ kind: 'index', id: gone });
    await damage(world.storage, { kind: 'index', id: damaged });
    return world;
  },
  run: async (_world, storage, clock, signal) => {
    const { plan } = await repairIndex(await open(storage, clock), false, contextOf(clock, signal));
    // It says so: what it could not read is not mended.
    for (const { message } of plan.unreadable) throw new HoldfastError('repository-damaged', message);
    return nothingMade;
  },
  done: nothingMore,
};

/** The data that only the last snapshot needs is damaged: its packs are mended first, then the snapshot. */
const REPAIR: Operation = {
  name: 'repair',
  failing: 'storage',
  mends: true,
  prepare: async (place) => {
    const world = await makeWorld(place, 2);
    const before = new Set(await idsIn(world.storage, 'pack'));
    await backupOnce(world.storage, world.stack, world.clock);
    // Trees are written last; of two new packs the larger one has the data.
    const added = (await idsIn(world.storage, 'pack')).filter((id) => !before.has(id));
    const sizes = await Promise.all(added.map(async (id) => ({ id, size: (await world.storage.size({ kind: 'pack', id })) ?? 0 })));
    const [data] = sizes.sort((a, b) => b.size - a.size);
    await damage(world.storage, { kind: 'pack', id: data?.id ?? '' }, 100);
    return world;
  },
  run: async (_world, storage, clock, signal) => {
    const context = contextOf(clock, signal);
    const damaged = (await (await open(storage, clock)).check({ readData: { kind: 'all' }, signal, step: () => undefined, progress: () => undefined, random: () => 0 })).errors;
    const packs = [...new Set(damaged.flatMap(({ subject }) => /^pack ([0-9a-f]{64})/.exec(subject)?.[1] ?? []))];
    if (packs.length > 0) await repairPacks(await open(storage, clock), packs, context);
    await repairSnapshots(await open(storage, clock), { ids: [], forget: true }, context);
    return nothingMade;
  },
  done: async (world) => {
    const left = await countFiles(world.storage, 'snapshot');
    return left === 3 ? [] : [`${left} snapshots are left, not 3`];
  },
};

export const OPERATIONS: readonly Operation[] = [
  BACKUP, FORGET, pruning('prune', 0), pruning('prune-grace', 3600_000), copying('copy', 'second'), copying('copy-from', 'storage'), REPAIR_INDEX, REPAIR, KEY,
];

/** All old snapshots of a world that must read back whatever happened. */
export async function lostSnapshots(world: World, operation: Operation): Promise<readonly string[]> {
  const may = operation.mayRemove?.(world) ?? new Set();
  const kept = new Map([...world.old].filter(([id]) => !may.has(id)));
  return await compareSnapshots(world.storage, world.clock, kept);
}
