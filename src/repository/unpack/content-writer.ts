/**
 * Writes the contents of restored files. Files are gathered in batches, each batch is read pack by pack, and at most two batches
 * are under way: memory stays bounded, and since packs were filled in the order of the walk, hardly a pack is read twice.
 */
import { collectWhenGrown } from '../../base/garbage.ts';
import type { ExtractOptions, Problem } from '../entry.ts';
import { toText } from '../../base/raw-name.ts';
import { HoldfastError } from '../../base/errors.ts';
import { Semaphore } from '../../base/semaphore.ts';
import type { TreeNode } from '../format/tree.ts';
import type { UnpackSource } from './unpack-source.ts';
import type { RestoredFile, RestoredMetadata, UnpackRequest } from './messages.ts';
import { blobBytes, locate, planRanges, type PlannedRange, type WantedBlob } from './pack-plan.ts';
import { loadRange } from './load-range.ts';

const BATCH_BLOBS = 4096;
const BATCHES = 2;
/** Bytes of packs that one request covers. */
const REQUEST_BYTES = 4 << 20;

interface Batch {
  readonly files: RestoredFile[];
  readonly wanted: Map<string, Map<string, WantedBlob>>;
  blobs: number;
}

const emptyBatch = (): Batch => ({ files: [], wanted: new Map(), blobs: 0 });

export class ContentWriter {
  readonly #source: UnpackSource;
  readonly #options: ExtractOptions;
  readonly #problems: Problem[];
  readonly #underWay = new Set<Promise<void>>();
  #batch = emptyBatch();
  #bytes = 0;
  #failure: unknown;

  constructor(source: UnpackSource, options: ExtractOptions, problems: Problem[]) {
    this.#source = source;
    this.#options = options;
    this.#problems = problems;
  }

  /** Takes a file on; waits while two batches are under way. */
  async add(metadata: RestoredMetadata, node: TreeNode): Promise<void> {
    const content = node.content ?? [];
    const batch = this.#batch;
    const number = batch.files.length;
    let position = 0;
    for (const id of content) {
      const { pack, blob } = locate(this.#source.index, id, toText(metadata.path));
      let blobs = batch.wanted.get(pack);
      if (!blobs) batch.wanted.set(pack, (blobs = new Map()));
      let wanted = blobs.get(id);
      if (!wanted) blobs.set(id, (wanted = { blob, targets: [] }));
      wanted.targets.push({ file: number, position });
      position += blobBytes(blob);
    }
    if (position !== (node.size ?? 0)) {
      throw new HoldfastError('repository-damaged', `${toText(metadata.path)}: its blobs have ${position} bytes, but the snapshot says ${node.size ?? 0}`);
    }
    batch.files.push({ ...metadata, size: position, chunks: content.length });
    batch.blobs += content.length;
    if (batch.blobs >= BATCH_BLOBS || batch.files.length >= BATCH_BLOBS) await this.#startBatch();
  }

  /** Writes what is left; answers the bytes written in all. */
  async end(): Promise<number> {
    await this.#startBatch();
    await Promise.all(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
    return this.#bytes;
  }

  async #startBatch(): Promise<void> {
    const batch = this.#batch;
    this.#batch = emptyBatch();
    collectWhenGrown();
    while (this.#underWay.size >= BATCHES) await Promise.race(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure;
    const work = this.#write(batch).catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  async #write(batch: Batch): Promise<void> {
    const lists = new Map([...batch.wanted].map(([pack, blobs]) => [pack, [...blobs.values()]]));
    const groups = groupRanges(planRanges(lists));
    await Promise.all(groups.map((ranges) => this.#run(() => this.#request(batch, ranges))));
    const rest = batch.files.filter((file) => file.chunks !== 1);
    for (let i = 0; i < rest.length; i += 512) {
      // A file without chunks is made by `finish`, which creates what is not there.
      const files = rest.slice(i, i + 512);
      await this.#run(() => Promise.resolve({ kind: 'finish', files }));
    }
  }

  async #run(make: () => Promise<UnpackRequest>): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (this.#failure !== undefined) return;
    const done = await this.#source.pool.run(make);
    this.#bytes += done.bytes;
    this.#problems.push(...done.problems);
    this.#options.progress(done.bytes);
  }

  /** Only the files that these ranges touch travel to the thread, numbered anew. */
  async #request(batch: Batch, ranges: readonly PlannedRange[]): Promise<UnpackRequest> {
    const files: RestoredFile[] = [];
    const numbers = new Map<number, number>();
    const numberOf = (file: number): number => {
      const known = numbers.get(file);
      if (known !== undefined) return known;
      const restored = batch.files[file];
      if (restored) files.push(restored);
      numbers.set(file, files.length - 1);
      return files.length - 1;
    };
    const planned = ranges.map(({ wanted, ...range }) => ({
      range, blobs: wanted.map(({ blob }) => blob), targets: wanted.map((item) => item.targets.map(({ file, position }) => ({ file: numberOf(file), position }))),
    }));
    // Scattered blobs are many small ranges, and each is a round trip to a storage that is far away.
    const turns = new Semaphore(this.#source.core.storage.parallel ?? 1);
    const loaded = await Promise.all(planned.map(async ({ range, ...rest }) => ({ ...rest, range: await turns.run(() => loadRange(this.#source.core, range)) })));
    return { kind: 'write', ranges: loaded, files };
  }
}

function groupRanges(ranges: readonly PlannedRange[]): readonly (readonly PlannedRange[])[] {
  const groups: PlannedRange[][] = [];
  let bytes = REQUEST_BYTES;
  for (const range of ranges) {
    if (bytes >= REQUEST_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(range);
    bytes += range.length;
  }
  return groups;
}
