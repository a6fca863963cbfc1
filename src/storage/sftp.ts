/**
 * A repository in a folder of an SSH server, in restic's default layout. One connection for all calls; when it is lost, the calls
 * that run reject as transient, and the next call connects anew.
 */
import { randomBytes } from 'node:crypto';
import * as path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError, systemCode } from '../base/errors.ts';
import type { Secret } from '../base/secret.ts';
import { Semaphore } from '../base/semaphore.ts';
import { SFTP_STATUS, SftpSession, sftpStatus, type SftpEntry } from '../client/ssh/sftp-session.ts';
import { allFolders, folderOf, isId, nameOf, PACK_FOLDERS, pathOf } from './layout.ts';
import { formatAddress, type SftpPlace } from './place.ts';
import { sftpFailure, type Doing } from './sftp-failure.ts';
import { makeFolder, makeFolders, removeIfThere, TEMPORARY, writeWhole } from './sftp-file.ts';
import { readInto, Window, type Line } from './sftp-transfer.ts';
import type { Call, FileKind, ListedStoredFile, Range, Storage, StoredFile } from './storage.ts';

/** Folders that are listed or made at once. */
const FOLDERS_AT_ONCE = 16;
/** A call that was given up has so long to clean up behind itself; then the connection counts as dead. */
const UNWIND_MS = 3000;

export class SftpStorage implements Storage {
  readonly location: string;
  /** Enough to fill the line while one file waits for its fsync. */
  readonly parallel = 4;
  readonly #place: SftpPlace<Secret>;
  readonly #folder: string;
  readonly #closing = new AbortController();
  readonly #unwinding = new Set<Promise<void>>();
  readonly #clock: Clock;
  #line: Promise<Line> | undefined;
  #wasReached = false;

  constructor(place: SftpPlace<Secret>, clock: Clock) {
    this.#place = place;
    this.#clock = clock;
    this.location = formatAddress(place);
    this.#folder = loginRelative(place.path);
  }

