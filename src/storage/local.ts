/** A repository in a folder of this host: a disk, a memory stick, or a network file system that is mounted here. */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, isHoldfastError, systemCode } from '../base/errors.ts';
import { syncFolder, writeDurably, type DurableOptions } from '../base/file.ts';
import { allFolders, folderOf, isId, nameOf, PACK_FOLDERS, pathOf } from './layout.ts';
import { localFailure, whyNoConfig } from './local-failure.ts';
import type { Call, FileKind, ListedStoredFile, Range, Storage, StoredFile } from './storage.ts';

/** Bytes that are read or compared at once. */
const PIECE_BYTES = 1 << 20;
/** What a writer names a file until it is whole: ours and restic's. NFS's own `.nfs…` are the server's to remove. */
const TEMPORARY = /-tmp-[0-9a-z]+$/;
const CONFIG: StoredFile = { kind: 'config', id: '' };

export class LocalStorage implements Storage {
  readonly location: string;
  /** One is written while the other waits for its fsync. */
  readonly parallel = 2;
  /** There is a repository here, as this process has seen. */
  #hasConfig = false;

  /** `folder` need not exist yet; it is made by `prepare`. */
  constructor(folder: string) {
    this.location = path.resolve(folder);
  }

  localPath(file: StoredFile): string {
    return path.join(this.location, pathOf(file));
  }

