/** Which store a command about write-ahead log means, and how its server is reached. */
import { HoldfastError } from '../../base/errors.ts';
import { parseTarget, type PostgresTarget } from '../../client/postgres/target.ts';
import { resolveSecret } from '../../stack/secret-reference.ts';
import { chooseStores, type ClusterStore, type Stack } from '../../stack/stack.ts';

/** The physical store of this name; without a name the only one. Throws `usage`. */
export function chooseCluster(stack: Stack, name: string | undefined): ClusterStore {
  const clusters = stack.stores.filter((store) => store.kind === 'cluster');
  const [only, ...others] = name === undefined ? clusters : chooseStores(stack, [name]);
  if (only?.kind === 'cluster' && others.length === 0) return only;
  if (only !== undefined && others.length === 0) {
    throw new HoldfastError('usage', `${only.name} is no physical store: only the log of a whole server can be kept`, { hint: 'Add `physical: true` to a store under `postgres:` in holdfast.yaml.' });
  }
  if (only === undefined) throw new HoldfastError('usage', `the stack ${stack.name} has no physical store`, { hint: 'Declare one in holdfast.yaml: `cluster: { postgres: { url: postgresql://user@host/postgres, physical: true } }`.' });
  throw new HoldfastError('usage', 'which store is meant?', { hint: `The physical stores are: ${clusters.map((store) => store.name).join(', ')}.` });
}

export async function targetOf(store: ClusterStore): Promise<PostgresTarget> {
  return parseTarget(store.url, store.password === undefined ? undefined : await resolveSecret(store.password), process.env);
}
