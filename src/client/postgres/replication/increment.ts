/**
 * `INCREMENTAL.name` in an incremental base backup (PostgreSQL 17 and newer, src/include/backup/basebackup_incremental.h): which blocks of
 * a file have changed. Numbers of 32 bits, least significant byte first: a magic, how many blocks there are, the truncation block length,
 * the numbers of the blocks; where there are blocks, zeros up to a multiple of the block size; then the blocks.
 */
import { HoldfastError } from '../../../base/errors.ts';

const MAGIC = 0xd3_ae_1f_0d;
const FIXED_BYTES = 12;
/** Blocks of a segment of 1 GiB with the smallest blocks (1 kB). */
const MOST_BLOCKS = 1 << 20;

/** How such a file is called: before its name, in the folder in which it lies. */
const PREFIX = 'INCREMENTAL.';

export interface IncrementHead {
  /** Ascending. */
  readonly blocks: readonly number[];
  /** Blocks below it that are not here are those of the earlier file; at and above it nothing of the earlier file counts. */
  readonly truncation: number;
}

/** The path that an increment is about; undefined when the path is not one of an increment. */
export function incrementOf(path: string): string | undefined {
  const at = path.lastIndexOf('/') + 1;
  return path.startsWith(PREFIX, at) && path.length > at + PREFIX.length ? path.slice(0, at) + path.slice(at + PREFIX.length) : undefined;
}

/** Bytes before the first block, known as soon as the first 12 are there; undefined before that. Throws `source-failed` for what is no increment. */
export function headBytes(bytes: Buffer, blockBytes: number): number | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  if (bytes.readUInt32LE(0) !== MAGIC) throw damaged('does not begin like one');
  const count = bytes.readUInt32LE(4);
  if (count > MOST_BLOCKS) throw damaged(`claims to have ${count} blocks`);
  return count === 0 ? FIXED_BYTES : Math.ceil((FIXED_BYTES + 4 * count) / blockBytes) * blockBytes;
}

/** Needs as many bytes as `headBytes` says. */
export function readHead(bytes: Buffer): IncrementHead {
  const blocks: number[] = [];
  for (let i = 0; i < bytes.readUInt32LE(4); i++) {
    const block = bytes.readUInt32LE(FIXED_BYTES + 4 * i);
    if (block <= (blocks.at(-1) ?? -1) || block >= MOST_BLOCKS) throw damaged('names its blocks out of order');
    blocks.push(block);
  }
  return { blocks, truncation: bytes.readUInt32LE(8) };
}

/** Blocks of the whole file: as many as pg_combinebackup makes it (find_reconstructed_block_length). */
export function wholeBlocks({ blocks, truncation }: IncrementHead): number {
  return Math.max(truncation, (blocks.at(-1) ?? -1) + 1);
}

type Write = (bytes: Uint8Array) => Promise<void> | undefined;

/**
 * Writes the whole file, in order: blocks of the increment in their places, the others from the earlier file, zeros where neither has
 * one. Pieces of both need to be valid only until the next is asked for. Throws `source-failed` when the increment has fewer or more
 * blocks than its head says.
 */
export async function overlay(head: IncrementHead, changed: AsyncIterable<Uint8Array>, earlier: AsyncIterable<Uint8Array>, blockBytes: number, write: Write): Promise<void> {
  await using now = new Pieces(changed);
  await using before = new Pieces(earlier);
  const kept = async (from: number, to: number): Promise<void> => {
    const wanted = Math.max(0, Math.min(to, head.truncation) - from) * blockBytes;
    const copied = await before.copy(wanted, write);
    await writeZeros((to - from) * blockBytes - copied, write);
  };
  let at = 0;
  for (const block of head.blocks) {
    if (block > at) await kept(at, block);
    if ((await now.copy(blockBytes, write)) < blockBytes) throw damaged('has fewer blocks than it says');
    if (block + 1 < head.truncation) await before.copy(blockBytes, () => undefined);
    at = block + 1;
  }
  const end = wholeBlocks(head);
  if (end > at) await kept(at, end);
  if ((await now.copy(1, () => undefined)) > 0) throw damaged('has more blocks than it says');
}

const ZEROS = new Uint8Array(65_536);

async function writeZeros(bytes: number, write: Write): Promise<void> {
  for (let left = bytes; left > 0; left -= ZEROS.length) await write(ZEROS.subarray(0, left));
}

/** Takes as many bytes as are wanted from pieces of any length. */
class Pieces implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array();
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Answers how many bytes there were; fewer than wanted only at the end. */
  async copy(wanted: number, write: Write): Promise<number> {
    let copied = 0;
    while (copied < wanted && (this.#piece.length > 0 || (await this.#next()))) {
      const part = this.#piece.subarray(0, wanted - copied);
      this.#piece = this.#piece.subarray(part.length);
      copied += part.length;
      const wait = write(part);
      if (wait !== undefined) await wait;
    }
    return copied;
  }

  async #next(): Promise<boolean> {
    if (this.#ended) return false;
    const { done, value } = await this.#source.next();
    this.#ended = done === true;
    this.#piece = this.#ended ? new Uint8Array() : value;
    return !this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) await this.#source.return?.();
  }
}

function damaged(why: string): HoldfastError {
  return new HoldfastError('source-failed', `the server has sent an increment that ${why}; nothing was recorded`);
}
