/** Contents over SFTP with many requests under way: one at a time, each would wait for the way there and back. */
import type { Clock } from '../base/clock.ts';
import type { SftpSession } from '../client/ssh/sftp-session.ts';
import type { Call } from './storage.ts';

/**
 * Bytes that are under way on one connection, of all files together: more make nothing faster, not even far away. Fewer to begin
 * with, and behind slow lines.
 */
const MOST_BYTES = 2 << 20;
const FIRST_BYTES = 512 << 10;
const LEAST_BYTES = 128 << 10;
/** An answer that takes longer than this waits behind our own requests: fewer of them do not make it slower. */
const QUEUE_MS = 2000;

/**
 * How many requests of one connection are under way: as many as the line takes. Behind a slow one a queue of megabytes would make
 * everything else, as the refresh of a lock, wait for minutes.
 */
export class Window {
  /** Bytes of one request. */
  readonly pieceBytes: number;
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #limit: number;
  #under = 0;

  constructor(clock: Clock, pieceBytes: number) {
    this.#clock = clock;
    this.pieceBytes = pieceBytes;
    this.#limit = this.#requests(FIRST_BYTES);
  }

  #requests(bytes: number): number {
    return Math.max(1, Math.floor(bytes / this.pieceBytes));
  }

  /** As many workers keep it full. */
  get most(): number {
    return this.#requests(MOST_BYTES);
  }

  get limit(): number {
    return this.#limit;
  }

  /** Runs a request as soon as there is room, in turn. Not any more when the signal has fired meanwhile. */
  async run<T>(signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    if (this.#under < this.#limit) this.#under++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const started = this.#clock.elapsedMs();
    try {
      signal?.throwIfAborted();
      return await request();
    } finally {
      this.#under--;
      const slow = this.#clock.elapsedMs() - started > QUEUE_MS;
      this.#limit = slow ? Math.max(this.#requests(LEAST_BYTES), this.#limit - 1) : Math.min(this.most, this.#limit + 1);
      while (this.#under < this.#limit && this.#waiting.length > 0) {
        this.#under++;
        this.#waiting.shift()?.();
      }
    }
  }
}

export interface Line {
  readonly session: SftpSession;
  readonly window: Window;
}

/** Writes all bytes to an open file. Waits for every request that it made, also after a failure. */
export async function writeAll({ session, window }: Line, handle: Buffer, content: Uint8Array, call: Call = {}): Promise<void> {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  await inPieces(window, bytes.length, call, async (at, length) => {
    await window.run(call.signal, () => session.write(handle, bytes.subarray(at, at + length), at));
    return true;
  });
}

/** Fills `target` from an open file beginning at `offset`. Answers how many bytes there were before the file ended. */
export async function readInto({ session, window }: Line, handle: Buffer, target: Buffer, { offset, call = {} }: { readonly offset: number; readonly call?: Call | undefined }): Promise<number> {
  let end = target.length;
  await inPieces(window, target.length, call, async (at, length) => {
    for (let done = 0; done < length; ) {
      const range = { offset: at + done, length: length - done, position: offset + at + done };
      const got = await window.run(call.signal, () => session.read(handle, target, range));
      if (got === 0) {
        end = Math.min(end, at + done);
        return false;
      }
      done += got;
    }
    return true;
  });
  return end;
}

/** Runs `move` on every piece, many at once; stops taking new pieces when one fails or says that there are no more. */
async function inPieces({ pieceBytes, most }: Window, total: number, call: Call, move: (at: number, length: number) => Promise<boolean>): Promise<void> {
  let next = 0;
  const failures: unknown[] = [];
  const work = async (): Promise<void> => {
    while (next < total) {
      const at = next;
      const length = Math.min(pieceBytes, total - at);
      next += length;
      try {
        if (!(await move(at, length))) next = total;
        await call.moved?.(length);
      } catch (error) {
        failures.push(error);
        next = total;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, Math.ceil(total / pieceBytes)) }, work));
  if (failures.length > 0) throw failures[0];
}
