/** What a backup is about, to where it goes, and where copies of it go: by the options, or by a plan. */
import { HoldfastError } from '../base/errors.ts';
import type { StorePart } from '../operation/part.ts';
import type { RepositoryPlace, Stack } from '../stack/stack.ts';
import { partWish, type PartOptions } from './part-options.ts';
import type { CommonOptions, Session } from './session.ts';

export interface ScopeOptions extends CommonOptions, PartOptions {
  readonly tag: readonly string[];
  readonly plan?: string;
}

export interface Scope {
  readonly parts: readonly StorePart[];
  readonly place: RepositoryPlace;
  readonly others: readonly RepositoryPlace[];
  readonly tags: readonly string[];
  readonly frugal: boolean;
  /** Where the plan has schemas recorded. */
  readonly git?: string | undefined;
}

/** Throws `usage` and `config`. */
export async function scopeOf(session: Session, stack: Stack, names: readonly string[], options: ScopeOptions): Promise<Scope> {
  const { plan: name, tag, repository } = options;
  const [{ choosePlan, chooseRepository, chooseStores }, { chooseParts }] = await Promise.all([import('../stack/stack.ts'), import('../operation/part.ts')]);
  const plan = name === undefined ? undefined : choosePlan(stack, name);
  const given = names.length > 0 ? 'stores' : repository === undefined ? undefined : 'a repository';
  if (plan !== undefined && given !== undefined) throw new HoldfastError('usage', `the plan ${plan.name} says what goes where; ${given} cannot be named beside it`, { hint: 'Leave --plan out, or change the plan in holdfast.yaml.' });
  const wish = partWish(options, plan);
  const wanted = plan === undefined ? names : plan.stores === 'all' ? [] : plan.stores;
  const parts = chooseParts(chooseStores(stack, wanted), wanted.length > 0, wish);
  if (parts.length === 0) throw new HoldfastError('config', `the stack ${stack.name} has no store that is to be backed up`, { hint: 'Add one under `stores:` in holdfast.yaml.' });
  const [first, ...others] = plan?.to ?? [];
  return {
    parts, place: await session.place(first), others: others.map((one) => chooseRepository(stack, one)), git: plan?.git, frugal: options.frugal ?? plan?.frugal ?? false,
    tags: [...tag, ...(wish.group === undefined ? [] : [`tables:${wish.group}`]), ...(plan === undefined ? [] : [`plan:${plan.name}`])],
  };
}
