/** Which packs are there, for those who give up what they cannot find. */
import { Semaphore } from '../base/semaphore.ts';
import { listFiles, type Core } from './core.ts';

/**
 * Bytes of every pack that is there. Of the `named` ones, those that the listing leaves out are asked for one by one: a listing that
 * ended early looks like one that is complete, and what is missing is taken out of indexes and snapshots.
 */
export async function packSizes(core: Core, named: readonly string[]): Promise<Map<string, number>> {
  const sizes = new Map((await listFiles(core.storage, 'pack')).map(({ id, size }) => [id, size]));
  const parallel = new Semaphore(core.storage.parallel ?? 4);
  const unlisted = named.filter((id) => !sizes.has(id));
  const found = await Promise.all(unlisted.map((id) => parallel.run(async () => [id, await core.storage.size({ kind: 'pack', id })] as const)));
  for (const [id, size] of found) if (size !== undefined) sizes.set(id, size);
  return sizes;
}
