/**
 * The stream of write-ahead log: START_REPLICATION and what follows it (protocol-replication in the PostgreSQL manual,
 * src/backend/replication/walsender.c). Bytes are handed on as they come; frames may span reads.
 */
import type { Connection } from '../connection.ts';
import { commandFailed, serverError } from '../failure.ts';
import { frame, queryFrame } from '../wire.ts';
import { formatLsn, fromServerTime, readLsn, toServerTime, type Lsn } from './lsn.ts';

export interface WalReceiver {
  /** Log in order; the memory is used again after the call. */
  data(at: Lsn, bytes: Uint8Array): void;
  /** The server's log ended at `end` when its clock showed this (microseconds since 1970); with `answer`, it waits for a status. */
  heard(end: Lsn, atUs: bigint, answer: boolean): void;
}

/** Why a stream has ended: the next timeline and where it begins, or undefined when we have ended it. */
export interface StreamEnd {
  readonly next: { readonly timeline: number; readonly start: Lsn } | undefined;
}

export interface StreamStart {
  readonly slot: string | undefined;
  /** Must be the beginning of a segment. */
  readonly start: Lsn;
  readonly timeline: number;
}

const COPY_DATA = 0x64;
const WAL_DATA = 0x77;
/** Type, length, kind, start, end and clock of a message with log. */
const DATA_HEAD = 30;
const FRAME_HEAD = 5;

export class WalStream {
  /** Ends with the stream; rejects with `database-failed` when the server refuses or is lost. */
  readonly ended: Promise<StreamEnd>;
  readonly #connection: Connection;
  readonly #receiver: WalReceiver;
  readonly #done = Promise.withResolvers<StreamEnd>();
  readonly #release: () => void;
  /** The beginning of a frame of which not enough has come. */
  #carry: Buffer = Buffer.alloc(0);
  /** Log of the current frame that is still to come, and where it belongs. */
  #left = 0;
  #at: Lsn = 0n;
  #refused: Error | undefined;
  #next: StreamEnd['next'];
  #weEnded = false;

  constructor(connection: Connection, { slot, start, timeline }: StreamStart, receiver: WalReceiver) {
    this.#connection = connection;
    this.#receiver = receiver;
    const failed = (error: unknown): Error => commandFailed(connection.target, 'receiving write-ahead log', error);
    this.ended = this.#done.promise.catch((error: unknown) => Promise.reject(failed(error)));
    // Who waits for it may come later.
    this.ended.catch(() => undefined);
    const using = slot === undefined ? '' : `SLOT "${slot}" `;
    const command = queryFrame(`START_REPLICATION ${using}PHYSICAL ${formatLsn(start)} TIMELINE ${timeline}`);
    this.#release = connection.takeOver(command, (bytes) => this.#receive(bytes), this.#done.reject);
  }

  /** Tells the server what is durable here, and so need not be kept there. `nowUs` since 1970. */
  sendStatus(flushed: Lsn, nowUs: bigint): void {
    if (this.#weEnded) return;
    const body = Buffer.alloc(34);
    body[0] = 0x72;
    // What is not stored yet could still be lost: nothing counts as written that is not durable, so that no commit waits for less.
    body.writeBigUInt64BE(flushed, 1);
    body.writeBigUInt64BE(flushed, 9);
    body.writeBigUInt64BE(0n, 17);
    body.writeBigInt64BE(toServerTime(nowUs), 25);
    this.#connection.socket.write(frame('d', body));
  }

  /** Stops reading: the server waits, and keeps the connection as long as it gets a status now and then. */
  pause(): void {
    this.#connection.socket.pause();
  }

  resume(): void {
    this.#connection.socket.resume();
  }

  /** Asks the server to end the stream; `ended` follows. */
  stop(): void {
    if (this.#weEnded) return;
    this.#weEnded = true;
    this.resume();
    this.#connection.socket.write(frame('c'));
  }

  #receive(read: Uint8Array): void {
    let bytes = read;
    while (bytes.length > 0) {
      if (this.#left > 0) {
        const part = bytes.subarray(0, this.#left);
        this.#left -= part.length;
        bytes = bytes.subarray(part.length);
        this.#receiver.data(this.#at, part);
        this.#at += BigInt(part.length);
      } else bytes = this.#head(bytes);
    }
  }

  /** Takes in the next frame, or the head of one with log; gives back what follows. */
  #head(bytes: Uint8Array): Uint8Array {
    const had = this.#carry.length;
    let need = FRAME_HEAD;
    for (;;) {
      const have = Buffer.concat([this.#carry, bytes.subarray(0, Math.max(0, need - this.#carry.length))]);
      if (have.length < need) {
        this.#carry = have;
        return bytes.subarray(have.length - had);
      }
      const total = 1 + have.readUInt32BE(1);
      const isData = have[0] === COPY_DATA && total >= DATA_HEAD && (have.length === FRAME_HEAD || have[FRAME_HEAD] === WAL_DATA);
      const wanted = have.length === FRAME_HEAD && have[0] === COPY_DATA && total > FRAME_HEAD ? FRAME_HEAD + 1 : isData ? DATA_HEAD : total;
      if (wanted > need) {
        need = wanted;
        continue;
      }
      this.#carry = Buffer.alloc(0);
      if (isData) this.#dataHead(have, total);
      else this.#control(String.fromCharCode(have[0] ?? 0), have.subarray(FRAME_HEAD));
      return bytes.subarray(need - had);
    }
  }

  #dataHead(head: Buffer, total: number): void {
    this.#at = head.readBigUInt64BE(6);
    this.#left = total - DATA_HEAD;
    this.#receiver.heard(head.readBigUInt64BE(14), fromServerTime(head.readBigInt64BE(22)), false);
  }

  #control(type: string, body: Buffer): void {
    if (type === 'd' && body[0] === 0x6b) this.#receiver.heard(body.readBigUInt64BE(1), fromServerTime(body.readBigInt64BE(9)), body[17] === 1);
    else if (type === 'E') this.#refused = serverError(Buffer.from(body));
    else if (type === 'D') this.#next = nextTimeline(body) ?? this.#next;
    else if (type === 'c' && !this.#weEnded) {
      this.#weEnded = true;
      this.#connection.socket.write(frame('c'));
    } else if (type === 'Z') {
      this.#release();
      if (this.#refused === undefined) this.#done.resolve({ next: this.#next });
      else this.#done.reject(this.#refused);
    }
  }
}

/** The row at the end of a timeline: the next one, and where it begins. */
function nextTimeline(body: Buffer): StreamEnd['next'] {
  if (body.readInt16BE(0) !== 2) return undefined;
  const length = body.readInt32BE(2);
  const timeline = Number(body.toString('latin1', 6, 6 + length));
  const start = body.toString('latin1', 10 + length, 10 + length + body.readInt32BE(6 + length));
  return { timeline, start: readLsn(start) };
}
