/** `copy`: brings snapshots into another repository. Each copy stands for itself: proofs are not copied, a copy is verified where it lies. */
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { describeKeeping, findById, tagValue, type CopyOutcome, type Repository, type Snapshot } from '../repository/repository.ts';
import type { RepositoryPlace } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { makeRepository, repositoryOf } from './open.ts';

export interface CopyReport {
  /** Where the copies are. */
  readonly location: string;
  readonly outcomes: readonly CopyOutcome[];
  readonly warnings: readonly string[];
  readonly seconds: number;
}

/** The snapshots that are meant, oldest first: of these stores and with these ids; none: all. Throws `snapshot-missing`. */
export function chooseToCopy(snapshots: readonly Snapshot[], { stores, ids }: { readonly stores: readonly string[]; readonly ids: readonly string[] }): readonly Snapshot[] {
  if (stores.length === 0 && ids.length === 0) return snapshots;
  const unknown = stores.find((store) => !snapshots.some((snapshot) => tagValue(snapshot, 'store') === store));
  if (unknown !== undefined) throw new HoldfastError('snapshot-missing', `there is no snapshot of ${unknown} here`, { hint: 'List them with `holdfast snapshots`.' });
  const named = new Set(ids.map((id) => (id === 'latest' ? snapshots.at(-1) : findById(snapshots, id))));
  return snapshots.filter((snapshot) => named.has(snapshot) || stores.includes(tagValue(snapshot, 'store') ?? ''));
}

/** Opens the repository at the other place; with `polynomial`, one is made where there is none. Answers whether it was made. */
export async function openTarget(place: RepositoryPlace, { clock }: Context, polynomial: bigint | undefined): Promise<{ readonly target: Repository; readonly made: boolean }> {
  try {
    return { target: await repositoryOf(place, clock), made: false };
  } catch (error) {
    if (!isHoldfastError(error, 'repository-missing')) throw error;
    if (polynomial === undefined) throw new HoldfastError(error.code, error.message, { hint: 'Check the place, or have it made with --init.', cause: error });
  }
  // The same polynomial, so what is backed up there later is known already.
  return { target: await makeRepository(place, clock, polynomial), made: true };
}

/** Copies. Snapshots that cannot be copied, for they are damaged, are named in the report; what fails on the way throws, and what was copied stays. */
export async function copy(
  { source, target, choose }: { readonly source: Repository; readonly target: Repository; choose(snapshots: readonly Snapshot[]): readonly Snapshot[] }, context: Context,
): Promise<CopyReport> {
  const { clock, emit, signal } = context;
  if (source.location === target.location) throw new HoldfastError('usage', `${source.location} cannot be copied into itself`, { hint: 'Name another repository with --to.' });
  const started = clock.elapsedMs();
  const startedAt = clock.now();
  const snapshots = choose(await source.snapshots());
  await using _reading = await source.lockForReading('files');
  const { lock, snapshots: present } = await target.lockForWriting();
  await using _writing = lock;
  const outcomes: CopyOutcome[] = [];
  const missing = await target.copyFrom(source, present, {
    snapshots, signal,
    step: (sentence) => emit({ type: 'step', store: undefined, sentence }),
    progress: (bytes) => emit({ type: 'progress', store: undefined, bytes, files: 0 }),
    done: (outcome) => outcomes.push(outcome),
  });
  const order = new Map(snapshots.map(({ id }, number) => [id, number]));
  outcomes.sort((a, b) => (order.get(a.snapshot.id) ?? 0) - (order.get(b.snapshot.id) ?? 0));
  const copied = outcomes.flatMap((outcome) => (outcome.state === 'copied' ? [{ id: outcome.id, tree: outcome.snapshot.tree }] : []));
  const warning = describeKeeping(await target.keepSnapshots(copied, startedAt, signal));
  const warnings = [
    ...(missing === 0 ? [] : [`${missing === 1 ? 'a pack' : `${missing} packs`} of ${target.location} ${missing === 1 ? 'is' : 'are'} missing. What these snapshots need of ${missing === 1 ? 'it' : 'them'} was brought again; others there may not restore: run \`holdfast check\` on it.`]),
    ...(warning === undefined ? [] : [warning]),
  ];
  return { location: target.location, outcomes, warnings, seconds: (clock.elapsedMs() - started) / 1000 };
}
