/** Durable writing, in one place: nobody else renames into place. */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { systemCode } from './errors.ts';

/** Syncs a folder, so that a rename in it survives a power cut. File systems that cannot are let be. */
export async function syncFolder(folder: string | Buffer): Promise<void> {
  const handle = await fs.open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems answer EINVAL or ENOTSUP to a folder's fsync; restic lets them pass too.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

export interface DurableOptions {
  /** Mode while the file is written. */
  readonly mode?: number;
  /** Mode after the rename, for files that must never change again. */
  readonly finalMode?: number;
  /** Throws EEXIST when something has this name already, as the file system judges at one moment. */
  readonly onlyNew?: boolean;
  /** Told of bytes as they are written, and waited for when it answers a promise. */
  wrote?(bytes: number): Promise<void> | undefined;
}

/** How much is written before `wrote` hears of it. */
const PIECE_BYTES = 1 << 20;

/**
 * Writes a file so that at every moment either nothing or the whole content stands under its name: temporary file beside it,
 * fsync, rename, fsync of the folder. Dying before the rename leaves a `*-tmp-*` file that no reader looks at.
 */
export async function writeDurably(file: string, bytes: Uint8Array, options: DurableOptions = {}): Promise<void> {
  await durably(file, options, async (handle) => await writeAll(handle, bytes, options));
}

async function durably<T>(file: string, options: DurableOptions, write: (handle: fs.FileHandle) => Promise<T>): Promise<T> {
  const temporary = `${file}-tmp-${randomBytes(6).toString('hex')}`;
  const handle = await fs.open(temporary, 'wx+', options.mode ?? 0o600);
  let written: T;
  try {
    try {
      written = await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (options.finalMode !== undefined) await fs.chmod(temporary, options.finalMode);
    if (options.onlyNew === true) await fs.link(temporary, file);
    else await fs.rename(temporary, file);
  } catch (error) {
    await discard(temporary);
    throw error;
  }
  if (options.onlyNew === true) await discard(temporary);
  await syncFolder(path.dirname(file));
  return written;
}

async function writeAll(handle: fs.FileHandle, bytes: Uint8Array, { wrote }: DurableOptions = {}): Promise<void> {
  const most = wrote ? PIECE_BYTES : bytes.length;
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(most, bytes.length - done), done);
    done += bytesWritten;
    await wrote?.(bytesWritten);
  }
}

/** Bytes that replace those at a position. */
export interface Patch {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/**
 * The same for content of any length, which is not held. The memory of a piece may be used again once the next one is asked for. A
 * generator may return patches, which are written over what it gave. Answers how many bytes there are, and their SHA-256 in hex. After a
 * failure, also of `pieces`, nothing is left.
 */
export async function writePiecesDurably(file: string, pieces: AsyncIterable<Uint8Array, readonly Patch[] | void | undefined>, options: Pick<DurableOptions, 'mode' | 'onlyNew'> = {}): Promise<{ readonly bytes: number; readonly sha256: string }> {
  return await durably(file, options, async (handle) => await writePieces(handle, pieces));
}

async function writePieces(handle: fs.FileHandle, pieces: AsyncIterable<Uint8Array, readonly Patch[] | void | undefined>): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const write = async (piece: Uint8Array, position: number): Promise<void> => {
    for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at, piece.length - at, position + at)).bytesWritten;
  };
  const given = pieces[Symbol.asyncIterator]();
  let next = await given.next();
  try {
    for (; next.done !== true; next = await given.next()) {
      hash.update(next.value);
      await write(next.value, bytes);
      bytes += next.value.length;
    }
  } catch (error) {
    await given.return?.();
    throw error;
  }
  const patches = next.value ?? [];
  for (const patch of patches) await write(patch.bytes, patch.at);
  return { bytes, sha256: patches.length === 0 ? hash.digest('hex') : await hashOf(handle) };
}

async function hashOf(handle: fs.FileHandle): Promise<string> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  for (let at = 0; ; ) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
}

/**
 * Writes what can be had again, as a cache: whole under its name or not at all for those who read meanwhile, but without waiting
 * for the disk. After a power cut it may be there with any content; its readers must be able to tell.
 */
export async function writeReplaceable(file: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${file}-tmp-${randomBytes(6).toString('hex')}`;
  try {
    await fs.writeFile(temporary, bytes, { flag: 'wx', mode: 0o600 });
    await fs.rename(temporary, file);
  } catch (error) {
    await discard(temporary);
    throw error;
  }
}

/** What cannot be removed stays, under a name that no reader looks at: why the write failed is what the caller must know. */
async function discard(temporary: string): Promise<void> {
  await fs.unlink(temporary).catch(() => undefined);
}

/**
 * Puts what was built beside into its place. What stands there is renamed to `kept`, which must be free, before: dying between
 * the two renames leaves both whole beside each other. Paths may be bytes, for names that are not UTF-8. Answers whether
 * something stood there; without `kept`, nothing may.
 */
export async function putInPlace(built: string | Buffer, place: string | Buffer, kept?: string | Buffer): Promise<boolean> {
  const stood = kept !== undefined && (await stands(place));
  if (stood) await fs.rename(place, kept);
  await fs.rename(built, place);
  await syncFolder(Buffer.from(path.dirname(Buffer.from(place).toString('latin1')), 'latin1'));
  return stood;
}

async function stands(place: string | Buffer): Promise<boolean> {
  try {
    await fs.lstat(place);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}
