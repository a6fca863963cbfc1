/** Reads stretches of packs in a thread: pack files stay open, since neighbouring stretches follow. */
import * as fs from 'node:fs';
import { HoldfastError } from '../../base/errors.ts';
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
    const fd = this.#file(range.path);
    let done = 0;
    while (done < range.length) {
      const got = fs.readSync(fd, this.#buffer, done, range.length - done, range.offset + done);
      if (got === 0) throw new HoldfastError('repository-damaged', `pack ${range.pack.slice(0, 10)} ends after ${range.offset + done} bytes, earlier than it should`);
      done += got;
    }
    return this.#buffer.subarray(0, range.length);
  }

  #file(path: string): number {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    if (this.#open.size >= MAX_OPEN) this.close();
    const fd = fs.openSync(path, 'r');
    this.#open.set(path, fd);
    return fd;
  }

  close(): void {
    for (const fd of this.#open.values()) fs.closeSync(fd);
    this.#open.clear();
  }
}
