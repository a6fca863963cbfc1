/** `prune`: frees the space of what no snapshot needs. Planned first; carried out under an exclusive lock, where it is planned once more. */
import type { MaxUnused, PrunePlan, PruneReport, Repository } from '../repository/repository.ts';
import type { Context } from './context.ts';

export interface PruneRequest {
  readonly maxUnused: MaxUnused;
  /** Bytes that are moved at most; undefined for as many as it takes. */
  readonly maxRepack: number | undefined;
  readonly graceMs: number;
}

type Told = Parameters<Repository['planPrune']>[0];

function told(request: PruneRequest, { emit, signal }: Context): Told {
  return {
    ...request, signal,
    step: (sentence) => emit({ type: 'step', store: undefined, sentence }),
    progress: (bytes, totalBytes) => emit({ type: 'progress', store: undefined, bytes, files: 0, totalBytes }),
  };
}

/** What pruning would do now. Others may go on backing up meanwhile. Throws `repository-damaged`, `storage-denied`. */
export async function planPrune(repository: Repository, request: PruneRequest, context: Context): Promise<PrunePlan> {
  await using _lock = await repository.lockForReading('check');
  return await repository.planPrune(told(request, context));
}

export interface Pruned {
  readonly plan: PrunePlan;
  readonly report: PruneReport;
}

/** Plans anew, since others may have written in between, and carries that out. What is backed up after the first plan is kept, of course. */
export async function prune(repository: Repository, request: PruneRequest, context: Context): Promise<Pruned> {
  await using _lock = await repository.lock(true);
  return await repository.prune(told(request, context));
}
