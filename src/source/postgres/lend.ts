/** Sessions that several readers share: each is lent to one at a time. */
import { HoldfastError } from '../../base/errors.ts';
import type { Connection } from '../../client/postgres/connection.ts';

/** Waits for a free session, runs `work` on it, and takes it back. Throws `interrupted`. */
export type Lend = (work: (session: Connection) => Promise<void>) => Promise<void>;

export function lend(sessions: readonly Connection[], signal: AbortSignal): Lend {
  const free = [...sessions];
  const waiting: ((session: Connection) => void)[] = [];
  return async (work) => {
    if (signal.aborted) throw new HoldfastError('interrupted', 'Stopped while the database was read.');
    const session = free.pop() ?? (await new Promise<Connection>((resolve) => waiting.push(resolve)));
    try {
      await work(session);
    } finally {
      const next = waiting.shift();
      if (next === undefined) free.push(session);
      else next(session);
    }
  };
}
