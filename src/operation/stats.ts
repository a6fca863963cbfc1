/** `stats`: what each store holds and costs in the repository, and what each snapshot added. */
import type { Repository, Stats } from '../repository/repository.ts';
import type { Context } from './context.ts';
import { groupsToSearch } from './find.ts';

/** Of all snapshots, or of these stores and ids. Throws `snapshot-missing`. */
export async function stats(choice: { readonly stores: readonly string[]; readonly ids: readonly string[] }, repository: Repository, { emit, signal }: Context): Promise<Stats> {
  const snapshots = await repository.snapshots();
  const groups = groupsToSearch(snapshots, choice);
  await using _lock = await repository.lockForReading('files');
  return await repository.stats({ groups, all: choice.stores.length === 0 && choice.ids.length === 0, signal, step: (sentence) => emit({ type: 'step', store: undefined, sentence }) });
}
