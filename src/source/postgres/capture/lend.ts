/** Sessions that several readers share: each is lent to one at a time. */
import { HoldfastError } from '../../../base/errors.ts';
import type { Connection } from '../../../client/postgres/connection.ts';

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

/** How many sessions of all databases of a store may stand idle. */
const IDLE = 4;

/** The idle sessions of all databases of a store. One database is read after the other, and a server has few sessions to give. */
export class IdleSessions {
  readonly #closers: (() => Promise<void>)[] = [];

  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  remove(close: () => Promise<void>): void {
    const at = this.#closers.indexOf(close);
    if (at >= 0) this.#closers.splice(at, 1);
  }

  /** Closes those that have been idle longest. */
  async makeRoom(): Promise<void> {
    while (this.#closers.length >= IDLE) await this.#closers.shift()?.();
  }
}

/** Opens sessions of one database when they are needed, up to `most` at once. Disposing closes them. */
export class SessionPool implements AsyncDisposable {
  readonly #open: () => Promise<Connection>;
  readonly #most: number;
  readonly #idle: IdleSessions;
  readonly #signal: AbortSignal;
  readonly #free: { readonly session: Connection; readonly close: () => Promise<void> }[] = [];
  readonly #all = new Set<Connection>();
  readonly #waiting: (() => void)[] = [];
  #count = 0;

  constructor(open: () => Promise<Connection>, most: number, idle: IdleSessions, signal: AbortSignal) {
    this.#open = open;
    this.#most = most;
    this.#idle = idle;
    this.#signal = signal;
  }

  readonly lend: Lend = async (work) => {
    const session = await this.#take();
    try {
      await work(session);
    } finally {
      this.#giveBack(session);
    }
  };

  async #take(): Promise<Connection> {
    for (;;) {
      if (this.#signal.aborted) throw new HoldfastError('interrupted', 'Stopped while the database was read.');
      const found = this.#free.pop();
      if (found !== undefined) {
        this.#idle.remove(found.close);
        return found.session;
      }
      if (this.#count < this.#most) return await this.#make();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async #make(): Promise<Connection> {
    this.#count++;
    try {
      await this.#idle.makeRoom();
      const session = await this.#open();
      this.#all.add(session);
      return session;
    } catch (error) {
      this.#count--;
      this.#waiting.shift()?.();
      throw error;
    }
  }

  #giveBack(session: Connection): void {
    const close = async (): Promise<void> => {
      const at = this.#free.findIndex((one) => one.session === session);
      if (at < 0) return;
      this.#free.splice(at, 1);
      this.#count--;
      this.#all.delete(session);
      await session.close();
    };
    this.#free.push({ session, close });
    this.#idle.add(close);
    this.#waiting.shift()?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { close } of this.#free) this.#idle.remove(close);
    await Promise.all([...this.#all].map((session) => session.close()));
  }
}
