/** `init`: writes holdfast.yaml and makes the repository. The repository first: a configuration without one would look protected. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import { writeDurably } from '../base/file.ts';
import { createRepository } from '../repository/repository.ts';
import { CONFIG_FILE, type Stack } from '../stack/stack.ts';
import { planConfig, renderConfig, type InitFlags } from '../stack/write-config.ts';
import type { Context } from './context.ts';
import { passwordOf, sourceOf, storageOf } from './open.ts';

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
    throw new HoldfastError('target-exists', `${config} exists already; it is left as it is`, { hint: 'Edit it, or run `holdfast init` in another folder.' });
  }
  const stack = planConfig(flags);
  const [place] = stack.repositories;
  if (!place) throw new HoldfastError('usage', 'a repository is needed', { hint: 'Give its folder with --repository PATH.' });
  const text = renderConfig(stack);
  const password = await passwordOf(place);
  if (password.reveal() === '') throw new HoldfastError('secret-missing', 'the password of the repository is empty', { hint: 'Write one into the password file; without it nobody can restore, so keep a copy elsewhere.' });
  for (const store of stack.stores) {
    context.emit({ type: 'step', store: store.name, sentence: `looking at ${store.name}` });
    await (await sourceOf(store, context.clock)).check();
  }
  const repository = await createRepository(await storageOf(place), password, context.clock);
  await repository.close();
  await writeDurably(config, Buffer.from(text), { mode: 0o644 });
  return { config, repository: repository.location, repositoryId: repository.id, stack };
}
