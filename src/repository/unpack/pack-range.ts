/** Reads stretches of packs in a thread: pack files stay open, since neighbouring stretches follow. */
import * as fs from 'node:fs';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import type { PackRange } from './messages.ts';

const MAX_OPEN = 16;

export class PackFiles {
  readonly #open = new Map<string, number>();
  #buffer = Buffer.alloc(0);

  /** The bytes of a range; a view that the next call overwrites. */
  read(range: PackRange): Buffer {
    if (range.bytes) return Buffer.from(range.bytes.buffer, range.bytes.byteOffset, range.bytes.length);
    if (range.path === undefined) throw new Error('a range without a source');
    if (this.#buffer.length < range.length) this.#buffer = Buffer.allocUnsafeSlow(Math.max(range.length, 4 << 20));
    const fd = this.#file(range.path, range.pack);
    let done = 0;
    while (done < range.length) {
      const got = readAt(fd, this.#buffer, done, range);
      if (got === 0) throw damaged(range.pack, `ends after ${range.offset + done} bytes, earlier than it should`);
      done += got;
    }
    return this.#buffer.subarray(0, range.length);
  }

  #file(path: string, pack: string): number {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    if (this.#open.size >= MAX_OPEN) this.close();
    const fd = openPack(path, pack);
    this.#open.set(path, fd);
    return fd;
  }

  close(): void {
    for (const fd of this.#open.values()) fs.closeSync(fd);
    this.#open.clear();
  }
}

function openPack(path: string, pack: string): number {
  try {
    return fs.openSync(path, 'r');
  } catch (error) {
    throw systemCode(error) === 'ENOENT' ? damaged(pack, 'is missing', error) : unreadable(pack, error);
  }
}

function readAt(fd: number, buffer: Buffer, done: number, { pack, offset, length }: PackRange): number {
  try {
    return fs.readSync(fd, buffer, done, length - done, offset + done);
  } catch (error) {
    throw unreadable(pack, error);
  }
}

function damaged(pack: string, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('repository-damaged', `pack ${pack.slice(0, 10)} ${what}`, { hint: 'Run `holdfast check` to see which snapshots are affected; others may be whole.', cause });
}

function unreadable(pack: string, cause: unknown): HoldfastError {
  return new HoldfastError('storage-failed', `pack ${pack.slice(0, 10)} cannot be read: ${messageOf(cause)}`, { hint: 'Look at the permissions and the disk of the repository.', cause });
}
