/** The work of a restore on tables, done by a few sessions at once: loads first, then what each finished load releases. */
import type { Connection } from '../../../client/postgres/connection.ts';

/** What the server would make wait for each other on one table; so it is not even begun at the same time. */
export type Lock = 'read' | 'build index' | 'analyze' | 'exclusive';

const CONFLICTS: Readonly<Record<Lock, readonly Lock[]>> = {
  read: ['exclusive'],
  'build index': ['exclusive', 'analyze'],
  analyze: ['exclusive', 'analyze', 'build index'],
  exclusive: ['exclusive', 'analyze', 'build index', 'read'],
};

export interface Work {
  /** Whose lock it takes: a table as SQL names it. */
  readonly table: string;
  readonly lock: Lock;
  /** Lower comes first. */
  readonly rank: number;
  run(connection: Connection): Promise<readonly Work[] | void>;
}

/** Runs all work and what it brings along. The first failure stops the rest and is thrown, once what runs has ended. */
export async function runQueue(connections: readonly Connection[], first: readonly Work[]): Promise<void> {
  const queue = [...first];
  const running = new Set<Work>();
  let failure: { error: unknown } | undefined;
  let wake = Promise.withResolvers<void>();
  const take = (): Work | undefined => {
    let best = -1;
    for (const [index, work] of queue.entries()) {
      const rank = queue[best]?.rank ?? Number.POSITIVE_INFINITY;
      const blocked = [...running].some((other) => other.table === work.table && CONFLICTS[work.lock].includes(other.lock));
      if (!blocked && work.rank < rank) best = index;
    }
    return best === -1 ? undefined : queue.splice(best, 1)[0];
  };
  const worker = async (connection: Connection): Promise<void> => {
    while (failure === undefined && (queue.length > 0 || running.size > 0)) {
      const work = take();
      if (work === undefined) {
        await wake.promise;
        continue;
      }
      running.add(work);
      try {
        queue.push(...((await work.run(connection)) ?? []));
      } catch (error) {
        failure ??= { error };
      }
      running.delete(work);
      wake.resolve();
      wake = Promise.withResolvers();
    }
    wake.resolve();
  };
  await Promise.all(connections.map(worker));
  if (failure !== undefined) throw failure.error;
}
