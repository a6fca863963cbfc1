/** The archive pipeline, seen from the main thread: contents go in, ids of their chunks come out. */
import { Worker } from 'node:worker_threads';
import { THREAD_LIMITS } from '../../base/garbage.ts';
import type { Problem, ContentSink } from '../entry.ts';
import { toText, type RawName } from '../../base/raw-name.ts';
import { installTables } from '../format/chunker.ts';
import type { SealKey } from '../format/cipher.ts';
import type { BlobIndex } from '../blob-index.ts';
import { PACK_BUFFER_BYTES, type Compression } from '../packer.ts';
import { createClaims, type SharedClaims } from './claim-set.ts';
import { FileTable, type FileContent } from './file-table.ts';
import { GatheredChunks } from './gathered-chunks.ts';
import type { ReaderMessage, ReaderRequest, SaverData, SaverMessage, SharedPackBuffers } from './messages.ts';
import { SharedPool } from './shared-pool.ts';
import { createSlots, Slots, type SharedSlots } from './slots.ts';
import { StreamChunks } from './stream-chunks.ts';

/**
 * Two savers keep two packs open, so that chunks of a file spread over packs at random (restic #5295) and two cores are busy. Two packs can
 * be on their way to the disk, each waiting for its fsync, while the savers fill two others.
 */
const FULL = { savers: 2, slots: 6, packBuffers: 4 } as const;
/** For little, again and again, in a process that lives long: a third of the memory. */
const SPARING = { savers: 1, slots: 3, packBuffers: 2 } as const;
/** Bytes after which the second saver is started: small backups make one pack, not two. */
const SECOND_SAVER_FROM = 4 << 20;
/** Files that are handed to the reader at once, and that may be under way. */
const BATCH_FILES = 256;
const BATCH_BYTES = 4 << 20;
const MAX_PENDING = 2000;

/** A full pack in shared memory, to be stored before `done` gives the buffer back. */
export interface FilledPack {
  readonly id: string;
  readonly bytes: Buffer;
  readonly indexEntry: string;
  readonly blobs: number;
  readonly plainBytes: number;
  /** It holds trees, which are read again and again: a cache keeps it. */
  readonly keep?: boolean;
}

export interface PipelineOptions {
  readonly key: SealKey;
  readonly polynomial: bigint;
  readonly index: BlobIndex;
  readonly compression: Compression;
  /** One thread and few buffers; see `ArchiveOptions`. */
  readonly sparing?: boolean | undefined;
  readonly signal: AbortSignal;
  /** Stores a pack durably. A rejection fails the pipeline. */
  store(pack: FilledPack): Promise<void>;
  problem(problem: Problem): void;
  /** Bytes of content that have been read. */
  progress(bytes: number): void;
}

export interface OpenStream {
  readonly sink: ContentSink;
  close(): Promise<void>;
  end(): Promise<FileContent | undefined>;
}

/** `content` does not reject; it does not come when the pipeline has failed. */
export interface GatheredFile extends ContentSink {
  end(): Promise<void> | undefined;
  readonly content: Promise<FileContent | undefined>;
}

interface Batch {
  numbers: number[];
  paths: RawName[];
  sizes: number[];
  mtimes: bigint[];
  bytes: number;
}

const emptyBatch = (): Batch => ({ numbers: [], paths: [], sizes: [], mtimes: [], bytes: 0 });

