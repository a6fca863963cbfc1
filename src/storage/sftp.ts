/**
 * A repository in a folder of an SSH server, in restic's default layout. One connection for all calls; when it is lost, the calls
 * that run reject as transient, and the next call connects anew.
 */
import { randomBytes } from 'node:crypto';
import * as path from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { Semaphore } from '../base/semaphore.ts';
import { SFTP_STATUS, SftpSession, sftpStatus, type SftpEntry } from '../client/ssh/sftp-session.ts';
import { allFolders, folderOf, isId, nameOf, PACK_FOLDERS, pathOf } from './layout.ts';
import { formatAddress, type SftpPlace } from './place.ts';
import { sftpFailure, type Doing } from './sftp-failure.ts';
import { readInto, writeAll } from './sftp-transfer.ts';
import type { Call, FileKind, ListedStoredFile, Range, Storage, StoredFile } from './storage.ts';

/** Folders that are listed or made at once. */
const FOLDERS_AT_ONCE = 16;
/** A call that was given up has so long to clean up behind itself; then the connection counts as dead. */
const UNWIND_MS = 5000;
/** What unfinished writes leave: ours, and those of restic. */
const TEMPORARY = /^(?:[0-9a-f]{64}|config)(?:-tmp-|-restic-temp-)[0-9a-z]+$/;

export class SftpStorage implements Storage {
  readonly location: string;
  /** Enough to fill the line while one file waits for its fsync. */
  readonly parallel = 4;
  readonly #place: SftpPlace<Secret>;
  readonly #folder: string;
  readonly #closing = new AbortController();
  readonly #unwinding = new Set<Promise<void>>();
  #session: Promise<SftpSession> | undefined;

  constructor(place: SftpPlace<Secret>) {
    this.#place = place;
    this.location = formatAddress(place);
    this.#folder = loginRelative(place.path);
  }

