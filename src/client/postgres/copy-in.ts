/** COPY … FROM STDIN. */
import { HoldfastError, messageOf } from '../../base/errors.ts';
import type { Connection } from './connection.ts';
import { commandFailed, serverError } from './failure.ts';
import { FrameReader, frame, queryFrame } from './wire.ts';

/** A message of more makes the server's buffer grow; fewer cost a system call each. */
const PIECE = 256 * 1024;

/**
 * Runs a COPY FROM STDIN in text format with all of `pieces`. Rejects with `target-failed` when the server refuses, and
 * with the error of `pieces` when reading fails; then nothing of the COPY stays.
 */
export async function copyIn(connection: Connection, sql: string, doing: string, pieces: AsyncIterable<Uint8Array>, progress: (bytes: number) => void): Promise<void> {
  const replies = new FrameReader();
  const ready = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  let refused: Error | undefined;
  const state = { over: false };
  const lost = (error: Error): void => {
    refused ??= error;
    state.over = true;
    ready.resolve();
    ended.resolve();
  };
  const release = connection.takeOver(queryFrame(sql), (bytes) => {
    replies.push(Buffer.from(bytes));
    for (let reply = replies.next(); reply !== undefined; reply = replies.next()) {
      if (reply.type === 'G') ready.resolve();
      if (reply.type === 'E') {
        refused = serverError(Buffer.from(reply.body));
        state.over = true;
      }
      if (reply.type === 'Z') {
        release();
        ready.resolve();
        ended.resolve();
      }
    }
  }, lost);
  await ready.promise;
  let unread: unknown;
  try {
    for await (const piece of pieces) {
      if (state.over) break;
      await send(connection, piece, state, ended.promise);
      progress(piece.length);
    }
  } catch (error) {
    unread = error;
  }
  if (!state.over) connection.socket.write(unread === undefined ? frame('c') : frame('f', Buffer.from(`${messageOf(unread)}\0`)));
  await ended.promise;
  if (unread !== undefined) throw unread instanceof Error ? unread : new HoldfastError('failed', messageOf(unread));
  if (refused !== undefined) throw commandFailed(connection.target, doing, refused, 'target-failed');
}

/** Returns when all of `piece` was given to the system, because its owner may use the memory again; or when it is over. */
async function send({ socket }: Connection, piece: Uint8Array, state: { over: boolean }, ended: Promise<void>): Promise<void> {
  for (let at = 0; at < piece.length && !state.over; at += PIECE) {
    const part = piece.subarray(at, at + PIECE);
    const head = Buffer.allocUnsafe(5);
    head[0] = 0x64;
    head.writeInt32BE(4 + part.length, 1);
    const written = Promise.withResolvers<void>();
    socket.cork();
    socket.write(head);
    const flowing = socket.write(part, () => written.resolve());
    socket.uncork();
    const last = at + PIECE >= piece.length;
    if (last || !flowing) await Promise.race([written.promise, ended]);
  }
}
