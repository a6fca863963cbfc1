/** BASE_BACKUP: a whole server as tar streams (documentation of PostgreSQL, chapter "Streaming Replication Protocol"). */
import type { Connection } from '../connection.ts';
import { commandFailed, serverError, sqlState } from '../failure.ts';
import { FrameReader, queryFrame } from '../wire.ts';
import { readLsn, type Lsn } from './lsn.ts';
import type { BaseBackupEnd, BaseBackupListener } from './backup-stream.ts';
import { UnpackedBackup } from './unpacked-backup.ts';

export interface BaseBackupOptions {
  readonly major: number;
  readonly label: string;
  readonly checkpoint: 'fast' | 'spread';
  /** Bytes per second. */
  readonly maxRate?: number | undefined;
  /** Let the server compress, if it can (15 and newer, where it was compiled with zstd): fewer bytes on the way, more work for it. */
  readonly zstd?: boolean | undefined;
  /** After the manifest of an earlier backup was uploaded (17 and newer). */
  readonly incremental?: boolean | undefined;
}

/** Options in parentheses since 15, a list of words before. Write-ahead log is included, so that the backup stands alone. */
export function baseBackupCommand({ major, label, checkpoint, maxRate, zstd, incremental }: BaseBackupOptions): string {
  const quoted = `'${label.replaceAll("'", "''")}'`;
  const rate = maxRate === undefined ? undefined : Math.min(1_048_576, Math.max(32, Math.round(maxRate / 1024)));
  if (major < 15) {
    const parts = [`LABEL ${quoted}`, 'PROGRESS', ...(checkpoint === 'fast' ? ['FAST'] : []), 'WAL', 'NOWAIT', ...(rate === undefined ? [] : [`MAX_RATE ${rate}`])];
    return `BASE_BACKUP ${[...parts, ...(major < 13 ? [] : [`MANIFEST 'yes'`])].join(' ')}`;
  }
  const parts = [
    `LABEL ${quoted}`, 'PROGRESS true', `CHECKPOINT '${checkpoint}'`, 'WAL true', 'WAIT false', `MANIFEST 'yes'`, `MANIFEST_CHECKSUMS 'CRC32C'`,
    ...(rate === undefined ? [] : [`MAX_RATE ${rate}`]), ...(zstd === true ? [`COMPRESSION 'zstd'`, `COMPRESSION_DETAIL 'level=1'`] : []), ...(incremental === true ? ['INCREMENTAL true'] : []),
  ];
  return `BASE_BACKUP (${parts.join(', ')})`;
}

/** Rejects with `source-failed` when the server refuses or goes away, and with the error of the listener (the connection is then cut). */
export async function baseBackup(connection: Connection, options: BaseBackupOptions, listener: BaseBackupListener): Promise<BaseBackupEnd> {
  const plainly: BaseBackupOptions = { ...options, zstd: false };
  try {
    if (options.zstd !== true || options.major < 15) return await new BackupStream(connection, options.major, listener).run(baseBackupCommand(plainly));
    return await packedBackup(connection, options, listener) ?? await new BackupStream(connection, options.major, listener).run(baseBackupCommand(plainly));
  } catch (error) {
    throw commandFailed(connection.target, 'taking the base backup', error, 'source-failed');
  }
}

/** Undefined when the server cannot compress: it says so before it begins, as if the command were wrong. */
async function packedBackup(connection: Connection, options: BaseBackupOptions, listener: BaseBackupListener): Promise<BaseBackupEnd | undefined> {
  const unpacked = new UnpackedBackup(listener);
  try {
    const end = await new BackupStream(connection, options.major, unpacked).run(baseBackupCommand(options));
    await unpacked.ended();
    return end;
  } catch (error) {
    if (!unpacked.began && sqlState(error) === '42601') return undefined;
    throw error;
  }
}

const COPY_DATA = 0x64;
const HEAD_BYTES = 5;
type Values = readonly (string | undefined)[];

/** Frames may span reads: data goes on as it arrives, only small messages are held. */
class BackupStream {
  readonly #connection: Connection;
  readonly #major: number;
  readonly #listener: BaseBackupListener;
  readonly #control = new FrameReader();
  readonly #done = Promise.withResolvers<BaseBackupEnd>();
  readonly #sets: Values[][] = [];
  readonly #notices: string[] = [];
  /** The head of a frame, its kind, or a small message of the copy, of which not all has come. */
  #held: Buffer = Buffer.alloc(0);
  /** Bytes of the frame of data that are still to come. */
  #needed = 0;
  #archives = 0;
  #refused: Error | undefined;
  #failed = false;
  #waiting: Promise<unknown> = Promise.resolve();
  #pauses = 0;
  #release: () => void = () => undefined;

  constructor(connection: Connection, major: number, listener: BaseBackupListener) {
    this.#connection = connection;
    this.#major = major;
    this.#listener = listener;
  }

  async run(command: string): Promise<BaseBackupEnd> {
    this.#release = this.#connection.takeOver(queryFrame(command), (bytes) => this.#receive(bytes), (error) => this.#done.reject(this.#refused ?? error));
    return await this.#done.promise;
  }

