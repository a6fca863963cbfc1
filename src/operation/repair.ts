/** `repair`: mends what can be mended of a damaged repository, and names what is lost. Every kind is planned first and done under an exclusive lock. */
import { findById, type DamagedPack, type RepairIndexPlan, type RepairPacksReport, type RepairSnapshotsPlan, type RepairSnapshotsReport, type Repository } from '../repository/repository.ts';
import type { Context } from './context.ts';

type Repair = ReturnType<Repository['repair']>;

function begin(repository: Repository, { emit, signal }: Context): Repair {
  return repository.repair({
    signal,
    step: (sentence) => emit({ type: 'step', store: undefined, sentence }),
    progress: (bytes) => emit({ type: 'progress', store: undefined, bytes, files: 0 }),
  });
}

/** Which packs the index should name and does not, and the reverse. `all`: every header is read and nothing else believed. */
export async function planRepairIndex(repository: Repository, all: boolean, context: Context): Promise<RepairIndexPlan> {
  await using _lock = await repository.lockForReading('check');
  return await begin(repository, context).planIndex(all);
}

export async function repairIndex(repository: Repository, all: boolean, context: Context): Promise<{ readonly plan: RepairIndexPlan; readonly kept: readonly string[] }> {
  await using _lock = await repository.lock(true);
  return await begin(repository, context).index(all);
}

/** What can be read of these packs. Throws `file-missing` for an id that no pack has. */
export async function planRepairPacks(repository: Repository, ids: readonly string[], context: Context): Promise<readonly DamagedPack[]> {
  await using _lock = await repository.lockForReading('check');
  return await begin(repository, context).planPacks(ids);
}

export async function repairPacks(repository: Repository, ids: readonly string[], context: Context): Promise<{ readonly packs: readonly DamagedPack[]; readonly report: RepairPacksReport }> {
  await using _lock = await repository.lock(true);
  return await begin(repository, context).packs(ids);
}

export interface RepairSnapshotsRequest {
  /** Beginnings of ids; none for all snapshots. */
  readonly ids: readonly string[];
  /** Remove the old snapshots when their copies stand. */
  readonly forget: boolean;
}

/** What the snapshots have lost, path by path. Throws `snapshot-missing` for an id that no snapshot has. */
export async function planRepairSnapshots(repository: Repository, { ids }: RepairSnapshotsRequest, context: Context): Promise<RepairSnapshotsPlan> {
  await using _lock = await repository.lockForReading('check');
  return await begin(repository, context).planSnapshots(await chosen(repository, ids));
}

export async function repairSnapshots(repository: Repository, { ids, forget }: RepairSnapshotsRequest, context: Context): Promise<{ readonly plan: RepairSnapshotsPlan; readonly report: RepairSnapshotsReport }> {
  await using _lock = await repository.lock(true);
  return await begin(repository, context).snapshots(await chosen(repository, ids), forget);
}

async function chosen(repository: Repository, prefixes: readonly string[]): Promise<ReadonlySet<string> | undefined> {
  if (prefixes.length === 0) return undefined;
  const snapshots = await repository.snapshots();
  return new Set(prefixes.map((prefix) => findById(snapshots, prefix).id));
}
