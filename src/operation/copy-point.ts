/** Copies the snapshots of a restore point to the other repositories of a plan. Each copy has its own state: one that fails keeps no other from being made. */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import type { Repository } from '../repository/repository.ts';
import type { RepositoryPlace } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { copy, type CopyReport } from './copy.ts';
import { repositoryOf } from './open.ts';

export type PlaceCopy =
  | { readonly repository: string; readonly state: 'ok' | 'failed'; readonly report: CopyReport }
  /** Nothing could be copied there, or not to the end. */
  | { readonly repository: string; readonly state: 'failed'; readonly error: HoldfastError };

export async function copyPoint(source: Repository, ids: readonly string[], places: readonly RepositoryPlace[], context: Context): Promise<readonly PlaceCopy[]> {
  const copies: PlaceCopy[] = [];
  for (const place of places) {
    context.emit({ type: 'step', store: undefined, sentence: `copying to ${place.name}` });
    copies.push(await copyTo(source, ids, place, context));
  }
  return copies;
}

async function copyTo(source: Repository, ids: readonly string[], place: RepositoryPlace, context: Context): Promise<PlaceCopy> {
  try {
    const target = await repositoryOf(place, context.clock);
    try {
      const report = await copy({ source, target, choose: (snapshots) => snapshots.filter(({ id }) => ids.includes(id)) }, context);
      return { repository: place.name, state: report.outcomes.some(({ state }) => state === 'failed') ? 'failed' : 'ok', report };
    } finally {
      await target.close();
    }
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    return { repository: place.name, state: 'failed', error: withWayOut(error, place) };
  }
}

function withWayOut(error: unknown, { name }: RepositoryPlace): HoldfastError {
  if (isHoldfastError(error, 'repository-missing')) return new HoldfastError(error.code, error.message, { hint: `Make it, and bring all snapshots there, with \`holdfast copy --to ${name} --init\`.`, cause: error });
  return isHoldfastError(error) ? error : new HoldfastError('internal', `the copy to ${name} failed: ${messageOf(error)}`, { cause: error });
}
