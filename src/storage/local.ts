/** A repository in a folder of this host. */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { writeDurably } from '../base/file.ts';
import { allFolders, folderOf, isId, nameOf, PACK_FOLDERS, pathOf } from './layout.ts';
import type { FileKind, ListedStoredFile, Storage, StoredFile } from './storage.ts';

/** Bytes that are compared at once. */
const COMPARE_BYTES = 1 << 20;

const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

export class LocalStorage implements Storage {
  readonly location: string;

  /** `folder` need not exist yet; it is made by `prepare`. */
  constructor(folder: string) {
    this.location = path.resolve(folder);
  }

  localPath(file: StoredFile): string {
    return path.join(this.location, pathOf(file));
  }

  async prepare(): Promise<void> {
    await this.#do('make the folders', async () => {
      for (const folder of ['', ...allFolders()]) await fs.mkdir(path.join(this.location, folder), { recursive: true, mode: 0o700 });
    });
  }

  async save(file: StoredFile, bytes: Uint8Array): Promise<void> {
    const target = this.localPath(file);
    await this.#do(`write ${nameOf(file)}`, async () => {
      try {
        await writeDurably(target, bytes, { finalMode: 0o400 });
      } catch (error) {
        // A folder that somebody tidied away, or that another program never made.
        if (systemCode(error) !== 'ENOENT') throw error;
        await fs.mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
        await writeDurably(target, bytes, { finalMode: 0o400 });
      }
    });
  }

  async load(file: StoredFile, range?: { readonly offset: number; readonly length: number }): Promise<Buffer> {
    return await this.#do(`read ${nameOf(file)}`, async () => {
      await using handle = await this.#open(file);
      const length = range?.length ?? (await handle.stat()).size;
      const bytes = Buffer.allocUnsafe(length);
      const got = await readFully(handle, bytes, range?.offset ?? 0);
      if (got < length) {
        throw new HoldfastError('repository-damaged', `${nameOf(file)} in ${this.location} ends after ${(range?.offset ?? 0) + got} bytes, earlier than it should`);
      }
      return bytes;
    });
  }

  async holds(file: StoredFile, bytes: Uint8Array): Promise<boolean> {
    return await this.#do(`read ${nameOf(file)} back`, async () => {
      await using handle = await this.#open(file);
      if ((await handle.stat()).size !== bytes.length) return false;
      const piece = Buffer.allocUnsafe(COMPARE_BYTES);
      for (let at = 0; at < bytes.length; at += COMPARE_BYTES) {
        const part = bytes.subarray(at, at + COMPARE_BYTES);
        const got = await readFully(handle, piece.subarray(0, part.length), at);
        if (got < part.length || !piece.subarray(0, part.length).equals(part)) return false;
      }
      return true;
    });
  }

  async #open(file: StoredFile): Promise<fs.FileHandle> {
    try {
      return await fs.open(this.localPath(file), 'r');
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      throw new HoldfastError('file-missing', `${nameOf(file)} is missing in ${this.location}`, { cause: error });
    }
  }

  async *list(kind: FileKind): AsyncIterable<ListedStoredFile> {
    const top = folderOf(kind);
    if (top === undefined) {
      const size = await this.size({ kind, id: '' });
      if (size !== undefined) yield { id: '', size };
      return;
    }
    const folders = kind === 'pack' ? PACK_FOLDERS.map((name) => `${top}/${name}`) : [top];
    for (const folder of folders) {
      for (const id of await this.#names(folder)) {
        const size = await this.size({ kind, id });
        if (size !== undefined) yield { id, size };
      }
    }
  }

  async #names(folder: string): Promise<readonly string[]> {
    return await this.#do(`list ${folder}`, async () => {
      try {
        return (await fs.readdir(path.join(this.location, folder))).filter(isId);
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return [];
        throw error;
      }
    });
  }

  async size(file: StoredFile): Promise<number | undefined> {
    return await this.#do(`look at ${nameOf(file)}`, async () => {
      try {
        return (await fs.stat(this.localPath(file))).size;
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  async remove(file: StoredFile): Promise<void> {
    await this.#do(`remove ${nameOf(file)}`, () => fs.rm(this.localPath(file), { force: true }));
  }

  async #do<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      if (FULL.includes(systemCode(error) ?? '')) {
        throw new HoldfastError('storage-full', `cannot ${what} in ${this.location}: no space left on the device`, {
          hint: 'Free some space there or use another repository. What was stored before is unharmed and will be used again.', cause: error,
        });
      }
      throw new HoldfastError('storage-failed', `cannot ${what} in ${this.location}: ${messageOf(error)}`, {
        hint: 'Look at the permissions and the disk of that folder.', cause: error,
      });
    }
  }
}

async function readFully(handle: fs.FileHandle, bytes: Buffer, position: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}
