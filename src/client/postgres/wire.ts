/** The few parts of the Postgres protocol (version 3) that we speak ourselves: frames of one type byte, a length, a body. */

export interface Frame {
  readonly type: string;
  readonly body: Buffer;
}

/** A frontend message. */
export function frame(type: string, body: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.allocUnsafe(5 + body.length);
  bytes[0] = type.charCodeAt(0);
  bytes.writeInt32BE(4 + body.length, 1);
  bytes.set(body, 5);
  return bytes;
}

/** The message of a simple query. */
export function queryFrame(sql: string): Buffer {
  return frame('Q', Buffer.from(`${sql}\0`));
}

/** Cuts a stream into frames; for replies that are small. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  push(bytes: Uint8Array): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
  }

  /** The type byte of the next frame, of which not all need be here. */
  peek(): string | undefined {
    const first = this.#rest[0];
    return first === undefined ? undefined : String.fromCharCode(first);
  }

  next(): Frame | undefined {
    if (this.#rest.length < 5) return undefined;
    const end = 1 + this.#rest.readInt32BE(1);
    if (this.#rest.length < end) return undefined;
    const found = { type: String.fromCharCode(this.#rest[0] ?? 0), body: this.#rest.subarray(5, end) };
    this.#rest = this.#rest.subarray(end);
    return found;
  }

  /** Everything that was pushed and not yet taken. */
  drain(): Buffer {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return rest;
  }
}
