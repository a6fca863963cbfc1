/** A repository in memory, for tests: the shortest thing that keeps the contract. */
import { HoldfastError } from '../base/errors.ts';
import { nameOf, pathOf } from './layout.ts';
import type { FileKind, ListedStoredFile, Storage, StoredFile } from './storage.ts';

export class MemoryStorage implements Storage {
  readonly location = 'memory';
  readonly #files = new Map<string, { readonly file: StoredFile; readonly bytes: Buffer }>();

  save(file: StoredFile, bytes: Uint8Array): Promise<void> {
    this.#files.set(pathOf(file), { file, bytes: Buffer.from(bytes) });
    return Promise.resolve();
  }

  async load(file: StoredFile, range?: { readonly offset: number; readonly length: number }): Promise<Buffer> {
    const bytes = this.#files.get(pathOf(file))?.bytes;
    if (!bytes) throw new HoldfastError('file-missing', `${nameOf(file)} is missing in memory`);
    const { offset, length } = range ?? { offset: 0, length: bytes.length };
    if (offset + length > bytes.length) throw new HoldfastError('repository-damaged', `${nameOf(file)} in memory ends too early`);
    return Promise.resolve(Buffer.from(bytes.subarray(offset, offset + length)));
  }

  async *list(kind: FileKind): AsyncIterable<ListedStoredFile> {
    await Promise.resolve();
    for (const { file, bytes } of [...this.#files.values()]) if (file.kind === kind) yield { id: file.id, size: bytes.length };
  }

  size(file: StoredFile): Promise<number | undefined> {
    return Promise.resolve(this.#files.get(pathOf(file))?.bytes.length);
  }

  remove(file: StoredFile): Promise<void> {
    this.#files.delete(pathOf(file));
    return Promise.resolve();
  }
}
