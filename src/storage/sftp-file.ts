/** Files and folders on an SFTP server: put in place whole, removed, made, on servers that can more and on those that can less. */
import { randomBytes } from 'node:crypto';
import * as path from 'node:path';
import { SFTP_STATUS, sftpStatus, type SftpSession } from '../client/ssh/sftp-session.ts';
import { readInto, writeAll, type Line } from './sftp-transfer.ts';
import type { Call } from './storage.ts';

/** What unfinished writes leave: ours, and those of restic. */
export const TEMPORARY = /^(?:[0-9a-f]{64}|config)(?:-tmp-|-restic-temp-)[0-9a-z]+$/;

/** What is to be written, and how it is put in place. */
export interface Writing {
  readonly target: string;
  readonly bytes: Uint8Array;
  /** Never over what is there. */
  readonly onlyNew: boolean;
  /** Made of what the server answered, before the temporary file is removed and its space is free again. */
  explain(error: unknown): Promise<unknown>;
}

/**
 * Temporary file beside it, fsync, rename, fsync of the folder, as `writeDurably` does on this host. Dying before the rename
 * leaves a `*-tmp-*` file that no reader looks at. False when something is there and nothing was to be replaced.
 */
export async function writeWhole(line: Line, writing: Writing, call: Call): Promise<boolean> {
  const { session } = line;
  const { target, bytes } = writing;
  const temporary = `${target}-tmp-${randomBytes(6).toString('hex')}`;
  const handle = await session.open(temporary, 'wx', 0o400);
  try {
    try {
      await writeAll(line, handle, bytes, call);
      call.signal?.throwIfAborted();
      if (session.has('fsync@openssh.com')) await session.sync(handle);
    } finally {
      await session.closeHandle(handle);
    }
    if (!(await (writing.onlyNew ? putWhereFree(session, temporary, target) : putInPlace(line, temporary, target, bytes)))) return false;
  } catch (error) {
    const told = await writing.explain(error);
    // Nobody else would. When it cannot be done, the first error is the one to tell; `sweep` finds what is left.
    await session.remove(temporary).catch(() => undefined);
    throw told;
  }
  await syncFolder(session, path.posix.dirname(target));
  return true;
}

/** The rename of the protocol is one that fails when the name is taken; OpenSSH makes it of a link, which takes the name at one moment. */
async function putWhereFree(session: SftpSession, temporary: string, target: string): Promise<boolean> {
  try {
    await session.move(temporary, target, { replace: false });
    return true;
  } catch (error) {
    if (sftpStatus(error) === undefined || (await session.stat(target).catch(ignoreAnswer)) === undefined) throw error;
    await session.remove(temporary);
    return false;
  }
}

/** Over what is there where the server can; where not, an equal file stays, and another is removed first. */
async function putInPlace({ session, window }: Line, temporary: string, target: string, bytes: Uint8Array): Promise<true> {
  if (session.has('posix-rename@openssh.com')) {
    await session.move(temporary, target, { replace: true });
    return true;
  }
  try {
    await session.move(temporary, target, { replace: false });
  } catch (error) {
    const there = await session.stat(target).catch(() => undefined);
    if (there === undefined) throw error;
    if (there.size === bytes.length && (await isEqual({ session, window }, target, bytes))) {
      await session.remove(temporary);
      return true;
    }
    // Dying here leaves the whole content under its temporary name and nothing under the real one: what was there was not it.
    await session.remove(target);
    await session.move(temporary, target, { replace: false });
  }
  return true;
}

async function isEqual(line: Line, file: string, bytes: Uint8Array): Promise<boolean> {
  const handle = await line.session.open(file, 'r', 0);
  try {
    const found = Buffer.allocUnsafe(bytes.length);
    return (await readInto(line, handle, found, { offset: 0 })) === bytes.length && found.equals(bytes);
  } finally {
    await line.session.closeHandle(handle);
  }
}

/** OpenSSH's server opens folders, too, and can sync them; for servers that cannot, the rename has to be enough. */
async function syncFolder(session: SftpSession, folder: string): Promise<void> {
  if (!session.has('fsync@openssh.com')) return;
  const handle = await session.open(folder, 'r', 0).catch(ignoreAnswer);
  if (handle === undefined) return;
  await session.sync(handle).catch(ignoreAnswer);
  await session.closeHandle(handle);
}

/** An answer of the server is let pass, a lost connection is not. */
function ignoreAnswer(error: unknown): undefined {
  if (sftpStatus(error) === undefined) throw error;
}

export async function removeIfThere(session: SftpSession, file: string): Promise<void> {
  try {
    await session.remove(file);
  } catch (error) {
    if (sftpStatus(error) !== SFTP_STATUS.missing) throw error;
  }
}

export async function makeFolders(session: SftpSession, folder: string): Promise<void> {
  try {
    await makeFolder(session, folder);
  } catch (error) {
    const parent = path.posix.dirname(folder);
    if (sftpStatus(error) !== SFTP_STATUS.missing || parent === folder) throw error;
    await makeFolders(session, parent);
    await makeFolder(session, folder);
  }
}

/** The status for "exists" is the one for everything else; only looking tells. */
export async function makeFolder(session: SftpSession, folder: string): Promise<void> {
  try {
    await session.makeFolder(folder, 0o700);
  } catch (error) {
    if (sftpStatus(error) === SFTP_STATUS.missing) throw error;
    const there = await session.stat(folder).catch(() => undefined);
    if (there === undefined || (there.mode & 0o170000) !== 0o040000) throw error;
  }
}
