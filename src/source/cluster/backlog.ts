/** Bytes that arrive when they will, for readers that take them when they can. What is held is bounded over all of them together. */

export class Backlog {
  readonly #limit: number;
  #held = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #failed: { readonly error: unknown } | undefined;
  readonly #channels = new Set<Channel>();

  /** In bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  open(): Channel {
    const channel = new Channel((change) => this.#count(change), () => this.#channels.delete(channel));
    this.#channels.add(channel);
    if (this.#failed !== undefined) channel.fail(this.#failed.error);
    return channel;
  }

  /** Asks to wait while too much is held. */
  get room(): Promise<void> | undefined {
    if (this.#held <= this.#limit || this.#failed !== undefined) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Readers that are not at the end get this error; nobody waits any more. */
  fail(error: unknown): void {
    this.#failed ??= { error };
    for (const channel of this.#channels) channel.fail(error);
    this.#room?.resolve();
  }

  #count(change: number): void {
    this.#held += change;
    if (this.#held > this.#limit) return;
    this.#room?.resolve();
    this.#room = undefined;
  }
}

/** For one writer and one reader. */
export class Channel implements AsyncIterable<Uint8Array> {
  readonly #count: (change: number) => void;
  readonly #closed: () => void;
  readonly #pieces: Buffer[] = [];
  #ended = false;
  #failed: { readonly error: unknown } | undefined;
  #arrived: () => void = () => undefined;

  constructor(count: (change: number) => void, closed: () => void) {
    this.#count = count;
    this.#closed = closed;
  }

  /** The bytes are copied. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pieces.push(Buffer.from(bytes));
    this.#count(bytes.length);
    this.#arrived();
  }

  end(): void {
    this.#ended = true;
    this.#arrived();
  }

  fail(error: unknown): void {
    this.#failed ??= { error };
    this.#arrived();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#failed !== undefined) throw this.#failed.error;
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        yield piece;
        this.#count(-piece.length);
      } else if (this.#ended) {
        this.#closed();
        return;
      } else {
        await new Promise<void>((resolve) => (this.#arrived = resolve));
      }
    }
  }
}
