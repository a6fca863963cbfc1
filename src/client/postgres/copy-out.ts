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

const EMPTY = new Uint8Array();

/**
 * Runs a COPY TO STDOUT in text format. Rejects with `source-failed` naming what `doing` says when the server refuses or
 * goes away, and with the error of `take` when that rejects (the connection is then cut, because the rest is of no use).
 */
export async function copyOut(connection: Connection, sql: string, doing: string, take: TakeBytes): Promise<Copied> {
  const { rows, socket } = connection;
  const control = new FrameReader();
  let carry: Uint8Array = EMPTY;
  let inControl = false;
  let bytes = 0;
  let refused: Error | undefined;
  let waiting: Promise<void> = Promise.resolve();
  rows.begin();
  await new Promise<void>((resolve, reject) => {
    const stop = (error: unknown): void => {
      release();
      connection.destroy();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const give = (payload: Uint8Array): void => {
      bytes += payload.length;
      const wait = payload.length === 0 ? undefined : take(payload);
      if (wait === undefined) return;
      socket.pause();
      waiting = Promise.all([waiting, wait]).then(() => void socket.resume(), stop);
    };
    const frames = (length: number): void => {
      const { payload, consumed } = rows.strip(length, carry);
      const total = length + carry.length;
      const rest = Buffer.from(consumed < carry.length ? Buffer.concat([carry.subarray(consumed), rows.input.subarray(0, length)]) : rows.input.subarray(consumed - carry.length, length));
      carry = EMPTY;
      give(payload);
      if (consumed === total) return;
      if (rest[0] === 0x64) carry = rest;
      else {
        inControl = true;
        control.push(rest);
      }
    };
    const controls = (): void => {
      for (;;) {
        if (control.peek() === 'd') {
          inControl = false;
          return foreign(control.drain());
        }
        const next = control.next();
        if (next === undefined) {
          inControl = control.peek() !== undefined;
          return;
        }
        if (next.type === 'E') refused = serverError(Buffer.from(next.body));
        if (next.type === 'Z') {
          release();
          waiting.then(resolve, reject);
          return;
        }
      }
    };
    const foreign = (all: Uint8Array): void => {
      for (let at = 0; at < all.length; at += INPUT_BYTES) {
        const piece = all.subarray(at, at + INPUT_BYTES);
        if (!inControl) rows.input.set(piece);
        receive(piece, !inControl);
      }
    };
    const receive = (chunk: Uint8Array, inInput: boolean): void => {
      if (inControl) control.push(chunk);
      else if (inInput) frames(chunk.length);
      else return foreign(chunk);
      if (inControl) controls();
    };
    const release = connection.takeOver(queryFrame(sql), receive, (error) => reject(error));
  }).catch((error: unknown) => Promise.reject(commandFailed(connection.target, doing, error, 'source-failed')));
  const counted = rows.fingerprint();
  if (refused !== undefined) throw commandFailed(connection.target, doing, refused, 'source-failed');
  if (counted === undefined) throw commandFailed(connection.target, doing, new Error('the stream ended within a row'), 'source-failed');
  return { ...counted, bytes };
}
