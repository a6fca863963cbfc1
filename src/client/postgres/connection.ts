/** A connection made by `pg` (which knows authentication and TLS), whose socket we can take over for COPY. */
import { Socket } from 'node:net';
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import { CopyRows } from './copy-rows.ts';
import { commandFailed, noPassword, unboundLogin, unreachable, withLogin } from './failure.ts';
import { isOfKind, kindsInTurn, noHost, singleTargets, worthOtherHost, worthOtherWay, type FailedHost } from './hosts.ts';
import type { PasswordAnswer } from './password-file.ts';
import { findPassword, type PostgresTarget, type SessionKind } from './target.ts';
import { tlsAttempts, tlsOptions } from './tls.ts';

/** A row of a simple query: text, numbers, booleans, arrays and parsed JSON; int8 and numeric stay text. */
export type Row = Readonly<Record<string, unknown>>;

/** Gets what arrives while a command of ours runs; `inInput` says that the bytes lie at the start of `rows.input`. */
export type Receive = (bytes: Uint8Array, inInput: boolean) => void;

export type Replication = 'physical' | 'database';

const CONNECT_TIMEOUT_MS = 20_000;

interface Takeover {
  readonly receive: Receive;
  readonly lost: (error: Error) => void;
}

/** The part of `pg` that its types do not show. */
interface Inside {
  readonly connection: { readonly stream: Duplex; once(event: 'readyForQuery', listener: () => void): unknown };
  readonly readyForQuery: boolean | null;
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
   * for `replication`), or `database`, which takes the same commands and is let in like any other session. Of several hosts, the first that
   * answers and is of the wanted kind; `target` then names it alone. Throws `database-unreachable`, with what to do.
   */
  static async connect(target: PostgresTarget, replication?: Replication): Promise<Connection> {
    const failed: FailedHost[] = [];
    for (const kind of kindsInTurn(target.session)) {
      failed.length = 0;
      for (const host of singleTargets(target)) {
        try {
          return await Connection.#reach(host, kind, replication);
        } catch (error) {
          if (!worthOtherHost(error)) throw error;
          failed.push({ host, error });
        }
      }
    }
    throw noHost(target, failed);
  }

  /** One host, in the ways that its TLS mode allows. */
  static async #reach(target: PostgresTarget, kind: SessionKind, replication: Replication | undefined): Promise<Connection> {
    const connection = await Connection.#openSomehow(target, replication);
    try {
      if (await isOfKind(kind, (sql) => connection.query(sql, 'asking what kind of server this is'), replication === 'physical')) return connection;
      throw unreachable(target, new Error(`the server answers, but it is not ${kind}, which target_session_attrs asks for`));
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  static async #openSomehow(target: PostgresTarget, replication: Replication | undefined): Promise<Connection> {
    const [first = false, second] = tlsAttempts(target);
    try {
      return await Connection.#open(target, first && tlsOptions(target), replication);
    } catch (error) {
      if (second === undefined || !worthOtherWay(error, first)) throw unreachable(target, error);
      return await Connection.#open(target, second && tlsOptions(target), replication).catch((again: unknown) => {
        throw unreachable(target, again, error);
      });
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
    const { host, port, user, database, address, options, connectTimeoutMs, channelBinding, directTls } = target;
    let login: PasswordAnswer | undefined;
    let bound = false;
    const refuseUnbound = (): void => {
      if (channelBinding === 'require' && !bound) throw unboundLogin(target);
    };
    const password = (): string => {
      refuseUnbound();
      login = findPassword(target, replication === 'physical');
      if ('because' in login) throw noPassword(target, login);
      return login.password.reveal();
    };
    const client = new pg.Client({
      ...(replication === undefined ? {} : { replication: replication === 'physical' ? 'true' : 'database' }),
      host: address ?? host, port, user, database, ssl: tls, password, stream: () => socket, application_name: 'holdfast', keepAlive: true,
      connectionTimeoutMillis: connectTimeoutMs ?? CONNECT_TIMEOUT_MS, enableChannelBinding: tls !== false && channelBinding !== 'disable',
      sslnegotiation: tls !== false && directTls === true ? 'direct' : 'postgres', ...(options === undefined ? {} : { options }),
    } as pg.ClientConfig);
    client.on('error', () => undefined);
    const { connection } = client as unknown as { connection: EventEmitter };
    connection.on('authenticationSASL', ({ mechanisms }: { mechanisms: readonly string[] }) => (bound = tls !== false && mechanisms.includes('SCRAM-SHA-256-PLUS')));
    await client.connect().then(refuseUnbound).catch((error: unknown) => {
      socket.destroy();
      throw withLogin(error, login);
    });
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
      await this.#settled();
      throw commandFailed(this.target, doing, error);
    }
  }

  /**
   * A refused command has failed for `pg` before the server is ready for the next one. Who takes the connection over then would take that
   * word for the end of a command of its own.
   */
  async #settled(): Promise<void> {
    if (this.#lost !== undefined || this.#inside.readyForQuery === true) return;
    await new Promise<void>((resolve) => {
      this.#inside.connection.once('readyForQuery', resolve);
      this.#client.once('end', resolve);
    });
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

