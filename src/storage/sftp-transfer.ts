/** Contents over SFTP with many requests under way: one at a time, each would wait for the way there and back. */
import type { SftpSession } from '../client/ssh/sftp-session.ts';
import type { Call } from './storage.ts';

/** Bytes of one request: what every server takes (draft-ietf-secsh-filexfer-02, 3), and one packet of SSH. */
const PIECE_BYTES = 32 * 1024;
/** Requests under way for one file. */
const OUTSTANDING = 64;

/** Writes all bytes to an open file. Waits for every request that it made, also after a failure. */
export async function writeAll(session: SftpSession, handle: Buffer, content: Uint8Array, call: Call = {}): Promise<void> {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  await inPieces(bytes.length, call, async (at, length) => {
    await session.write(handle, bytes.subarray(at, at + length), at);
    return true;
  });
}

/** Fills `target` from an open file beginning at `offset`. Answers how many bytes there were before the file ended. */
export async function readInto(session: SftpSession, handle: Buffer, target: Buffer, { offset, call = {} }: { readonly offset: number; readonly call?: Call | undefined }): Promise<number> {
  let end = target.length;
  await inPieces(target.length, call, async (at, length) => {
    for (let done = 0; done < length; ) {
      const got = await session.read(handle, target, { offset: at + done, length: length - done, position: offset + at + done });
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

/** Runs `move` on every piece, so many at once; stops taking new pieces when one fails or says that there are no more. */
async function inPieces(total: number, call: Call, move: (at: number, length: number) => Promise<boolean>): Promise<void> {
  let next = 0;
  const failures: unknown[] = [];
  const work = async (): Promise<void> => {
    while (next < total) {
      const at = next;
      const length = Math.min(PIECE_BYTES, total - at);
      next += length;
      try {
        call.signal?.throwIfAborted();
        if (!(await move(at, length))) next = total;
        await call.moved?.(length);
      } catch (error) {
        failures.push(error);
        next = total;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(OUTSTANDING, Math.ceil(total / PIECE_BYTES)) }, work));
  if (failures.length > 0) throw failures[0];
}
