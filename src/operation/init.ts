/** `init`: writes holdfast.yaml and makes the repository. The repository first: a configuration without one would look protected. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { writeDurably } from '../base/file.ts';
import { CONFIG_FILE, type RepositoryPlace, type Stack } from '../stack/stack.ts';
import { planConfig, renderConfig, type InitFlags } from '../stack/write-config.ts';
import type { Context } from './context.ts';
import { makeRepository, repositoryOf, sourceOf } from './open.ts';

export interface InitReport {
  readonly config: string;
  readonly repository: string;
  readonly repositoryId: string;
  readonly stack: Stack;
}

/** Throws when there is a holdfast.yaml or a repository already, or when a store cannot be read; nothing is changed then. */
export async function init(flags: InitFlags, context: Context): Promise<InitReport> {
  const config = path.join(flags.folder, CONFIG_FILE);
  if (fs.existsSync(config)) {
    throw new HoldfastError('target-exists', `${config} exists already; it is left as it is`, { hint: 'Edit it; `holdfast init` without --postgres, --directory and --stack makes the repositories that it names.' });
  }
  const stack = planConfig(flags);
  const [place] = stack.repositories;
  if (!place) throw new HoldfastError('usage', 'a repository is needed', { hint: 'Give its folder with --repository PATH.' });
  const text = renderConfig(stack);
  for (const store of stack.stores) {
    context.emit({ type: 'step', store: store.name, sentence: `looking at ${store.name}` });
    await (await sourceOf(store, context.clock)).check();
  }
  const { location, id } = await made(place, context);
  await writeDurably(config, Buffer.from(text), { mode: 0o644 });
  return { config, repository: location, repositoryId: id, stack };
}

async function made(place: RepositoryPlace, { clock }: Context): Promise<Pick<RepositoryState, 'location' | 'id'>> {
  const repository = await makeRepository(place, clock);
  await repository.close();
  return { location: repository.location, id: repository.id };
}

export interface RepositoryState {
  readonly location: string;
  readonly id: string;
  readonly place: RepositoryPlace;
  /** False when it was there already, and its password opens it. */
  readonly made: boolean;
}

/** Makes those of the repositories of a holdfast.yaml that do not exist yet; opens the others, so that a wrong password is told now. */
export async function initRepositories(places: readonly RepositoryPlace[], context: Context): Promise<readonly RepositoryState[]> {
  const states: RepositoryState[] = [];
  for (const place of places) {
    context.emit({ type: 'step', store: undefined, sentence: `looking at the repository ${place.name}` });
    try {
      const repository = await repositoryOf(place, context.clock);
      states.push({ place, made: false, location: repository.location, id: repository.id });
      await repository.close();
    } catch (error) {
      if (!isHoldfastError(error, 'repository-missing')) throw error;
      states.push({ place, made: true, ...(await made(place, context)) });
    }
  }
  return states;
}
