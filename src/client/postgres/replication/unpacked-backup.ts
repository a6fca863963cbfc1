/** Unpacks the archives of a server that compresses them, off the main thread, and hands all of it on in its order. */
import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';
import type { BaseBackupListener, BaseBackupStart } from './backup-stream.ts';

/** Packed bytes that may wait; more than one read of the socket, so that it need not stand still. */
const BACKLOG_BYTES = 2 << 20;
const OUTPUT_BYTES = 256 * 1024;

type Wait = (promise: Promise<void> | undefined) => void;

export class UnpackedBackup implements BaseBackupListener {
  readonly #listener: BaseBackupListener;
  #tail: Promise<void> = Promise.resolve();
  #backlog = 0;
  #archive: PackedArchive | undefined;
  began = false;

  constructor(listener: BaseBackupListener) {
    this.#listener = listener;
  }

  begin(start: BaseBackupStart): void {
    this.began = true;
    this.#listener.begin(start);
  }

  archive(oid: string | undefined, compressed: boolean): void {
    this.#then(async () => {
      await this.#endArchive();
      this.#listener.archive(oid, false);
      if (compressed) this.#archive = new PackedArchive(this.#listener);
    });
  }

  manifest(): void {
    this.#then(async () => {
      await this.#endArchive();
      this.#listener.manifest();
    });
  }

  data(bytes: Uint8Array, wait: Wait): void {
    const held = Buffer.from(bytes);
    this.#backlog += held.length;
    this.#then(async () => {
      if (this.#archive === undefined) await plainly(this.#listener, held);
      else await this.#archive.write(held);
      this.#backlog -= held.length;
    });
    if (this.#backlog >= BACKLOG_BYTES) wait(this.#tail);
  }

  /** Resolves when all was handed on. Rejects for what is no zstd, or is cut off. */
  async ended(): Promise<void> {
    await this.#tail;
    await this.#endArchive();
  }

  #then(step: () => Promise<void>): void {
    this.#tail = this.#tail.then(step);
    this.#tail.catch(() => undefined);
  }

  async #endArchive(): Promise<void> {
    const archive = this.#archive;
    this.#archive = undefined;
    await archive?.end();
  }
}

async function plainly(listener: BaseBackupListener, bytes: Uint8Array): Promise<void> {
  const waits: Promise<void>[] = [];
  listener.data(bytes, (promise) => {
    if (promise !== undefined) waits.push(promise);
  });
  await Promise.all(waits);
}

/** One compressed archive. What comes out stands still while the listener asks to wait: little that is packed can be much. */
class PackedArchive {
  readonly #stream: ZstdDecompress = createZstdDecompress({ chunkSize: OUTPUT_BYTES });
  readonly #failed = Promise.withResolvers<never>();
  readonly #ended: Promise<void>;
  #pauses = 0;

  constructor(listener: BaseBackupListener) {
    this.#failed.promise.catch(() => undefined);
    this.#stream.on('error', (error) => this.#failed.reject(error));
    this.#ended = new Promise((resolve) => this.#stream.once('end', resolve));
    this.#stream.on('data', (bytes: Buffer) => {
      try {
        listener.data(bytes, this.#wait);
      } catch (error) {
        this.#stream.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  async write(bytes: Buffer): Promise<void> {
    const taken = new Promise<void>((resolve) => this.#stream.write(bytes, () => resolve()));
    await Promise.race([taken, this.#failed.promise]);
  }

  async end(): Promise<void> {
    this.#stream.end();
    await Promise.race([this.#ended, this.#failed.promise]);
  }

  readonly #wait: Wait = (promise) => {
    if (promise === undefined) return;
    if (this.#pauses++ === 0) this.#stream.pause();
    promise.then(
      () => {
        if (--this.#pauses === 0) this.#stream.resume();
      },
      (error: unknown) => this.#failed.reject(error),
    );
  };
}
