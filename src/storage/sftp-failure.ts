/** What an SFTP server answers, as errors that a user can act on. */
import { HoldfastError, messageOf } from '../base/errors.ts';
import { SFTP_STATUS, sftpStatus, type SftpSession } from '../client/ssh/sftp-session.ts';

const SLACK_BYTES = 1 << 20;

export interface Doing {
  /** Completes "cannot …": `write pack 1a2b3c`. */
  readonly what: string;
  readonly location: string;
  /** The path on the server. */
  readonly path: string;
  /** A folder whose file system it is about, and how many bytes were to be written; 0 where only something was to go. */
  readonly writes?: { readonly folder: string; readonly bytes: number } | undefined;
}

/** The protocol has one status for a full disk, a quota, a read-only file system and all else: what is left tells them apart. */
export async function sftpFailure(session: SftpSession, error: unknown, doing: Doing): Promise<HoldfastError> {
  if (error instanceof HoldfastError) return error;
  const { what, location, path, writes } = doing;
  if (sftpStatus(error) === SFTP_STATUS.denied) {
    return new HoldfastError('storage-denied', `cannot ${what} in ${location}: permission denied for ${path}`, { hint: 'Look at the owner and the permissions of that path on the server.', cause: error });
  }
  // Some room may be left, or free again: several files are written at once, and those that failed are removed.
  const wanted = (writes?.bytes ?? 0) * 4 + SLACK_BYTES;
  const space = writes === undefined ? undefined : await session.freeSpace(writes.folder).catch(() => undefined);
  if (writes && writes.bytes > 0 && space && !space.readOnly && (space.bytes < wanted || space.files < 1)) {
    return new HoldfastError('storage-full', `cannot ${what} in ${location}: no space left on the server`, {
      hint: 'Free some space there or use another repository. What was stored before is unharmed and will be used again.', cause: error,
    });
  }
  const said = messageOf(error);
  if (space?.readOnly) {
    return new HoldfastError('storage-failed', `cannot ${what} in ${location}: the file system of ${path} is read-only`, { hint: 'Mount it so that it can be written, or use another repository.', cause: error });
  }
  return new HoldfastError('storage-failed', `cannot ${what} in ${location}: the server says "${said}" about ${path}`, {
    hint: (writes?.bytes ?? 0) === 0 ? 'The log of the server may say more.' : 'A quota that is used up looks like this, and so does a broken disk; the log of the server may say more.', cause: error,
  });
}
