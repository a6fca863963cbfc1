/**
 * Takes a tar stream of a server apart while it arrives (POSIX ustar, as src/port/tar.c of PostgreSQL writes it: regular files, folders
 * and symbolic links; sizes beyond 8 GiB in base 256). Nothing is held but half a header.
 */
import { HoldfastError } from '../../../base/errors.ts';

const BLOCK = 512;

export interface TarMember {
  /** Bytes as the server has them, one character a byte; relative, without `.` and `..`, without a slash at the end. */
  readonly path: string;
  readonly type: 'file' | 'dir' | 'symlink';
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Where a symbolic link leads. */
  readonly target: string;
}

/** What is told of a tar stream, in its order. A promise asks to wait before more is pushed. */
export interface TarListener {
  member(member: TarMember): void;
  /** Content of the last member; the memory is used again afterwards. */
  content(bytes: Uint8Array): Promise<void> | undefined;
  /** The last member, a file, has come as a whole. */
  end(): Promise<void> | undefined;
}

export class TarStream {
  readonly #listener: TarListener;
  readonly #header = Buffer.alloc(BLOCK);
  #headed = 0;
  /** Bytes of content, and of padding behind it, that are still to come. */
  #content = 0;
  #padding = 0;
  #isFile = false;

  constructor(listener: TarListener) {
    this.#listener = listener;
  }

  /** Takes all bytes before it returns. Throws `source-failed` for what is no tar, or leads out of the folder. */
  push(bytes: Uint8Array, wait: (promise: Promise<void> | undefined) => void): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#content > 0) {
        const length = Math.min(this.#content, bytes.length - at);
        wait(this.#listener.content(bytes.subarray(at, at + length)));
        this.#content -= length;
        at += length;
        if (this.#content === 0) wait(this.#ended());
      } else if (this.#padding > 0) {
        const length = Math.min(this.#padding, bytes.length - at);
        this.#padding -= length;
        at += length;
      } else {
        const length = Math.min(BLOCK - this.#headed, bytes.length - at);
        this.#header.set(bytes.subarray(at, at + length), this.#headed);
        this.#headed += length;
        at += length;
        if (this.#headed === BLOCK) wait(this.#open());
      }
    }
  }

  /** Throws `source-failed` when the stream ends within a member. */
  close(): void {
    if (this.#content > 0 || this.#headed > 0) throw new HoldfastError('source-failed', 'the stream of the server ended within a file', { hint: 'Look at the log of the server, then run this again.' });
  }

  #ended(): Promise<void> | undefined {
    return this.#isFile ? this.#listener.end() : undefined;
  }

  #open(): Promise<void> | undefined {
    this.#headed = 0;
    // The end of an archive: zeros.
    if (this.#header.every((byte) => byte === 0)) return undefined;
    const member = parseHeader(this.#header);
    this.#isFile = member.type === 'file';
    this.#content = this.#isFile ? member.size : 0;
    this.#padding = (BLOCK - (this.#content % BLOCK)) % BLOCK;
    this.#listener.member(member);
    return this.#content === 0 ? this.#ended() : undefined;
  }
}

const TYPES: Readonly<Record<string, TarMember['type']>> = { '0': 'file', '\0': 'file', '5': 'dir', '2': 'symlink' };

function parseHeader(header: Buffer): TarMember {
  const stated = number(header, 148, 8);
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
  if (sum !== stated) throw damaged('a header whose checksum is wrong');
  const prefix = text(header, 345, 155);
  const named = prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`;
  const path = named.replace(/^\.\//, '').replace(/\/+$/, '');
  const type = TYPES[header.toString('latin1', 156, 157)];
  if (type === undefined) throw damaged(`'${path}', which is neither a file nor a folder nor a link`);
  return { path: safe(path), type, mode: number(header, 100, 8) & 0o7777, uid: number(header, 108, 8), gid: number(header, 116, 8), size: number(header, 124, 12), mtime: number(header, 136, 12), target: text(header, 157, 100) };
}

/** A path of a hostile or broken server must not lead anywhere else. */
function safe(path: string): string {
  const wrong = path === '' || path.startsWith('/') || path.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (wrong) throw damaged(`the path '${path}', which leads out of the data directory`);
  return path;
}

function text(header: Buffer, at: number, length: number): string {
  const end = header.indexOf(0, at);
  return header.toString('latin1', at, end < 0 || end > at + length ? at + length : end);
}

function number(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0;
  if ((first & 0x80) === 0) return Number.parseInt(text(header, at, length).trim() || '0', 8);
  const value = header.subarray(at + 1, at + length).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged('a file of an impossible size');
  return Number(value);
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('source-failed', `the server has sent ${what}; nothing was recorded`);
}
