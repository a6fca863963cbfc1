/** UPLOAD_MANIFEST (17 and newer): tells the server which backup the next incremental one builds on. */
import type { Connection } from '../connection.ts';
import { commandFailed, serverError } from '../failure.ts';
import { frame, FrameReader, queryFrame } from '../wire.ts';

const PIECE_BYTES = 64 * 1024;

/** Rejects with `source-failed` when the server refuses it; the session can then still be used. */
export async function uploadManifest(connection: Connection, manifest: Buffer): Promise<void> {
  const done = Promise.withResolvers<undefined>();
  const reader = new FrameReader();
  let refused: Error | undefined;
  const message = (type: string, body: Buffer): void => {
    if (type === 'G') send(connection, manifest);
    else if (type === 'E') refused = serverError(body);
    else if (type === 'Z' && refused !== undefined) done.reject(refused);
    else if (type === 'Z') done.resolve(undefined);
  };
  const release = connection.takeOver(
    queryFrame('UPLOAD_MANIFEST'),
    (bytes) => {
      reader.push(bytes);
      for (let next = reader.next(); next !== undefined; next = reader.next()) message(next.type, Buffer.from(next.body));
    },
    (error) => done.reject(error),
  );
  try {
    await done.promise;
  } catch (error) {
    throw commandFailed(connection.target, 'telling the server which backup to build on', error, 'source-failed');
  } finally {
    release();
  }
}

function send({ socket }: Connection, manifest: Buffer): void {
  for (let at = 0; at < manifest.length; at += PIECE_BYTES) socket.write(frame('d', manifest.subarray(at, at + PIECE_BYTES)));
  socket.write(frame('c'));
}
