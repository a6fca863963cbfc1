/** The SFTP subsystem of an SSH server (draft-ietf-secsh-filexfer-02, OpenSSH's PROTOCOL): its requests as promises. */
import type { SFTPWrapper } from 'ssh2';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { connectSsh, type SshConnection } from './connection.ts';
import { describeTarget, type SshRequest } from './target.ts';

/** Status codes of the protocol that mean something to a caller. */
export const SFTP_STATUS = { eof: 1, missing: 2, denied: 3, failure: 4, unsupported: 8 } as const;

/** What the server answered instead of doing it; undefined when the error is none of its answers. */
export function sftpStatus(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

export interface SftpAttributes {
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Type and permissions as in `st_mode`. */
  readonly mode: number;
}

export interface SftpEntry {
  readonly name: string;
  readonly attributes: SftpAttributes;
}

export interface FreeSpace {
  /** Bytes and files that this user may still write. */
  readonly bytes: number;
  readonly files: number;
  readonly readOnly: boolean;
}

export type OpenFlags = 'r' | 'wx';

const PIECE_BYTES = 32 * 1024;

type Done<T> = (error: Error | null | undefined, value: T) => void;

/** One SFTP channel on a connection of its own. Every request rejects with a transient `storage-failed` once the connection is lost. */
export class SftpSession {
  readonly #connection: SshConnection;
  readonly #sftp: SFTPWrapper;
  readonly #waiting = new Set<(error: Error) => void>();
  readonly #pulse: NodeJS.Timeout;
  #heard = true;
  #silences = 0;
  #lost: HoldfastError | undefined;

  /** Connects, logs in and starts the subsystem. Throws what `connectSsh` throws, and `storage-failed` when there is no SFTP. */
  static async open(request: SshRequest, signal: AbortSignal): Promise<SftpSession> {
    const connection = await connectSsh(request, signal);
    signal.addEventListener('abort', connection.close);
    try {
      return new SftpSession(connection, await startSftp(connection));
    } catch (error) {
      connection.close();
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', connection.close);
    }
  }

  private constructor(connection: SshConnection, sftp: SFTPWrapper) {
    this.#connection = connection;
    this.#sftp = sftp;
    sftp.on('error', (error: Error) => this.#lose(error));
    sftp.once('close', () => this.#lose(undefined));
    void connection.ended.then((reason) => this.#lose(reason));
    this.#pulse = setInterval(() => this.#feelPulse(), connection.target.keepaliveMs).unref();
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** `user@host`. */
  get server(): string {
    return describeTarget(this.#connection.target);
  }

  /**
   * Bytes to write or read with one request: what every server takes (draft-ietf-secsh-filexfer-02, 3), and four times that, which
   * costs us a third less work, where `limits@openssh.com` allows it.
   */
  get pieceBytes(): number {
    const limit = (name: string): number => {
      const value: unknown = Reflect.get(this.#sftp, name);
      return typeof value === 'number' && value > 0 ? value : PIECE_BYTES;
    };
    return this.has('limits@openssh.com') ? Math.min(4 * PIECE_BYTES, limit('_maxReadLen'), limit('_maxWriteLen')) : PIECE_BYTES;
  }

  /** Does the server have this extension, as `fsync@openssh.com`? */
  has(extension: string): boolean {
    const known: unknown = Reflect.get(this.#sftp, '_extensions');
    return typeof known === 'object' && known !== null && extension in known;
  }

  /** Ends everything at once; what still waits for an answer rejects. */
  close(why?: HoldfastError): void {
    this.#lose(why);
  }

  async open(path: string, flags: OpenFlags, mode: number): Promise<Buffer> {
    return await this.#ask<Buffer>((done) => this.#sftp.open(path, flags, mode, done));
  }

  async closeHandle(handle: Buffer): Promise<void> {
    await this.#ask<void>((done) => this.#sftp.close(handle, (error) => done(error, undefined)));
  }

  async write(handle: Buffer, bytes: Buffer, position: number): Promise<void> {
    await this.#ask<void>((done) => this.#sftp.write(handle, bytes, 0, bytes.length, position, (error) => done(error, undefined)));
  }

  /** Reads into `target` from its `offset`; answers how many bytes came: 0 at the end of the file, fewer than asked at the server's whim. */
  async read(handle: Buffer, target: Buffer, range: { readonly offset: number; readonly length: number; readonly position: number }): Promise<number> {
    return await this.#ask<number>((done) => this.#sftp.read(handle, target, range.offset, range.length, range.position, (error, bytes) => done(error, bytes)));
  }

  /** Brings a file to the disk; only with `fsync@openssh.com`. */
  async sync(handle: Buffer): Promise<void> {
    await this.#ask<void>((done) => this.#sftp.ext_openssh_fsync(handle, (error) => done(error, undefined)));
  }

  async stat(path: string): Promise<SftpAttributes> {
    return await this.#ask<SftpAttributes>((done) => this.#sftp.stat(path, done));
  }

  async statHandle(handle: Buffer): Promise<SftpAttributes> {
    return await this.#ask<SftpAttributes>((done) => this.#sftp.fstat(handle, done));
  }

  /** The entries of a folder, without `.` and `..`. */
  async list(path: string): Promise<readonly SftpEntry[]> {
    const entries = await this.#ask<readonly { readonly filename: string; readonly attrs: SftpAttributes }[]>((done) => this.#sftp.readdir(path, done));
    return entries.map(({ filename, attrs }) => ({ name: filename, attributes: attrs }));
  }

  async makeFolder(path: string, mode: number): Promise<void> {
    await this.#ask<void>((done) => this.#sftp.mkdir(path, { mode }, (error) => done(error, undefined)));
  }

  /** Renames, over what is there when `replace` (only with `posix-rename@openssh.com`); else that is a failure. */
  async move(from: string, to: string, { replace }: { readonly replace: boolean }): Promise<void> {
    await this.#ask<void>((done) => {
      if (replace) this.#sftp.ext_openssh_rename(from, to, (error) => done(error, undefined));
      else this.#sftp.rename(from, to, (error) => done(error, undefined));
    });
  }

  async remove(path: string): Promise<void> {
    await this.#ask<void>((done) => this.#sftp.unlink(path, (error) => done(error, undefined)));
  }

  /** What is left where the path is; undefined when the server cannot say. */
  async freeSpace(path: string): Promise<FreeSpace | undefined> {
    if (!this.has('statvfs@openssh.com')) return undefined;
    const found = await this.#ask<unknown>((done) => this.#sftp.ext_openssh_statvfs(path, done));
    const field = (name: string): number => {
      const value: unknown = typeof found === 'object' && found !== null ? Reflect.get(found, name) : undefined;
      return typeof value === 'number' ? value : 0;
    };
    // File systems without a limit on files say that they have none.
    return { bytes: field('f_bavail') * field('f_frsize'), files: field('f_files') === 0 ? Infinity : field('f_favail'), readOnly: (field('f_flag') & 1) !== 0 };
  }

  /**
   * Asks for a sign of life when nothing was heard for a while. Answers to anything count: behind a slow line, where a question of
   * its own would wait its turn for minutes, a connection that moves is alive.
   */
  #feelPulse(): void {
    if (this.#heard) this.#silences = 0;
    else if (++this.#silences > this.#connection.target.keepaliveCount) return void this.#lose(new Error('the server does not answer any more'));
    this.#heard = false;
    this.stat('.').catch(() => undefined);
  }

  #ask<T>(start: (done: Done<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#lost) {
        reject(this.#lost);
        return;
      }
      this.#waiting.add(reject);
      const done: Done<T> = (error, value) => {
        if (!this.#waiting.delete(reject)) return;
        this.#heard = true;
        if (!error) resolve(value);
        else if (/^No response from server$/.test(error.message)) reject(this.#lose(undefined));
        else reject(error);
      };
      try {
        start(done);
      } catch (error) {
        done(error instanceof Error ? error : new Error(messageOf(error)), undefined as T);
      }
    });
  }

  #lose(reason: Error | undefined): HoldfastError {
    this.#lost ??= reason instanceof HoldfastError ? reason : new HoldfastError('storage-failed', `the connection to ${this.server} was lost${reason === undefined ? '' : `: ${reason.message}`}`, {
      hint: 'What was stored before is unharmed and will be used again by the next run.', transient: true, ...(reason !== undefined && { cause: reason }),
    });
    clearInterval(this.#pulse);
    this.#connection.close();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const reject of waiting) reject(this.#lost);
    return this.#lost;
  }
}

async function startSftp({ client, target, ended }: SshConnection): Promise<SFTPWrapper> {
  const who = describeTarget(target);
  const hint = 'Is SFTP allowed for this user (Subsystem sftp in sshd_config)?';
  return await new Promise((resolve, reject) => {
    const fail = (says: string, cause?: unknown): void => reject(new HoldfastError('storage-failed', `${who} ${says}`, { hint, cause, transient: true }));
    const timer = setTimeout(() => fail(`lets us in, but its SFTP did not start in ${target.timeoutMs / 1000} seconds`), target.timeoutMs);
    void ended.then((reason) => fail('ended the connection when it was asked for SFTP', reason)).finally(() => clearTimeout(timer));
    client.sftp((error, sftp) => {
      clearTimeout(timer);
      if (error) reject(noSftp(who, error));
      else resolve(sftp);
    });
  });
}

function noSftp(who: string, error: Error): HoldfastError {
  const garbled = /packet|Expected VERSION|Unknown packet/i.test(error.message);
  const says = garbled ? 'what its SFTP subsystem says is not SFTP; a login script that prints something (.bashrc) may be the reason' : `it has no SFTP (${error.message})`;
  return new HoldfastError('storage-failed', `${who} lets us in, but ${says}`, { hint: 'The server needs a line like `Subsystem sftp internal-sftp` in its sshd_config, and this user must be allowed to use it.', cause: error });
}
