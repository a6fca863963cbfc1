/** Stores packs and writes the index files that name them. Order: a pack is durable before an index names it. */
import type { Clock } from '../base/clock.ts';
import { saveDocument, type Core } from './core.ts';
import type { BlobIndex } from './blob-index.ts';
import { encodeIndex } from './format/index-file.ts';
import { INDEX_BLOBS } from './index-loader.ts';
import type { FilledPack } from './pipeline/pipeline.ts';
import { saveProven } from './save-proven.ts';

/** restic writes an index file when it is so old. */
const INDEX_MS = 10 * 60_000;

export class PackStore {
  readonly #core: Core;
  readonly #clock: Clock;
  readonly #known: BlobIndex | undefined;
  #entries: string[] = [];
  #blobs = 0;
  #lastIndexMs: number;
  packs = 0;
  blobs = 0;
  /** Bytes of packs as stored, and of their blobs before compression. */
  packedBytes = 0;
  plainBytes = 0;
  /** Ids of the index files that were written. */
  readonly indexFiles: string[] = [];

  /** `known` learns of the packs once an index file names them. */
  constructor(core: Core, clock: Clock, known?: BlobIndex) {
    this.#core = core;
    this.#clock = clock;
    this.#known = known;
    this.#lastIndexMs = clock.elapsedMs();
  }

  /** Stores a pack and reads it back; it counts only when it is there as it was written. */
  async store(pack: FilledPack): Promise<void> {
    const file = { kind: 'pack', id: pack.id } as const;
    await saveProven(this.#core.storage, file, pack.bytes, { keep: pack.keep });
    this.#entries.push(pack.indexEntry);
    this.#blobs += pack.blobs;
    this.packs++;
    this.blobs += pack.blobs;
    this.packedBytes += pack.bytes.length;
    this.plainBytes += pack.plainBytes;
    if (this.#blobs >= INDEX_BLOBS || this.#clock.elapsedMs() - this.#lastIndexMs > INDEX_MS) await this.writeIndex();
  }

  /** Writes an index file of all packs that none names yet. */
  async writeIndex(): Promise<void> {
    if (this.#entries.length === 0) return;
    const json = encodeIndex(this.#entries);
    this.#entries = [];
    this.#blobs = 0;
    this.#lastIndexMs = this.#clock.elapsedMs();
    const id = await saveDocument(this.#core, 'index', json);
    this.#known?.extend(Buffer.from(json));
    this.indexFiles.push(id);
  }
}
