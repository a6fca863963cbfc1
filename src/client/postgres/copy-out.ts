/** COPY … TO STDOUT: the text goes out in large pieces, counted and fingerprinted on the way. */
import type { Connection } from './connection.ts';
import type { StreamFingerprint } from './copy-rows.ts';
import { INPUT_BYTES } from './copy-rows.ts';
import { commandFailed, serverError } from './failure.ts';
import { FrameReader, queryFrame } from './wire.ts';

export interface Copied extends StreamFingerprint {
  readonly bytes: number;
}

/** Takes all bytes before it returns; a promise asks to wait before more comes. */
export type TakeBytes = (bytes: Uint8Array) => Promise<void> | undefined;

/**
 * Runs a COPY TO STDOUT in text format. Rejects with `source-failed` naming what `doing` says when the server refuses or
 * goes away, and with the error of `take` when that rejects (the connection is then cut, because the rest is of no use).
 */
export async function copyOut(connection: Connection, sql: string, doing: string, take: TakeBytes): Promise<Copied> {
  const failed = (error: unknown): Error => commandFailed(connection.target, doing, error, 'source-failed');
  const stream = new CopyStream(connection, take);
  await stream.run(sql).catch((error: unknown) => Promise.reject(failed(error)));
  if (stream.refused !== undefined) throw failed(stream.refused);
  const counted = connection.rows.fingerprint();
  if (counted === undefined) throw failed(new Error('the stream ended within a row'));
  return { ...counted, bytes: stream.bytes };
}

const EMPTY = new Uint8Array();
const COPY_DATA = 0x64;

/** One COPY: data frames go through WASM, the few others through a small reader. */
class CopyStream {
  bytes = 0;
  refused: Error | undefined;
  readonly #connection: Connection;
  readonly #take: TakeBytes;
  readonly #control = new FrameReader();
  readonly #done = Promise.withResolvers<void>();
  /** The head of a data frame of which not all five bytes have come. */
  #carry: Uint8Array = EMPTY;
  #inControl = false;
  #waiting: Promise<void> = Promise.resolve();
  #release: () => void = () => undefined;

  constructor(connection: Connection, take: TakeBytes) {
    this.#connection = connection;
    this.#take = take;
  }

  async run(sql: string): Promise<void> {
    this.#connection.rows.begin();
    this.#release = this.#connection.takeOver(queryFrame(sql), (chunk, inInput) => this.#receive(chunk, inInput), this.#done.reject);
    await this.#done.promise;
  }

  #receive(chunk: Uint8Array, inInput: boolean): void {
    if (this.#inControl) this.#control.push(chunk);
    else if (inInput) this.#frames(chunk.length);
    else return this.#foreign(chunk);
    if (this.#inControl) this.#controls();
  }

  /** Bytes that do not lie in the memory of the frame stripper. */
  #foreign(all: Uint8Array): void {
    for (let at = 0; at < all.length; at += INPUT_BYTES) {
      const piece = all.subarray(at, at + INPUT_BYTES);
      if (!this.#inControl) this.#connection.rows.input.set(piece);
      this.#receive(piece, !this.#inControl);
    }
  }

  #frames(length: number): void {
    const { rows } = this.#connection;
    const carry = this.#carry;
    const { payload, consumed } = rows.strip(length, carry);
    // Copied before anyone reads more into the same memory.
    const rest = Buffer.concat([carry.subarray(consumed), rows.input.subarray(Math.max(0, consumed - carry.length), length)]);
    this.#carry = EMPTY;
    if (payload.length > 0) this.#give(payload);
    if (rest.length === 0) return;
    if (rest[0] === COPY_DATA) this.#carry = rest;
    else {
      this.#inControl = true;
      this.#control.push(rest);
    }
  }

  #controls(): void {
    for (;;) {
      if (this.#control.peek() === 'd') {
        this.#inControl = false;
        return this.#foreign(this.#control.drain());
      }
      const next = this.#control.next();
      if (next === undefined) {
        this.#inControl = this.#control.peek() !== undefined;
        return;
      }
      if (next.type === 'E') this.refused = serverError(Buffer.from(next.body));
      if (next.type === 'Z') {
        this.#release();
        this.#waiting.then(this.#done.resolve, this.#done.reject);
        return;
      }
    }
  }

  #give(payload: Uint8Array): void {
    this.bytes += payload.length;
    const wait = this.#take(payload);
    if (wait === undefined) return;
    const { socket } = this.#connection;
    socket.pause();
    this.#waiting = Promise.all([this.#waiting, wait]).then(
      () => void socket.resume(),
      (error: unknown) => {
        this.#release();
        this.#connection.destroy();
        this.#done.reject(error);
      },
    );
  }
}
