/** Puts the chunks of files together that savers report in any order. */
import { toText } from '../../base/raw-name.ts';
import type { Problem } from '../entry.ts';
import type { ReaderMessage } from './messages.ts';
import { RECORD_BYTES } from './messages.ts';
import { LAST } from './slots.ts';

export interface FileContent {
  /** Ids of the data blobs, in order. */
  readonly blobs: readonly string[];
  /** Bytes that were read. */
  readonly size: number;
}

interface OpenFile {
  readonly subject: string;
  readonly blobs: string[];
  size: number;
  arrived: number;
  /** Chunks in all, known when the last one has arrived. */
  expected: number;
  readonly done: (content: FileContent | undefined) => void;
}

interface Listener {
  problem(problem: Problem): void;
  progress(bytes: number): void;
}

/** What the reader says of a file that it could not open or read. */
const VANISHED: readonly string[] = ['ENOENT', 'ENOTDIR', 'ELOOP'];

export class FileTable {
  readonly #open = new Map<number, OpenFile>();
  readonly #listener: Listener;
  #next = 0;
  #waiters: { readonly below: number; readonly resolve: () => void }[] = [];

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  /** Files that are under way. */
  get pending(): number {
    return this.#open.size;
  }

  add(subject: string): { readonly number: number; readonly content: Promise<FileContent | undefined> } {
    const number = this.#next++ & 0x3fffffff;
    const content = new Promise<FileContent | undefined>((done) => {
      this.#open.set(number, { subject, blobs: [], size: 0, arrived: 0, expected: -1, done });
    });
    return { number, content };
  }

  /** Resolves when fewer files than this are under way. */
  drained(below: number): Promise<void> {
    if (this.#open.size < below) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ below, resolve }));
  }

  /** Records of a saver, see messages.ts. */
  addPieces(records: Buffer): void {
    let bytes = 0;
    for (let at = 0; at < records.length; at += RECORD_BYTES) {
      const number = records.readInt32LE(at);
      const chunk = records.readInt32LE(at + 4);
      const length = records.readInt32LE(at + 8);
      bytes += Math.max(0, length);
      const file = this.#open.get(number);
      if (!file) continue;
      const position = chunk & (LAST - 1);
      if (length > 0) {
        file.blobs[position] = records.toString('hex', at + 12, at + RECORD_BYTES);
        file.arrived++;
        file.size += length;
      }
      if (chunk & LAST) file.expected = length > 0 ? position + 1 : position;
      if (file.arrived === file.expected) this.#close(number, { blobs: file.blobs, size: file.size });
    }
    this.#listener.progress(bytes);
  }

  fail({ file, code, message, started }: Extract<ReaderMessage, { kind: 'failed' }>): void {
    const vanished = !started && VANISHED.includes(code);
    const kind = vanished ? 'vanished' : 'unreadable';
    this.#listener.problem({ subject: this.#subject(file), kind, message: vanished ? 'was gone before it could be read' : reason(code, message) });
    this.#close(file, undefined);
  }

  #subject(number: number): string {
    return this.#open.get(number)?.subject ?? `file ${number}`;
  }

  #close(number: number, content: FileContent | undefined): void {
    this.#open.get(number)?.done(content);
    this.#open.delete(number);
    if (this.#waiters.length === 0) return;
    const ready = this.#waiters.filter(({ below }) => this.#open.size < below);
    this.#waiters = this.#waiters.filter(({ below }) => this.#open.size >= below);
    for (const { resolve } of ready) resolve();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'cannot be read: permission denied',
  EPERM: 'cannot be read: operation not permitted',
  EIO: 'cannot be read: the disk reports an error (EIO)',
};

/** A system error as the rest of a sentence that begins with the file's name. */
export function reason(code: string, message: string): string {
  return REASONS[code] ?? `cannot be read: ${toText(message)}`;
}
