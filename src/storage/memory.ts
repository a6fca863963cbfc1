/** A repository in memory, for tests: the shortest thing that keeps the contract. */
import { HoldfastError } from '../base/errors.ts';
import { nameOf, pathOf } from './layout.ts';
import type { Call, FileKind, ListedStoredFile, Range, Storage, StoredFile } from './storage.ts';

/** Bytes that pass at once, for those who are told of them. */
const PIECE_BYTES = 64 * 1024;

export class MemoryStorage implements Storage {
  readonly location = 'memory';
  readonly #files = new Map<string, { readonly file: StoredFile; readonly bytes: Buffer }>();

  async save(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<void> {
    const place = pathOf(file);
    // As over a wire: what is changed meanwhile is not what was saved.
    const copy = Buffer.from(bytes);
    await pass(copy.length, call);
    this.#files.set(place, { file, bytes: copy });
  }

  async saveNew(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<boolean> {
    await pass(bytes.length, call);
    if (this.#files.has(pathOf(file))) return false;
    this.#files.set(pathOf(file), { file, bytes: Buffer.from(bytes) });
    return true;
  }

  async load(file: StoredFile, range?: Range, call?: Call): Promise<Buffer> {
    const bytes = this.#files.get(pathOf(file))?.bytes;
    if (!bytes) throw new HoldfastError('file-missing', `${nameOf(file)} is missing in memory`);
    const { offset, length } = range ?? { offset: 0, length: bytes.length };
    if (offset + length > bytes.length) throw new HoldfastError('repository-damaged', `${nameOf(file)} in memory ends too early`);
    await pass(length, call);
    return Buffer.from(bytes.subarray(offset, offset + length));
  }

  async *list(kind: FileKind, call?: Call): AsyncIterable<ListedStoredFile> {
    await pass(0, call);
    for (const { file, bytes } of [...this.#files.values()]) if (file.kind === kind) yield { id: file.id, size: bytes.length };
  }

  async size(file: StoredFile, call?: Call): Promise<number | undefined> {
    await pass(0, call);
    return this.#files.get(pathOf(file))?.bytes.length;
  }

  async remove(file: StoredFile, call?: Call): Promise<void> {
    await pass(0, call);
    this.#files.delete(pathOf(file));
  }
}

async function pass(bytes: number, call: Call | undefined): Promise<void> {
  call?.signal?.throwIfAborted();
  for (let done = 0; done < bytes && call?.moved; done += PIECE_BYTES) {
    await call.moved(Math.min(PIECE_BYTES, bytes - done));
    call.signal?.throwIfAborted();
  }
}
