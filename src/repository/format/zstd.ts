/**
 * zstd frames, one a blob, as restic writes them: no checksum, content size in the header.
 *
 * Node's one-shot functions build a compression context for every call (17 µs, which doubles the cost of a small file), so the
 * handle inside Node's own stream object is driven directly: one `ZSTD_e_end` call makes one frame and the context is used
 * again. That handle is not a public interface; when it does not look as expected, the one-shot functions are used.
 */
import * as zlib from 'node:zlib';
import { messageOf } from '../../base/errors.ts';

const { ZSTD_c_compressionLevel, ZSTD_d_windowLogMax, ZSTD_e_continue, ZSTD_e_end } = zlib.constants;

/** Frames with a window above this (128 MiB) are refused, as by the zstd program. */
const WINDOW_LOG_MAX = 27;

interface Handle {
  onerror: (message: string, errno: number, code: string) => void;
  writeSync(flush: number, input: Uint8Array, at: number, length: number, output: Uint8Array, outAt: number, outLength: number): void;
}

interface Driven {
  readonly handle: Handle;
  /** After each call: [bytes of output left, bytes of input left]. */
  readonly state: Uint32Array;
}

function drive(stream: object): Driven | undefined {
  if (!('_handle' in stream) || !('_writeState' in stream)) return undefined;
  const { _handle: handle, _writeState: state } = stream;
  if (!isHandle(handle) || !(state instanceof Uint32Array) || state.length < 2) return undefined;
  return { handle, state };
}

function isHandle(value: unknown): value is Handle {
  return typeof value === 'object' && value !== null && 'writeSync' in value && typeof value.writeSync === 'function';
}

/** The most bytes that `length` bytes can become. */
function compressBound(length: number): number {
  return length + (length >>> 8) + 1024;
}

/** Makes frames at one level. The result is a view that the next call overwrites. */
export class Compressor {
  readonly #level: number;
  readonly #driven: Driven | undefined;
  #output = Buffer.alloc(0);
  #failure: string | undefined;

  constructor(level: number) {
    this.#level = level;
    this.#driven = drive(zlib.createZstdCompress(this.#options()));
    if (this.#driven) this.#driven.handle.onerror = (message) => (this.#failure = message);
  }

  compress(bytes: Uint8Array): Buffer {
    if (!this.#driven) return zlib.zstdCompressSync(bytes, this.#options());
    const { handle, state } = this.#driven;
    const bound = compressBound(bytes.length);
    if (this.#output.length < bound) this.#output = Buffer.allocUnsafeSlow(bound);
    handle.writeSync(ZSTD_e_end, bytes, 0, bytes.length, this.#output, 0, this.#output.length);
    if (this.#failure !== undefined || state[1] !== 0) throw new Error(`zstd: ${this.#failure ?? 'input left'}`);
    return this.#output.subarray(0, this.#output.length - (state[0] ?? 0));
  }

  #options(): zlib.ZstdOptions {
    return { params: { [ZSTD_c_compressionLevel]: this.#level } };
  }
}

/** Unpacks frames whose length is known. The result is a view that the next call overwrites. */
export class Decompressor {
  #driven: Driven | undefined;
  #output = Buffer.alloc(0);
  #failure: string | undefined;

  constructor() {
    this.#restart();
  }

  /** Throws when the frame is damaged or does not hold exactly `length` bytes. */
  decompress(frame: Uint8Array, length: number): Buffer {
    // A frame before this one may have ended in the middle of a block, unnoticed: it must not be taken for the fault of this one.
    const failure = this.#attempt(frame, length);
    const again = failure === undefined ? undefined : this.#attempt(frame, length);
    if (again !== undefined) throw new Error(`zstd: ${again}`);
    return this.#output.subarray(0, length);
  }

  /** Unpacks into `#output`; answers what went wrong, after which the next attempt begins with a new context. */
  #attempt(frame: Uint8Array, length: number): string | undefined {
    if (this.#output.length <= length) this.#output = Buffer.allocUnsafeSlow(Math.max(length + 1, 1 << 16));
    if (!this.#driven) return this.#attemptOneShot(frame, length);
    const { handle, state } = this.#driven;
    // One byte of room more than promised, so that a frame that is too long shows.
    handle.writeSync(ZSTD_e_continue, frame, 0, frame.length, this.#output, 0, length + 1);
    const failure = this.#failure;
    if (failure === undefined && state[1] === 0 && state[0] === 1) return undefined;
    this.#restart();
    return failure ?? 'the frame does not hold what was promised';
  }

  #attemptOneShot(frame: Uint8Array, length: number): string | undefined {
    try {
      const bytes = decompressFrame(frame, length + 1);
      bytes.copy(this.#output);
      return bytes.length === length ? undefined : 'the frame does not hold what was promised';
    } catch (error) {
      return messageOf(error);
    }
  }

  #restart(): void {
    this.#failure = undefined;
    this.#driven = drive(zlib.createZstdDecompress({ params: { [ZSTD_d_windowLogMax]: WINDOW_LOG_MAX } }));
    if (this.#driven) this.#driven.handle.onerror = (message) => (this.#failure = message);
  }
}

/** Unpacks one frame of unknown length (indexes, snapshots). Throws when it holds more than `most` bytes, before it has unpacked more. */
export function decompressFrame(frame: Uint8Array, most: number): Buffer {
  return zlib.zstdDecompressSync(frame, { params: { [ZSTD_d_windowLogMax]: WINDOW_LOG_MAX }, maxOutputLength: most });
}