  async prepare(): Promise<void> {
    await this.#do({ what: 'make the folders', path: this.#folder, writes: { folder: this.#folder, bytes: 1 } }, {}, async ({ session }) => {
      await makeFolders(session, this.#folder);
      const slots = new Semaphore(FOLDERS_AT_ONCE);
      const [top, below] = [allFolders().filter((name) => !name.includes('/')), allFolders().filter((name) => name.includes('/'))];
      for (const names of [top, below]) await Promise.all(names.map((name) => slots.run(() => makeFolder(session, this.#path(name)))));
    });
  }

  async save(file: StoredFile, bytes: Uint8Array, call: Call = {}): Promise<void> {
    await this.#save(file, bytes, { call, onlyNew: false });
  }

  async saveNew(file: StoredFile, bytes: Uint8Array, call: Call = {}): Promise<boolean> {
    return await this.#save(file, bytes, { call, onlyNew: true });
  }

  async #save(file: StoredFile, bytes: Uint8Array, { call, onlyNew }: { readonly call: Call; readonly onlyNew: boolean }): Promise<boolean> {
    const target = this.#path(pathOf(file));
    const doing = { what: `write ${nameOf(file)}`, path: target, writes: { folder: this.#folder, bytes: bytes.length } };
    return await this.#do(doing, call, async (line) => {
      // What a missing folder means is decided below.
      const explain = async (error: unknown): Promise<unknown> => (sftpStatus(error) === SFTP_STATUS.missing ? error : await this.#explain(line, error, { doing, call }));
      try {
        return await writeWhole(line, { target, bytes, onlyNew, explain }, call);
      } catch (error) {
        // A folder that somebody tidied away, or that another program never made.
        if (sftpStatus(error) !== SFTP_STATUS.missing) throw error;
        await makeFolders(line.session, path.posix.dirname(target));
        return await writeWhole(line, { target, bytes, onlyNew, explain }, call);
      }
    });
  }

  async load(file: StoredFile, range?: Range, call: Call = {}): Promise<Buffer> {
    const target = this.#path(pathOf(file));
    return await this.#do({ what: `read ${nameOf(file)}`, path: target }, call, async (line) => {
      const { session } = line;
      const handle = await this.#open(session, file, target);
      try {
        const length = range?.length ?? (await session.statHandle(handle)).size;
        const offset = range?.offset ?? 0;
        const bytes = Buffer.allocUnsafe(length);
        const got = await readInto(line, handle, bytes, { offset, call });
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
    return await this.#do({ what: `list ${folder}`, path: target }, call, async ({ session }) => {
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
    return await this.#do({ what: `look at ${nameOf(file)}`, path: target }, call, async ({ session }) => {
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
    await this.#do({ what: `remove ${nameOf(file)}`, path: target, writes: { folder: this.#folder, bytes: 0 } }, call, ({ session }) => removeIfThere(session, target));
  }

  async sweep(before: Date, call: Call = {}): Promise<number> {
    let removed = 0;
    const folders = ['', ...allFolders().filter((name) => name !== 'data')];
    for await (const { folder, entries } of this.#listings(folders, call)) {
      for (const { name, attributes } of entries) {
        // Whole seconds: a file of this very second may still be written.
        if (!TEMPORARY.test(name) || (attributes.mtime + 1) * 1000 > before.getTime()) continue;
        const target = this.#path(path.posix.join(folder, name));
        await this.#do({ what: `remove the unfinished ${name}`, path: target }, call, ({ session }) => removeIfThere(session, target));
        removed++;
      }
    }
    return removed;
  }

  async freeBytes(call: Call = {}): Promise<number | undefined> {
    return await this.#do({ what: 'ask for the free space', path: this.#folder }, call, async ({ session }) => (await session.freeSpace(this.#folder))?.bytes);
  }

  /** By the time of a file that is written for it; to the second. */
  async serverTime(call: Call = {}): Promise<Date> {
    const target = this.#path(`config-tmp-${randomBytes(6).toString('hex')}`);
    return await this.#do({ what: 'write a file to see the time', path: target, writes: { folder: this.#folder, bytes: 1 } }, call, async ({ session }) => {
      const handle = await session.open(target, 'wx', 0o600);
      try {
        await session.write(handle, Buffer.alloc(1), 0);
        return new Date((await session.statHandle(handle)).mtime * 1000);
      } finally {
        await session.closeHandle(handle);
        await removeIfThere(session, target);
      }
    });
  }

  /** Ends the connection, after calls that were given up have removed what they had begun (some seconds at most). */
  async close(): Promise<void> {
    await Promise.all(this.#unwinding);
    // Also a connection that is just being made.
    this.#closing.abort(new HoldfastError('storage-failed', `the connection to ${this.location} was closed`));
    void this.#line?.then(({ session }) => session.close(), () => undefined);
  }

  #path(name: string): string {
    return path.posix.join(this.#folder, name);
  }

  async #do<T>(doing: Omit<Doing, 'location'>, call: Call, work: (line: Line) => Promise<T>): Promise<T> {
    const { signal } = call;
    signal?.throwIfAborted();
    const line = await orAborted(this.#connected(), signal);
    const running = work(line).catch(async (error: unknown) => {
      throw await this.#explain(line, error, { doing, call });
    });
    try {
      return await orAborted(running, signal);
    } catch (error) {
      if (signal?.aborted) this.#unwind(line, running);
      throw error;
    }
  }

  async #explain({ session }: Line, error: unknown, { doing, call: { signal } }: { readonly doing: Omit<Doing, 'location'>; readonly call: Call }): Promise<unknown> {
    if (signal?.aborted && error === signal.reason) return error;
    return await sftpFailure(session, error, { ...doing, location: this.location });
  }

  /** Lets a call that was given up end by itself. A connection on which even that takes long is dead: the next call makes a new one. */
  #unwind({ session }: Line, running: Promise<unknown>): void {
    const timer = setTimeout(() => session.close(new HoldfastError('storage-failed', `${session.server} does not answer any more`, {
      transient: true, hint: 'What was stored before is unharmed and will be used again by the next run.',
    })), UNWIND_MS);
    const settled = running.then(() => undefined, () => undefined).finally(() => {
      clearTimeout(timer);
      this.#unwinding.delete(settled);
    });
    this.#unwinding.add(settled);
  }

  /** The connection, made anew when there is none or it was lost. */
  async #connected(): Promise<Line> {
    for (;;) {
      const opening = (this.#line ??= this.#connect());
      try {
        const line = await opening;
        if (!line.session.isLost || this.#closing.signal.aborted) return line;
      } catch (error) {
        if (this.#line === opening) this.#line = undefined;
        throw error;
      }
      // Of all calls that see that it was lost, the first makes a new one.
      if (this.#line === opening) this.#line = undefined;
    }
  }

  async #connect(): Promise<Line> {
    try {
      const session = await SftpSession.open(this.#place, this.#closing.signal);
      this.#wasReached = true;
      return { session, window: new Window(this.#clock, session.pieceBytes) };
    } catch (error) {
      throw this.#wasReached ? error : asPermanent(error);
    }
  }
}

/**
 * A server that was never reached is more likely not there than about to come back: whoever has mistyped its port does not want
 * to wait for that. One that hangs up on us (too many logins at once) is there.
 */
function asPermanent(error: unknown): unknown {
  if (!isHoldfastError(error) || !['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'].includes(systemCode(error.cause) ?? '')) return error;
  return new HoldfastError(error.code, error.message, { cause: error.cause, ...(error.hint !== undefined && { hint: error.hint }) });
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
