/** From the configuration to what operations work with. */
import { hash } from 'node:crypto';
import * as os from 'node:os';
import * as path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { createRepository, openRepository, type Repository } from '../repository/repository.ts';
import { openSource } from '../source/open.ts';
import type { Source } from '../source/source.ts';
import { formatSecretReference, resolveSecret, type SecretReference } from '../stack/secret-reference.ts';
import type { RepositoryPlace, Store } from '../stack/stack.ts';
import { openStorage, type OpenOptions } from '../storage/open.ts';
import { formatAddress, type StoragePlace } from '../storage/place.ts';
import type { Storage } from '../storage/storage.ts';

export async function sourceOf(store: Store, clock: Clock): Promise<Source> {
  if (store.kind === 'directory') return openSource({ kind: 'directory', path: store.path, exclude: store.exclude }, clock);
  const password = store.password === undefined ? undefined : await resolveSecret(store.password);
  if (store.kind === 'cluster') {
    const { url, directory, programs, checkpoint, compression, maxRate } = store;
    return openSource({ kind: 'cluster', url, password, directory, programs, checkpoint, compression, maxRate }, clock);
  }
  return openSource({ kind: 'postgres', url: store.url, password, databases: store.databases, globals: store.globals }, clock);
}

export async function passwordOf(place: Pick<RepositoryPlace, 'name' | 'password'>): Promise<Secret> {
  return await secretOf(`the password of the repository ${place.name}`, place.password);
}

async function secretOf(subject: string, reference: SecretReference): Promise<Secret> {
  const secret = await resolveSecret(reference);
  if (secret !== undefined) return secret;
  throw new HoldfastError('config', `${subject} cannot be '${formatSecretReference(reference)}'`, {
    hint: 'Use file:PATH, env:NAME or exec:COMMAND.',
  });
}

export interface RepositoryOptions extends Pick<OpenOptions, 'signal' | 'waiting'> {
  /** Reads everything from the storage itself: for those who judge it. */
  readonly uncached?: boolean | undefined;
}

/** The storage of a repository, its secrets resolved, with the limits and the cache that the configuration asks for. */
export async function storageOf({ name, place, limit, cache }: RepositoryPlace, { uncached, signal, waiting }: RepositoryOptions = {}): Promise<Storage> {
  const cached = cache && uncached !== true && place.kind !== 'local';
  return await openStorage(await resolvePlace(name, place), { limit, signal, waiting, cacheFolder: cached ? cacheFolder(formatAddress(place)) : undefined });
}

async function resolvePlace(name: string, place: StoragePlace<SecretReference>): Promise<StoragePlace<Secret>> {
  const resolve = async (reference: SecretReference | undefined): Promise<Secret | undefined> => (reference === undefined ? undefined : await secretOf(`a credential of the repository ${name}`, reference));
  if (place.kind === 'local') return place;
  if (place.kind === 'sftp') return { ...place, password: await resolve(place.password), passphrase: await resolve(place.passphrase) };
  const { credentials, ...rest } = place;
  if (credentials === undefined) return rest;
  const [accessKey, secretKey, sessionToken] = [await resolve(credentials.accessKey), await resolve(credentials.secretKey), await resolve(credentials.sessionToken)];
  return accessKey && secretKey ? { ...rest, credentials: { accessKey, secretKey, sessionToken } } : rest;
}

/** A cache for each place: `$XDG_CACHE_HOME/holdfast/<hash of the address>`. */
function cacheFolder(address: string): string {
  const top = process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache');
  return path.join(top, 'holdfast', hash('sha256', address, 'hex').slice(0, 32));
}

export async function repositoryOf(place: RepositoryPlace, clock: Clock, options: RepositoryOptions = {}): Promise<Repository> {
  const storage = await storageOf(place, options);
  try {
    return await openRepository(storage, await passwordOf(place), clock);
  } catch (error) {
    await storage.close?.();
    throw error;
  }
}

/** Makes an empty repository at its place and opens it. Repositories of one polynomial cut the same content into the same chunks. Throws `repository-exists`, `secret-missing`. */
export async function makeRepository(place: RepositoryPlace, clock: Clock, polynomial?: bigint): Promise<Repository> {
  const password = await passwordOf(place);
  if (password.reveal() === '') {
    throw new HoldfastError('secret-missing', `the password of the repository ${place.name} is empty`, { hint: 'Write one where its reference points to; without it nobody can restore, so keep a copy elsewhere.' });
  }
  const storage = await storageOf(place);
  try {
    return await createRepository(storage, password, clock, polynomial);
  } catch (error) {
    await storage.close?.();
    throw error;
  }
}