  async prepare(): Promise<void> {
    await this.#do('make the folders', this.location, async () => {
      const made = await fs.mkdir(this.location, { recursive: true, mode: 0o700 });
      for (const folder of allFolders()) await fs.mkdir(path.join(this.location, folder), { recursive: true, mode: 0o700 });
      // Their names must survive a power cut as the files do that will be in them.
      for (const folder of ['data', '']) await syncFolder(path.join(this.location, folder));
      if (made !== undefined) await syncFolder(path.dirname(made));
    });
  }

  async save(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<void> {
    await this.#write(file, bytes, call, {});
  }

  async saveNew(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<boolean> {
    try {
      await this.#write(file, bytes, call, { onlyNew: true });
      return true;
    } catch (error) {
      if (isHoldfastError(error) && systemCode(error.cause) === 'EEXIST') return false;
      throw error;
    }
  }

  async #write(file: StoredFile, bytes: Uint8Array, call: Call | undefined, options: DurableOptions): Promise<void> {
    const target = this.localPath(file);
    const write = async (): Promise<void> => await writeDurably(target, bytes, { ...options, ...heeding(call), finalMode: 0o400 });
    await this.#do(`write ${nameOf(file)}`, target, async () => {
      call?.signal?.throwIfAborted();
      try {
        await write();
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') throw error;
        await this.#refuseVanished(error);
        // A folder that somebody tidied away, or that another program never made.
        await fs.mkdir(path.dirname(target), { recursive: true, mode: 0o700 });
        await syncFolder(path.dirname(path.dirname(target)));
        await write();
      }
    });
    if (file.kind === 'config') this.#hasConfig = true;
  }

  async load(file: StoredFile, range?: Range, call?: Call): Promise<Buffer> {
    return await this.#do(`read ${nameOf(file)}`, this.localPath(file), async () => {
      await using handle = await this.#open(file);
      const offset = range?.offset ?? 0;
      const bytes = Buffer.allocUnsafe(range?.length ?? (await handle.stat()).size);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        call?.signal?.throwIfAborted();
        const piece = bytes.subarray(at, at + PIECE_BYTES);
        const got = await readFully(handle, piece, offset + at);
        if (got < piece.length) throw new HoldfastError('repository-damaged', `${nameOf(file)} in ${this.location} ends after ${offset + at + got} bytes, earlier than it should`);
        await call?.moved?.(got);
      }
      if (file.kind === 'config') this.#hasConfig = true;
      return bytes;
    });
  }

  async holds(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<boolean> {
    return await this.#do(`read ${nameOf(file)} back`, this.localPath(file), async () => {
      await using handle = await this.#open(file);
      if ((await handle.stat()).size !== bytes.length) return false;
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const part = bytes.subarray(at, at + PIECE_BYTES);
        const got = await readFully(handle, piece.subarray(0, part.length), at);
        await call?.moved?.(got);
        if (got < part.length || !piece.subarray(0, part.length).equals(part)) return false;
      }
      return true;
    });
  }

  async #open(file: StoredFile): Promise<fs.FileHandle> {
    try {
      return await fs.open(this.localPath(file), 'r');
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
      await this.#refuseVanished(error);
      const hint = file.kind === 'config' ? await whyNoConfig(this.location) : undefined;
      throw new HoldfastError('file-missing', `${nameOf(file)} is missing in ${this.location}`, { ...(hint !== undefined && { hint }), cause: error });
    }
  }

  async *list(kind: FileKind, call?: Call): AsyncIterable<ListedStoredFile> {
    const top = folderOf(kind);
    if (top === undefined) {
      const size = await this.size(CONFIG);
      if (size !== undefined) yield { id: '', size };
      return;
    }
    const folders = kind === 'pack' ? PACK_FOLDERS.map((name) => `${top}/${name}`) : [top];
    for (const folder of folders) {
      for (const id of (await this.#names(folder)).filter(isId)) {
        call?.signal?.throwIfAborted();
        const size = await this.size({ kind, id });
        if (size !== undefined) yield { id, size };
      }
    }
  }

  async #names(folder: string): Promise<readonly string[]> {
    const place = path.join(this.location, folder);
    return await this.#do(`list ${folder === '' ? 'the files' : folder}`, place, async () => {
      try {
        return await fs.readdir(place);
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') throw error;
        await this.#refuseVanished(error);
        return [];
      }
    });
  }

  async size(file: StoredFile): Promise<number | undefined> {
    const place = this.localPath(file);
    return await this.#do(`look at ${nameOf(file)}`, place, async () => {
      try {
        const { size } = await fs.stat(place);
        if (file.kind === 'config') this.#hasConfig = true;
        return size;
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
        await this.#refuseVanished(error);
        return undefined;
      }
    });
  }

  async remove(file: StoredFile): Promise<void> {
    const place = this.localPath(file);
    await this.#do(`remove ${nameOf(file)}`, place, async () => {
      try {
        // Not fs.rm, which takes a file that may not be removed for a folder and says so.
        await fs.unlink(place);
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
      }
    });
    if (file.kind === 'config') this.#hasConfig = false;
  }

  async sweep(before: Date, call?: Call): Promise<number> {
    let swept = 0;
    for (const folder of ['', ...allFolders()]) {
      for (const name of (await this.#names(folder)).filter((other) => TEMPORARY.test(other))) {
        call?.signal?.throwIfAborted();
        if (await this.#sweepOne(path.join(this.location, folder, name), before)) swept++;
      }
    }
    return swept;
  }

  async #sweepOne(place: string, before: Date): Promise<boolean> {
    return await this.#do('remove an unfinished file', place, async () => {
      try {
        const stats = await fs.lstat(place);
        if (!stats.isFile() || stats.mtimeMs >= before.getTime()) return false;
        await fs.unlink(place);
        return true;
      } catch (error) {
        // Its writer has come to an end meanwhile.
        if (systemCode(error) === 'ENOENT') return false;
        throw error;
      }
    });
  }

  /** Of a network file system it is the server's clock that dates a new file. */
  async serverTime(): Promise<Date> {
    const place = path.join(this.location, `clock-tmp-${randomBytes(6).toString('hex')}`);
    return await this.#do('look at the time', place, async () => {
      await fs.writeFile(place, '', { flag: 'wx', mode: 0o600 });
      try {
        return (await fs.stat(place)).mtime;
      } finally {
        await fs.rm(place, { force: true });
      }
    });
  }

  async freeBytes(): Promise<number> {
    return await this.#do('look at the space', this.location, async () => {
      const { bavail, bsize } = await fs.statfs(this.location);
      return bavail * bsize;
    });
  }

  /**
   * Where a disk was unmounted its mount point is left: an empty folder, in which nothing is missed and anything could be written.
   * What is not there is only believed while the config is.
   */
  async #refuseVanished(cause: unknown): Promise<void> {
    if (!this.#hasConfig) return;
    try {
      await fs.stat(this.localPath(CONFIG));
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error;
      throw new HoldfastError('storage-failed', `the repository has vanished from ${this.location} while it was in use`, {
        hint: 'Was its disk unplugged or unmounted? What was stored on it is unharmed and will be used again. Nothing was written to what is at that place now.', cause,
      });
    }
  }

  async #do<T>(what: string, place: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      // Also the reason of a signal.
      if (systemCode(error) === undefined || isHoldfastError(error)) throw error;
      throw await localFailure(error, what, this.location, place);
    }
  }
}

function heeding(call: Call | undefined): Pick<DurableOptions, 'wrote'> {
  if (!call) return {};
  return {
    wrote: (bytes) => {
      call.signal?.throwIfAborted();
      return call.moved?.(bytes);
    },
  };
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