  async prepare(): Promise<void> {
    await this.#do({ what: 'make the folders', path: this.#folder }, {}, async (session) => {
      await makeFolders(session, this.#folder);
      const slots = new Semaphore(FOLDERS_AT_ONCE);
      const [top, below] = [allFolders().filter((name) => !name.includes('/')), allFolders().filter((name) => name.includes('/'))];
      for (const names of [top, below]) await Promise.all(names.map((name) => slots.run(() => makeFolder(session, this.#path(name)))));
    });
  }

  async save(file: StoredFile, bytes: Uint8Array, call: Call = {}): Promise<void> {
    const target = this.#path(pathOf(file));
    const writes = { folder: this.#folder, bytes: bytes.length };
    await this.#do({ what: `write ${nameOf(file)}`, path: target, writes }, call, async (session) => {
      try {
        await this.#write(session, target, bytes, call);
      } catch (error) {
        // A folder that somebody tidied away, or that another program never made.
        if (sftpStatus(error) !== SFTP_STATUS.missing) throw error;
        await makeFolders(session, path.posix.dirname(target));
        await this.#write(session, target, bytes, call);
      }
    });
  }

  /**
   * Temporary file beside it, fsync, rename, fsync of the folder, as `writeDurably` does here. Dying before the rename leaves
   * a `*-tmp-*` file that no reader looks at.
   */
  async #write(session: SftpSession, target: string, bytes: Uint8Array, call: Call): Promise<void> {
    const temporary = `${target}-tmp-${randomBytes(6).toString('hex')}`;
    const handle = await session.open(temporary, 'wx', 0o400);
    try {
      try {
        await writeAll(session, handle, bytes, call);
        call.signal?.throwIfAborted();
        if (session.has('fsync@openssh.com')) await session.sync(handle);
      } finally {
        await session.closeHandle(handle);
      }
      await putInPlace(session, temporary, target, bytes);
    } catch (error) {
      // Nobody else would. When it cannot be done, the first error is the one to tell; `sweep` finds what is left.
      await session.remove(temporary).catch(() => undefined);
      throw error;
    }
    await syncFolder(session, path.posix.dirname(target));
  }

  async load(file: StoredFile, range?: Range, call: Call = {}): Promise<Buffer> {
    const target = this.#path(pathOf(file));
    return await this.#do({ what: `read ${nameOf(file)}`, path: target }, call, async (session) => {
      const handle = await this.#open(session, file, target);
      try {
        const length = range?.length ?? (await session.statHandle(handle)).size;
        const offset = range?.offset ?? 0;
        const bytes = Buffer.allocUnsafe(length);
        const got = await readInto(session, handle, bytes, { offset, call });
        if (got < length) throw new HoldfastError('repository-damaged', `${nameOf(file)} in ${this.location} ends after ${offset + got} bytes, earlier than it should`);
        return bytes;
      } finally {
        // Its answer says nothing about what was read.
        session.closeHandle(handle).catch(() => undefined);
      }
    });
  }

  async #open(session: SftpSession, file: StoredFile, target: string): Promise<Buffer> {
    try {
      return await session.open(target, 'r', 0);
    } catch (error) {
      if (sftpStatus(error) !== SFTP_STATUS.missing) throw error;
      throw new HoldfastError('file-missing', `${nameOf(file)} is missing in ${this.location}`, { cause: error });
    }
  }

  async *list(kind: FileKind, call: Call = {}): AsyncIterable<ListedStoredFile> {
    const top = folderOf(kind);
    if (top === undefined) {
      const size = await this.size({ kind, id: '' }, call);
      if (size !== undefined) yield { id: '', size };
      return;
    }
    const folders = kind === 'pack' ? PACK_FOLDERS.map((name) => `${top}/${name}`) : [top];
    for await (const { entries } of this.#listings(folders, call)) {
      for (const { name, attributes } of entries) if (isId(name)) yield { id: name, size: attributes.size };
    }
  }

  /** The entries of folders in their order, some read ahead; of one that is missing, none. */
  async *#listings(folders: readonly string[], call: Call): AsyncIterable<{ readonly folder: string; readonly entries: readonly SftpEntry[] }> {
    const ahead: { readonly folder: string; readonly entries: Promise<readonly SftpEntry[]> }[] = [];
    const rest = [...folders];
    const start = (): void => {
      const folder = rest.shift();
      if (folder === undefined) return;
      const entries = this.#entries(folder, call);
      // Whoever stops listening does not wait for these.
      entries.catch(() => undefined);
      ahead.push({ folder, entries });
    };
    for (let slot = 0; slot < FOLDERS_AT_ONCE; slot++) start();
    for (let next; (next = ahead.shift()) !== undefined; start()) yield { folder: next.folder, entries: await next.entries };
  }

  async #entries(folder: string, call: Call): Promise<readonly SftpEntry[]> {
    const target = this.#path(folder);
    return await this.#do({ what: `list ${folder}`, path: target }, call, async (session) => {
      try {
        return await session.list(target);
      } catch (error) {
        if (sftpStatus(error) === SFTP_STATUS.missing) return [];
        throw error;
      }
    });
  }

  async size(file: StoredFile, call: Call = {}): Promise<number | undefined> {
    const target = this.#path(pathOf(file));
    return await this.#do({ what: `look at ${nameOf(file)}`, path: target }, call, async (session) => {
      try {
        return (await session.stat(target)).size;
      } catch (error) {
        if (sftpStatus(error) === SFTP_STATUS.missing) return undefined;
        throw error;
      }
    });
  }

  async remove(file: StoredFile, call: Call = {}): Promise<void> {
    const target = this.#path(pathOf(file));
    await this.#do({ what: `remove ${nameOf(file)}`, path: target }, call, (session) => removeIfThere(session, target));
  }

  async sweep(before: Date, call: Call = {}): Promise<number> {
    let removed = 0;
    const folders = ['', ...allFolders().filter((name) => name !== 'data')];
    for await (const { folder, entries } of this.#listings(folders, call)) {
      for (const { name, attributes } of entries) {
        // Whole seconds: a file of this very second may still be written.
        if (!TEMPORARY.test(name) || (attributes.mtime + 1) * 1000 > before.getTime()) continue;
        const target = this.#path(path.posix.join(folder, name));
        await this.#do({ what: `remove the unfinished ${name}`, path: target }, call, (session) => removeIfThere(session, target));
        removed++;
      }
    }
    return removed;
  }

  /** Ends the connection, after calls that were given up have removed what they had begun (some seconds at most). */
  async close(): Promise<void> {
    await Promise.all(this.#unwinding);
    this.#closing.abort(new HoldfastError('storage-failed', `the connection to ${this.location} was closed`));
    const session = await this.#session?.catch(() => undefined);
    session?.close();
  }

  #path(name: string): string {
    return path.posix.join(this.#folder, name);
  }

  async #do<T>(doing: Omit<Doing, 'location'>, { signal }: Call, work: (session: SftpSession) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    const session = await orAborted(this.#connected(), signal);
    const running = work(session).catch(async (error: unknown) => {
      if (signal?.aborted && error === signal.reason) throw error;
      throw await sftpFailure(session, error, { ...doing, location: this.location });
    });
    try {
      return await orAborted(running, signal);
    } catch (error) {
      if (signal?.aborted) this.#unwind(session, running);
      throw error;
    }
  }

  /** Lets a call that was given up end by itself. A connection on which even that takes long is dead: the next call makes a new one. */
  #unwind(session: SftpSession, running: Promise<unknown>): void {
    const timer = setTimeout(() => session.close(new HoldfastError('storage-failed', `${session.server} does not answer any more`, { transient: true, hint: 'What was stored before is unharmed and will be used again by the next run.' })), UNWIND_MS);
    const settled = running.then(() => undefined, () => undefined).finally(() => {
      clearTimeout(timer);
      this.#unwinding.delete(settled);
    });
    this.#unwinding.add(settled);
  }

  async #connected(): Promise<SftpSession> {
    const opening = (this.#session ??= SftpSession.open(this.#place, this.#closing.signal));
    try {
      const session = await opening;
      if (!session.isLost || this.#closing.signal.aborted) return session;
    } catch (error) {
      if (this.#session === opening) this.#session = undefined;
      throw error;
    }
    // Of all calls that see that it is lost, the first makes a new one.
    if (this.#session === opening) this.#session = undefined;
    return await this.#connected();
  }
}

/** SFTP begins where the login does: `~/x` is `x` there. Throws `config` for the home of somebody else. */
function loginRelative(folder: string): string {
  if (folder === '~' || folder === '~/') return '.';
  if (folder.startsWith('~/')) return folder.slice(2);
  if (/^~[^/]/.test(folder)) throw new HoldfastError('config', `the path ${folder} is in the home of another user, which SFTP servers do not look up`, { hint: 'Write the whole path.' });
  return folder;
}

/** Rejects with the reason as soon as the signal fires. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const giveUp = (): void => reject(signal.reason);
  signal.addEventListener('abort', giveUp);
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', giveUp);
    promise.catch(() => undefined);
  }
}

/** Over what is there where the server can; where not, an equal file stays, and another is removed first. */
async function putInPlace(session: SftpSession, temporary: string, target: string, bytes: Uint8Array): Promise<void> {
  if (session.has('posix-rename@openssh.com')) return await session.move(temporary, target, { replace: true });
  try {
    await session.move(temporary, target, { replace: false });
  } catch (error) {
    const there = await session.stat(target).catch(() => undefined);
    if (there === undefined) throw error;
    if (there.size === bytes.length && (await isEqual(session, target, bytes))) return await session.remove(temporary);
    // Dying here leaves the whole content under its temporary name and nothing under the real one, as before the save.
    await session.remove(target);
    await session.move(temporary, target, { replace: false });
  }
}

async function isEqual(session: SftpSession, file: string, bytes: Uint8Array): Promise<boolean> {
  const handle = await session.open(file, 'r', 0);
  try {
    const found = Buffer.allocUnsafe(bytes.length);
    return (await readInto(session, handle, found, { offset: 0 })) === bytes.length && found.equals(bytes);
  } finally {
    await session.closeHandle(handle);
  }
}

/** OpenSSH's server opens folders, too, and can sync them; for servers that cannot, the rename has to be enough. */
async function syncFolder(session: SftpSession, folder: string): Promise<void> {
  if (!session.has('fsync@openssh.com')) return;
  const handle = await session.open(folder, 'r', 0).catch(ignoreAnswer);
  if (handle === undefined) return;
  await session.sync(handle).catch(ignoreAnswer);
  await session.closeHandle(handle);
}

/** An answer of the server is let pass, a lost connection is not. */
function ignoreAnswer(error: unknown): undefined {
  if (sftpStatus(error) === undefined) throw error;
}

async function removeIfThere(session: SftpSession, file: string): Promise<void> {
  try {
    await session.remove(file);
  } catch (error) {
    if (sftpStatus(error) !== SFTP_STATUS.missing) throw error;
  }
}

async function makeFolders(session: SftpSession, folder: string): Promise<void> {
  try {
    await makeFolder(session, folder);
  } catch (error) {
    const parent = path.posix.dirname(folder);
    if (sftpStatus(error) !== SFTP_STATUS.missing || parent === folder) throw error;
    await makeFolders(session, parent);
    await makeFolder(session, folder);
  }
}

/** The status for "exists" is the one for everything else; only looking tells. */
async function makeFolder(session: SftpSession, folder: string): Promise<void> {
  try {
    await session.makeFolder(folder, 0o700);
  } catch (error) {
    if (sftpStatus(error) === SFTP_STATUS.missing) throw error;
    const there = await session.stat(folder).catch(() => undefined);
    if (there === undefined || (there.mode & 0o170000) !== 0o040000) throw error;
  }
}
