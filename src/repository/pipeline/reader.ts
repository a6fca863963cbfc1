/** The reader thread: opens files, reads them into slots and cuts chunks. It stands still while every slot is busy. */
import * as fs from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, systemCode } from '../../base/errors.ts';
import { toFsPath } from '../../base/raw-name.ts';
import { createChunker, MIN_CHUNK } from '../format/chunker.ts';
import type { ReaderData, ReaderMessage, ReaderRequest } from './messages.ts';
import { LAST, MAX_PIECES, SLOT_BYTES, Slots } from './slots.ts';

const data = workerData as ReaderData;
const slots = new Slots(data.slots);
const chunker = createChunker(data.slots.memory);

/** Bytes that are read at once. */
const READ_BYTES = 1 << 20;
/** Small files are gathered in a slot up to this. */
const GATHER_BYTES = 1 << 20;
// Linux: do not change the access time. Only the owner or root may ask for that.
const O_NOATIME = process.platform === 'linux' ? 0o1000000 : 0;
const OPEN_FLAGS = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;

/** The slot in which small files are gathered, and how far it is filled. */
let gathering = -1;
let gathered = 0;

function post(message: ReaderMessage): void {
  parentPort?.postMessage(message);
}

function flush(): void {
  if (gathering >= 0) slots.queue(gathering);
  gathering = -1;
  gathered = 0;
}

function open(path: string): number {
  const fsPath = toFsPath(path);
  try {
    return fs.openSync(fsPath, OPEN_FLAGS | O_NOATIME);
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
    return fs.openSync(fsPath, OPEN_FLAGS);
  }
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
function readFully(fd: number, target: Buffer, offset: number, length: number): number {
  let done = 0;
  while (done < length) {
    const got = fs.readSync(fd, target, offset + done, length - done, null);
    if (got === 0) break;
    done += got;
  }
  return done;
}

/** Reads a file that should fit into one chunk; goes on as a large one when it has grown. Returns its bytes. */
function readSmall(file: number, fd: number, size: number): number {
  if (gathering < 0) gathering = slots.take();
  // One read is enough where it brings all that was promised: whether the file grew, its size will tell afterwards.
  let length = fs.readSync(fd, slots.buffer(gathering), gathered, MIN_CHUNK, null);
  if (length < size) length += readFully(fd, slots.buffer(gathering), gathered + length, MIN_CHUNK - length);
  if (length === MIN_CHUNK) return readLarge(file, fd, length);
  const pieces = slots.addPiece(gathering, { file, chunk: LAST, offset: gathered, length });
  gathered += (length + 63) & ~63;
  if (gathered >= GATHER_BYTES || pieces >= MAX_PIECES) flush();
  return length;
}

/** Reads a file of several chunks. `have` bytes of it lie behind what is gathered already. Returns its bytes. */
function readLarge(file: number, fd: number, have: number): number {
  const reading = { slot: slots.take(), filled: have, scanned: 0, chunk: 0 };
  try {
    if (have > 0) slots.buffer(gathering).copy(slots.buffer(reading.slot), 0, gathered, gathered + have);
    let total = have;
    for (let ended = false; !ended; ) {
      const want = Math.min(READ_BYTES, SLOT_BYTES - reading.filled);
      const got = readFully(fd, slots.buffer(reading.slot), reading.filled, want);
      ended = got < want;
      reading.filled += got;
      total += got;
      cutChunks(file, reading);
    }
    const { slot, filled, chunk } = reading;
    // Length -1 says that the chunk before was the last.
    slots.addPiece(slot, { file, chunk: chunk | LAST, offset: 0, length: filled > 0 || chunk === 0 ? filled : -1 });
    slots.queue(slot);
    return total;
  } catch (error) {
    slots.free(reading.slot);
    throw error;
  }
}

interface Reading {
  slot: number;
  filled: number;
  scanned: number;
  chunk: number;
}

/** Queues every whole chunk of what was read so far and keeps the rest in a new slot. */
function cutChunks(file: number, reading: Reading): void {
  for (;;) {
    const cut = chunker.cut(slots.base(reading.slot), reading.scanned, reading.filled);
    if (cut === 0) break;
    const next = slots.take();
    slots.buffer(reading.slot).copy(slots.buffer(next), 0, cut, reading.filled);
    slots.addPiece(reading.slot, { file, chunk: reading.chunk++, offset: 0, length: cut });
    slots.queue(reading.slot);
    reading.slot = next;
    reading.filled -= cut;
    reading.scanned = 0;
  }
  reading.scanned = reading.filled;
}

function readFile(file: number, path: string, size: number, mtimeNs: bigint): void {
  let fd = -1;
  let started = false;
  try {
    fd = open(path);
    started = true;
    const bytes = size < MIN_CHUNK ? readSmall(file, fd, size) : readLarge(file, fd, 0);
    started = false;
    const after = fs.fstatSync(fd, { bigint: true });
    const now = Math.max(bytes, Number(after.size));
    if (bytes !== size || now !== bytes) post({ kind: 'changed', path, message: `had ${size} bytes when it was found and ${now} while it was read` });
    else if (after.mtimeNs !== mtimeNs) post({ kind: 'changed', path, message: 'was written to while it was read' });
  } catch (error) {
    post({ kind: 'failed', file, code: systemCode(error) ?? '', message: messageOf(error), started });
  } finally {
    if (fd >= 0) fs.closeSync(fd);
  }
}

parentPort?.on('message', (request: ReaderRequest) => {
  if (request.kind === 'files') {
    request.numbers.forEach((file, i) => readFile(file, request.paths[i] ?? '', request.sizes[i] ?? 0, request.mtimes[i] ?? 0n));
    if (slots.isIdle()) flush();
  } else {
    flush();
    if (request.kind === 'end') {
      post({ kind: 'ended' });
      parentPort?.close();
    }
  }
});