  #receive(bytes: Uint8Array): void {
    if (this.#failed) return;
    try {
      this.#take(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #take(arrived: Uint8Array): void {
    let bytes = arrived;
    if (this.#held.length > 0) {
      bytes = Buffer.concat([this.#held, arrived]);
      this.#held = Buffer.alloc(0);
    }
    let at = 0;
    while (at < bytes.length) {
      if (this.#needed > 0) {
        const length = Math.min(this.#needed, bytes.length - at);
        this.#listener.data(bytes.subarray(at, at + length), this.#wait);
        this.#needed -= length;
        at += length;
        continue;
      }
      const taken = this.#frame(bytes, at);
      if (taken === 0) {
        this.#held = Buffer.from(bytes.subarray(at));
        return;
      }
      at += taken;
    }
  }

  /** How many bytes of the frame that begins here were taken; 0 when more of it must come first. */
  #frame(bytes: Uint8Array, at: number): number {
    if (bytes.length - at < HEAD_BYTES) return 0;
    const view = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
    const length = view.readInt32BE(1) - 4;
    if (view[0] === COPY_DATA) {
      if (this.#major < 15) {
        this.#needed = length;
        return HEAD_BYTES;
      }
      const kind = view[HEAD_BYTES];
      if (kind === undefined) return 0;
      if (kind === COPY_DATA) {
        this.#needed = length - 1;
        return HEAD_BYTES + 1;
      }
      if (view.length < HEAD_BYTES + length) return 0;
      this.#copyMessage(String.fromCharCode(kind), view.subarray(HEAD_BYTES + 1, HEAD_BYTES + length));
      return HEAD_BYTES + length;
    }
    if (view.length < HEAD_BYTES + length) return 0;
    this.#control.push(view.subarray(0, HEAD_BYTES + length));
    const frame = this.#control.next();
    if (frame !== undefined) this.#message(frame.type, Buffer.from(frame.body));
    return HEAD_BYTES + length;
  }

  #copyMessage(kind: string, body: Buffer): void {
    if (kind === 'm') this.#listener.manifest();
    if (kind !== 'n') return;
    const name = body.toString('latin1', 0, body.indexOf(0));
    this.#listener.archive(/^(\d+)\./.exec(name)?.[1], name.endsWith('.zst'));
  }

  #message(type: string, body: Buffer): void {
    if (type === 'T') this.#sets.push([]);
    else if (type === 'D') this.#sets.at(-1)?.push(rowValues(body));
    else if (type === 'E') this.#refused = serverError(body);
    else if (type === 'N') this.#notices.push(serverError(body).message);
    else if (type === 'H') this.#copyBegins();
    else if (type === 'Z') this.#finish();
  }

  /** Before 15 there is one copy for each archive, in the order of the rows, then one for the manifest. */
  #copyBegins(): void {
    const [position, tablespaces = []] = this.#sets;
    const rows = tablespaces.map(([oid, location, kilobytes]) => ({ oid, location: location ?? '', bytes: Number(kilobytes ?? 0) * 1024 }));
    if (this.#archives === 0) this.#listener.begin({ ...positionOf(position), tablespaces: rows });
    const row = rows[this.#archives++];
    if (this.#major >= 15) return;
    if (row === undefined) this.#listener.manifest();
    else this.#listener.archive(row.oid, false);
  }

  #finish(): void {
    this.#release();
    if (this.#refused !== undefined) return this.#done.reject(this.#withNotices(this.#refused));
    const end = { ...positionOf(this.#sets.at(-1)), notices: this.#notices };
    this.#waiting.then(() => this.#done.resolve(end), this.#done.reject);
  }

  /** Of damaged pages the error says only how many there are; which they are stands in the warnings before it. */
  #withNotices(error: Error): Error {
    const told = this.#notices.slice(0, 5).join('; ');
    return told === '' ? error : Object.assign(new Error(`${error.message}: ${told}`, { cause: error }), { code: 'code' in error ? error.code : undefined });
  }

  readonly #wait = (promise: Promise<void> | undefined): void => {
    if (promise === undefined) return;
    if (this.#pauses++ === 0) this.#connection.socket.pause();
    const resumed = promise.then(
      () => {
        if (--this.#pauses === 0) this.#connection.socket.resume();
      },
      (error: unknown) => {
        this.#fail(error);
        throw error;
      },
    );
    this.#waiting = Promise.all([this.#waiting, resumed]);
    this.#waiting.catch(() => undefined);
  };

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#release();
    this.#connection.destroy();
    this.#done.reject(error);
  }
}

/** The values of a DataRow, as text. */
function rowValues(body: Buffer): Values {
  const values: (string | undefined)[] = [];
  for (let at = 2, left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? undefined : body.toString('utf8', at, at + length));
    at += Math.max(0, length);
  }
  return values;
}

function positionOf(rows: readonly Values[] | undefined): { readonly lsn: Lsn; readonly timeline: number } {
  const [lsn, timeline] = rows?.[0] ?? [];
  if (lsn === undefined || timeline === undefined) throw new Error('the server did not say where the backup begins or ends');
  return { lsn: readLsn(lsn), timeline: Number(timeline) };
}
