/** A connection made by `pg` (which knows authentication, TLS, .pgpass and sockets), whose socket we can take over for COPY. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import { CopyRows } from './copy-rows.ts';
import { commandFailed, unreachable } from './failure.ts';
import { tlsOptions, type PostgresTarget } from './target.ts';

/** A row of a simple query: text, numbers, booleans, arrays and parsed JSON; int8 and numeric stay text. */
export type Row = Readonly<Record<string, unknown>>;

/** Gets what arrives while a command of ours runs; `inInput` says that the bytes lie at the start of `rows.input`. */
export type Receive = (bytes: Uint8Array, inInput: boolean) => void;

export type Replication = 'physical' | 'database';

interface Takeover {
  readonly receive: Receive;
  readonly lost: (error: Error) => void;
}

/** The part of `pg` that its types do not show. */
interface Inside {
  readonly connection: { readonly stream: Duplex };
  readonly processID: number | null;
  readonly secretKey: number | null;
}

export class Connection implements AsyncDisposable {
  readonly target: PostgresTarget;
  readonly rows: CopyRows;
  readonly #client: pg.Client;
  #takeover: Takeover | undefined;
  #lost: Error | undefined;

  private constructor(target: PostgresTarget, client: pg.Client, rows: CopyRows) {
    this.target = target;
    this.#client = client;
    this.rows = rows;
    client.on('error', (error) => this.#fail(error));
    client.on('end', () => this.#fail(new Error('the server closed the connection')));
  }

  /**
   * With `replication`, the session is one of a WAL sender that takes replication commands: `physical` (pg_hba.conf then needs a line
   * for `replication`), or `database`, which takes the same commands and is let in like any other session. Throws `database-unreachable`,
   * with what to do.
   */
  static async connect(target: PostgresTarget, replication?: Replication): Promise<Connection> {
    const tls = tlsOptions(target);
    try {
      return await Connection.#open(target, tls, replication);
    } catch (error) {
      const refusedTls = error instanceof Error && error.message.includes('does not support SSL');
      if (tls === false || target.tls !== 'prefer' || !refusedTls) throw unreachable(target, error);
      return await Connection.#open(target, false, replication).catch((again: unknown) => Promise.reject(unreachable(target, again)));
    }
  }

  static async #open(target: PostgresTarget, tls: false | Record<string, unknown>, replication: Replication | undefined): Promise<Connection> {
    const rows = new CopyRows();
    let made: Connection | undefined;
    // The socket reads straight into the memory of the frame stripper; what is for `pg` gets a copy.
    const socket: Socket = new Socket({
      onread: {
        buffer: rows.input,
        callback: (length, buffer) => {
          const bytes = buffer.subarray(0, length);
          const taken = tls === false && made !== undefined ? made.#takeover : undefined;
          if (taken !== undefined) taken.receive(bytes, true);
          else socket.emit('data', Buffer.from(bytes));
          return true;
        },
      },
    });
    target.meter?.watch(socket);
    const { host, port, user, database, password } = target;
    const client = new pg.Client({
      ...(replication === undefined ? {} : { replication: replication === 'physical' ? 'true' : 'database' }),
      host, port, user, database, ssl: tls, password: password?.reveal(), stream: () => socket,
      application_name: 'holdfast', keepAlive: true, connectionTimeoutMillis: 20_000,
    });
    client.on('error', () => undefined);
    await client.connect();
    made = new Connection(target, client, rows);
    return made;
  }

  get #inside(): Inside {
    return this.#client as unknown as Inside;
  }

  get socket(): Duplex {
    return this.#inside.connection.stream;
  }

  /** What a cancel request needs: process id and key. */
  get backend(): { readonly pid: number; readonly key: number } {
    return { pid: this.#inside.processID ?? 0, key: this.#inside.secretKey ?? 0 };
  }

  /** Runs one or more statements and gives the rows of the last one. `doing` completes "while …" in the error `database-failed`. */
  async query<T extends object = Row>(sql: string, doing: string): Promise<T[]> {
    try {
      if (this.#lost !== undefined) throw this.#lost;
      const answer: unknown = await this.#client.query(sql);
      const last: unknown = Array.isArray(answer) ? answer.at(-1) : answer;
      // The caller's SQL decides the columns; there is nothing here to check them with.
      return (last as pg.QueryResult | undefined)?.rows as T[] ?? [];
    } catch (error) {
      throw commandFailed(this.target, doing, error);
    }
  }

  /** Sends `message` and gives all that comes back to `receive`, until the function that is returned is called. */
  takeOver(message: Uint8Array, receive: Receive, lost: (error: Error) => void): () => void {
    if (this.#lost !== undefined) {
      lost(this.#lost);
      return () => undefined;
    }
    const { socket } = this;
    const listeners = socket.listeners('data');
    const onData = (bytes: Buffer): void => receive(bytes, false);
    socket.removeAllListeners('data');
    socket.on('data', onData);
    this.#takeover = { receive, lost };
    socket.write(message);
    return () => {
      this.#takeover = undefined;
      socket.off('data', onData);
      for (const listener of listeners) socket.on('data', listener as (bytes: Buffer) => void);
    };
  }

  #fail(error: Error): void {
    this.#lost ??= error;
    this.#takeover?.lost(this.#lost);
  }

  /** Cuts the connection without waiting. */
  destroy(): void {
    this.#lost ??= new Error('the connection was closed');
    this.socket.destroy();
  }

  async close(): Promise<void> {
    // In the middle of a COPY a polite goodbye would wait for its end.
    if (this.#lost !== undefined || this.#takeover !== undefined) return this.destroy();
    this.#lost = new Error('the connection was closed');
    await this.#client.end().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Runs `work` on a connection of its own. */
  static async with<T>(target: PostgresTarget, work: (connection: Connection) => Promise<T>): Promise<T> {
    await using connection = await Connection.connect(target);
    return await work(connection);
  }
}