export class Pipeline implements AsyncDisposable {
  readonly claims: SharedClaims = createClaims();
  readonly #options: PipelineOptions;
  readonly #size: typeof FULL | typeof SPARING;
  readonly #shared: SharedSlots;
  readonly #slots: Slots;
  #gathered: GatheredChunks | undefined;
  readonly #packBuffers: SharedPackBuffers;
  readonly #packPool: SharedPool;
  readonly #files: FileTable;
  readonly #savers: { readonly worker: Worker; readonly ended: Promise<void> }[] = [];
  readonly #storing = new Set<Promise<void>>();
  readonly #failure = new AbortController();
  #reader: { readonly worker: Worker; readonly ended: Promise<void> } | undefined;
  #batch = emptyBatch();
  #submittedBytes = 0;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#size = options.sparing === true ? SPARING : FULL;
    this.#shared = createSlots(this.#size.slots);
    this.#slots = new Slots(this.#shared);
    this.#files = new FileTable(options);
    installTables(this.#shared.memory, options.polynomial);
    this.#packBuffers = {
      buffers: Array.from({ length: this.#size.packBuffers }, () => new SharedArrayBuffer(PACK_BUFFER_BYTES)),
      control: new SharedArrayBuffer(4 * SharedPool.words(this.#size.packBuffers)),
    };
    this.#packPool = new SharedPool(new Int32Array(this.#packBuffers.control));
    options.signal.addEventListener('abort', () => this.fail(options.signal.reason), { once: true });
  }

  /** Fires when a thread or a store has failed; its reason is the first error. */
  get failed(): AbortSignal {
    return this.#failure.signal;
  }

  fail(error: unknown): void {
    this.#failure.abort(error);
  }

  /** Waits for something of this pipeline; rejects as soon as the pipeline has failed. */
  async settled<T>(work: Promise<T>): Promise<T> {
    const signal = this.failed;
    signal.throwIfAborted();
    let stop: (() => void) | undefined;
    const failure = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([work, failure]);
    } finally {
      if (stop) signal.removeEventListener('abort', stop);
    }
  }

  /** Hands a file of the local file system to the reader. The promise does not reject: undefined means that it could not be read. */
  readFile(path: RawName, size: number, mtimeNs: bigint): Promise<FileContent | undefined> {
    const { number, content } = this.#files.add(toText(path));
    const batch = this.#batch;
    batch.numbers.push(number);
    batch.paths.push(path);
    batch.sizes.push(size);
    batch.mtimes.push(mtimeNs);
    batch.bytes += size;
    if (batch.numbers.length >= BATCH_FILES || batch.bytes >= BATCH_BYTES) this.#sendBatch();
    return content;
  }

  /** So many files are under way that the caller should wait until it is `ready`. */
  get crowded(): boolean {
    return this.#files.pending >= MAX_PENDING;
  }

  /** Resolves when more files may be handed in. */
  async ready(): Promise<void> {
    if (!this.crowded) return;
    this.flush();
    await this.settled(this.#files.drained(MAX_PENDING / 2));
  }

  /** A content that the caller writes. `close` takes the end of it, `end` waits also until it is stored. */
  openStream(subject: string): OpenStream {
    const { number, content } = this.#files.add(subject);
    this.#startSavers(0);
    const chunks = new StreamChunks(this.#slots, this.#shared.memory, number, this.failed);
    let closed: Promise<void> | undefined;
    const close = (): Promise<void> => (closed ??= this.settled(chunks.end()));
    return {
      sink: {
        write: (bytes) => {
          this.#startSavers(bytes.length);
          return chunks.write(bytes);
        },
      },
      close,
      end: async () => {
        await close();
        return await this.settled(content);
      },
    };
  }

  /** A file of those that come one behind the other: this one must end before the next is opened. Unless it is `apart`, beside them. */
  gather(subject: string, apart = false): GatheredFile {
    const { number, content } = this.#files.add(subject);
    this.#startSavers(0);
    const gathered = apart ? new GatheredChunks(this.#slots, this.failed) : (this.#gathered ??= new GatheredChunks(this.#slots, this.failed));
    return {
      content,
      write: (bytes) => {
        this.#startSavers(bytes.length);
        return gathered.write(number, bytes);
      },
      end: () => {
        const ended = gathered.end(number);
        if (apart) gathered.flush();
        return ended;
      },
    };
  }

  /** Makes sure that all that was handed in is being worked on. */
  flush(): void {
    this.#gathered?.flush();
    this.#sendBatch();
    this.#tellReader({ kind: 'flush' });
  }

  /** Ends the threads when everything was stored. */
  async end(): Promise<void> {
    this.#sendBatch();
    this.#tellReader({ kind: 'end' });
    if (this.#reader) await this.settled(this.#reader.ended);
    this.#slots.end();
    await this.settled(Promise.all(this.#savers.map((saver) => saver.ended)));
    await this.settled(Promise.all(this.#storing));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#savers, ...(this.#reader ? [this.#reader] : [])].map(({ worker }) => worker.terminate()));
    await Promise.allSettled(this.#storing);
  }

  #sendBatch(): void {
    const batch = this.#batch;
    if (batch.numbers.length === 0) return;
    this.#batch = emptyBatch();
    this.#startReader();
    this.#startSavers(batch.bytes);
    this.#tellReader({
      kind: 'files', numbers: batch.numbers, paths: batch.paths,
      sizes: Float64Array.from(batch.sizes), mtimes: BigInt64Array.from(batch.mtimes),
    });
  }

  #tellReader(request: ReaderRequest): void {
    this.#reader?.worker.postMessage(request);
  }

  #startReader(): void {
    this.#reader ??= this.#start('./reader.ts', { slots: this.#shared }, (message: ReaderMessage) => {
      if (message.kind === 'failed') this.#files.fail(message);
      else if (message.kind === 'changed') this.#options.problem({ subject: toText(message.path), kind: 'changed', message: message.message });
      return message.kind === 'ended';
    });
  }

  #startSavers(bytes: number): void {
    this.#submittedBytes += bytes;
    const wanted = this.#submittedBytes >= SECOND_SAVER_FROM ? this.#size.savers : 1;
    while (this.#savers.length < wanted) {
      const { key, index, compression } = this.#options;
      const data: SaverData = {
        slots: this.#shared, claims: this.claims, index: index.shared, packBuffers: this.#packBuffers, key, compression,
      };
      this.#savers.push(this.#start('./saver.ts', data, (message: SaverMessage) => this.#fromSaver(message)));
    }
  }

  #fromSaver(message: SaverMessage): boolean {
    if (message.kind === 'pieces') this.#files.addPieces(Buffer.from(message.records.buffer));
    else if (message.kind === 'pack') this.#store(message);
    return message.kind === 'ended';
  }

  #store({ buffer, length, ...pack }: Extract<SaverMessage, { kind: 'pack' }>): void {
    const shared = this.#packBuffers.buffers[buffer];
    if (!shared) return;
    const storing = this.#options.store({ ...pack, bytes: Buffer.from(shared, 0, length) }).then(
      () => this.#packPool.give(buffer),
      (error: unknown) => this.fail(error),
    );
    this.#storing.add(storing);
    void storing.finally(() => this.#storing.delete(storing));
  }

  /** Starts a thread; `receive` answers true to its last message. */
  #start<M>(file: string, data: object, receive: (message: M) => boolean): { worker: Worker; ended: Promise<void> } {
    const worker = new Worker(new URL(file, import.meta.url), { workerData: data, trackUnmanagedFds: false, resourceLimits: THREAD_LIMITS });
    const ended = new Promise<void>((resolve) => {
      worker.on('message', (message: M) => {
        if (receive(message)) resolve();
      });
    });
    worker.on('error', (error) => this.fail(error));
    worker.on('exit', (code) => {
      if (code !== 0) this.fail(new Error(`a thread of the archive pipeline ended with code ${code}`));
    });
    return { worker, ended };
  }
}
