/** Files of an incremental base backup on their way into the repository: what the server says has changed, laid over the files of the snapshot before. */
import { HoldfastError } from '../../base/errors.ts';
import { fromText, type RawName } from '../../base/raw-name.ts';
import { Crc32c } from '../../client/postgres/crc32c.ts';
import type { ManifestFile } from '../../client/postgres/replication/backup-manifest.ts';
import { headBytes, overlay, readHead, wholeBlocks, type IncrementHead } from '../../client/postgres/replication/increment.ts';
import type { ContentSink, EntryFeed, FedFile, FileEntry, Metadata } from '../../repository/entry.ts';
import { Backlog, type Channel } from './backlog.ts';
import type { IncrementalBase, WholeFile } from './incremental.ts';

/** What changed blocks may take up while the files before them are still being read. */
const BACKLOG_BYTES = 8 << 20;

export interface IncrementPlace {
  /** Of the whole file, below the folder of the store. */
  readonly path: RawName;
  /** Of the whole file, as the server's manifest calls it. */
  readonly listed: string;
  /** Of the increment; its size is not that of the file. */
  readonly metadata: Metadata;
}

export class Increments {
  readonly base: IncrementalBase;
  readonly #blockBytes: number;
  readonly #feed: EntryFeed;
  readonly #backlog = new Backlog(BACKLOG_BYTES);
  readonly #files = new Map<string, Promise<WholeFile | undefined>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(base: IncrementalBase, feed: EntryFeed, blockBytes: number) {
    this.base = base;
    this.#feed = feed;
    this.#blockBytes = blockBytes;
  }

  /** A file whose increment comes now. */
  open(place: IncrementPlace): FedFile {
    let held: Buffer = Buffer.alloc(0);
    let channel: Channel | undefined;
    return {
      write: (bytes) => {
        this.throwIfFailed();
        if (channel !== undefined) {
          channel.push(bytes);
          return this.#backlog.room;
        }
        held = Buffer.concat([held, bytes]);
        const start = headBytes(held, this.#blockBytes);
        if (start === undefined || held.length < start) return undefined;
        channel = this.#backlog.open();
        channel.push(held.subarray(start));
        return this.#add(place, readHead(held), channel);
      },
      end: () => {
        if (channel === undefined) throw new HoldfastError('source-failed', `the server has sent an increment of ${place.listed} that ends within its head; nothing was recorded`);
        channel.end();
        return undefined;
      },
    };
  }

  #add({ path, listed, metadata }: IncrementPlace, head: IncrementHead, channel: Channel): Promise<void> | undefined {
    const done = Promise.withResolvers<WholeFile | undefined>();
    this.#files.set(listed, done.promise);
    const size = wholeBlocks(head) * this.#blockBytes;
    const before = fromText(`/${this.base.detail.store}`) + `/${path}`;
    const write = async (sink: ContentSink): Promise<void> => done.resolve(await this.#overlay(before, head, channel, sink));
    // As whole files are cut, so that unchanged chunks are found again.
    const otherwise = { from: 'stream', cut: 'by-length', write } as const;
    const kept = head.blocks.length === 0 ? unchanged(this.base.listed.get(listed), size) : undefined;
    const content: FileEntry['content'] = kept === undefined ? otherwise : { from: 'previous', path: before, kept: () => done.resolve(kept), otherwise };
    return this.#feed.add(path, { type: 'file', name: path.slice(path.lastIndexOf('/') + 1), metadata: { ...metadata, size }, content });
  }

  /** A failure does not fail the archive, whose feed then begins anew: what was written so far is dropped. */
  async #overlay(before: RawName, head: IncrementHead, channel: Channel, sink: ContentSink): Promise<WholeFile | undefined> {
    const sum = new Crc32c();
    let size = 0;
    try {
      this.throwIfFailed();
      await overlay(head, channel, this.base.files.read(before), this.#blockBytes, (bytes) => {
        sum.update(bytes);
        size += bytes.length;
        return sink.write(bytes);
      });
      return { size, crc32c: sum.digest() };
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  /** Ends all that is still being laid over. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#backlog.fail(error);
  }

  /** What kept a file from being made whole. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The whole files by the names of the manifest, when all are written. Throws what kept one from being written. */
  async whole(): Promise<ReadonlyMap<string, WholeFile>> {
    const found = new Map<string, WholeFile>();
    for (const [listed, file] of this.#files) {
      const whole = await file;
      this.throwIfFailed();
      if (whole !== undefined) found.set(listed, whole);
    }
    return found;
  }
}

/** What the manifest before says of a file of which no block has changed; undefined when that does not tell enough. */
function unchanged(before: ManifestFile | undefined, size: number): WholeFile | undefined {
  if (before?.algorithm !== 'CRC32C' || before.checksum === undefined || before.size !== size) return undefined;
  return { size, crc32c: before.checksum };
}
