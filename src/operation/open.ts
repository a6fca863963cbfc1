/** From the configuration to what operations work with. */
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import { openSource } from '../source/open.ts';
import type { Source } from '../source/source.ts';
import { formatSecretReference, resolveSecret } from '../stack/secret-reference.ts';
import type { RepositoryPlace, Store } from '../stack/stack.ts';
import { openStorage } from '../storage/open.ts';

export async function sourceOf(store: Store, clock: Clock): Promise<Source> {
  if (store.kind === 'directory') return openSource({ kind: 'directory', path: store.path, exclude: store.exclude }, clock);
  const password = store.password === undefined ? undefined : await resolveSecret(store.password);
  return openSource({ kind: 'postgres', url: store.url, password, databases: store.databases }, clock);
}

export async function passwordOf(place: Pick<RepositoryPlace, 'name' | 'password'>): Promise<Secret> {
  const password = await resolveSecret(place.password);
  if (password !== undefined) return password;
  throw new HoldfastError('config', `the password of the repository ${place.name} cannot be '${formatSecretReference(place.password)}'`, {
    hint: 'Use file:PATH, env:NAME or exec:COMMAND.',
  });
}

export async function repositoryOf(place: RepositoryPlace, clock: Clock): Promise<Repository> {
  return await openRepository(openStorage(place.path), await passwordOf(place), clock);
}
