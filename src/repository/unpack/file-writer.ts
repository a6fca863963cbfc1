/** Writes restored files in a thread. */
import * as fs from 'node:fs';
import { HoldfastError } from '../../base/errors.ts';
import { toFsPath } from '../../base/raw-name.ts';
import type { Problem } from '../entry.ts';
import type { RestoredFile } from './messages.ts';
import { restoreMetadata } from './restore-metadata.ts';

const MAX_OPEN = 32;
const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
/** A blob of zeros this long becomes a hole. */
const HOLE_BYTES = 64 * 1024;

let readBack = Buffer.allocUnsafeSlow(1 << 20);

/** Writes, reads the same range back and compares: what was authenticated in memory stands in the file. */
function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
  if (readBack.length < bytes.length) readBack = Buffer.allocUnsafeSlow(bytes.length);
  let got = 0;
  while (got < bytes.length) {
    const more = fs.readSync(fd, readBack, got, bytes.length - got, position + got);
    if (more === 0) break;
    got += more;
  }
  if (got === bytes.length && readBack.subarray(0, got).equals(bytes)) return;
  throw new HoldfastError('restore-unproven', `what was written at byte ${position} of a restored file reads back different: the disk or the memory of this host is at fault`);
}

function isHole(bytes: Buffer): boolean {
  // Comparing the buffer with itself, one byte on, is memcmp's speed: all equal to the first, which is zero.
  return bytes.length >= HOLE_BYTES && bytes[0] === 0 && bytes.subarray(1).equals(bytes.subarray(0, -1));
}

export class FileWriter {
  readonly #open = new Map<string, number>();

  /** A file of one chunk, from nothing to its times. */
  writeWhole(file: RestoredFile, bytes: Uint8Array): readonly Problem[] {
    const fd = fs.openSync(toFsPath(file.path), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      writeAll(fd, bytes, 0);
    } finally {
      fs.closeSync(fd);
    }
    return restoreMetadata(file);
  }

  /** A part of a file of several chunks, which several threads may write at once. */
  writePart(file: RestoredFile, bytes: Buffer, position: number): void {
    const fd = this.#file(file.path);
    if (!isHole(bytes)) writeAll(fd, bytes, position);
  }

  /** Length and metadata of a file whose parts have all been written. */
  finish(file: RestoredFile): readonly Problem[] {
    this.#close(file.path);
    const fd = fs.openSync(toFsPath(file.path), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      fs.ftruncateSync(fd, file.size);
    } finally {
      fs.closeSync(fd);
    }
    return restoreMetadata(file);
  }

  closeAll(): void {
    for (const path of [...this.#open.keys()]) this.#close(path);
  }

  #file(path: string): number {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    if (this.#open.size >= MAX_OPEN) this.closeAll();
    const fd = fs.openSync(toFsPath(path), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    this.#open.set(path, fd);
    return fd;
  }

  #close(path: string): void {
    const fd = this.#open.get(path);
    if (fd === undefined) return;
    fs.closeSync(fd);
    this.#open.delete(path);
  }
}
