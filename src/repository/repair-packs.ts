/**
 * Saves what can be read of damaged packs into new ones, and takes the old ones out of the index: what was lost in them is then known
 * to be lost, so that the next backup stores it anew where the source still has it. The old packs are not removed but
 * marked: `prune` removes them after its grace time, and until then somebody may try to read them in another way.
 */
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import type { BlobIndex } from './blob-index.ts';
import type { Core } from './core.ts';
import { packSizes } from './pack-sizes.ts';
import { formatDate } from './format/go-time.ts';
import type { IndexedPack } from './format/index-file.ts';
import type { PackedBlob } from './format/pack-header.ts';
import { readIndexFiles, readPackHeader, type IndexFile } from './index-loader.ts';
import { keptMarks, rewriteIndex } from './index-rewrite.ts';
import { needsIndex } from './repair-index.ts';
import { transfer } from './transfer.ts';
import { loadRange } from './unpack/load-range.ts';
import { UnpackerPool } from './unpack/unpacker-pool.ts';

export interface RepairPacksOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  progress(bytes: number): void;
}

export interface DamagedPack {
  readonly id: string;
  /** Undefined when there is no such file. */
  readonly size: number | undefined;
  readonly readable: number;
  /** Blobs that cannot be read, and are in no other pack. */
  readonly lost: readonly { readonly id: string; readonly type: 'data' | 'tree' }[];
  /** Nothing is wrong with it. */
  readonly sound: boolean;
}

export interface PlannedPacks {
  readonly packs: readonly DamagedPack[];
  readonly index: BlobIndex;
  readonly files: readonly IndexFile[];
  /** What is to be saved of each. */
  readonly salvage: readonly IndexedPack[];
}

/** Reads these packs whole; ids may be cut short. Throws `file-missing` for one that nobody knows. */
export async function planRepairPacks(core: Core, prefixes: readonly string[], options: RepairPacksOptions): Promise<PlannedPacks> {
  const { builder, files } = await readIndexFiles(core, (error) => {
    throw needsIndex(error);
  });
  const sizes = await packSizes(core, builder.packsBeside(new Set()));
  const known = new Set([...builder.packsBeside(new Set()), ...sizes.keys()]);
  const chosen = new Set(prefixes.map((prefix) => complete(core, prefix, known)));
  // What the index finds is then what can be had without these packs.
  const index = builder.build([...chosen, ...builder.packsBeside(sizes)]);
  const packs: DamagedPack[] = [];
  const salvage: IndexedPack[] = [];
  await using pool = new UnpackerPool(core);
  for (const id of chosen) {
    options.signal.throwIfAborted();
    const size = sizes.get(id);
    const blobs = await blobsOf(core, index, id, size);
    const { lost, problems } = await examine(core, pool, id, size, blobs);
    options.progress(size ?? 0);
    const isLost = new Set(lost);
    const elsewhere = ({ id: blob, type }: PackedBlob): boolean => liesBeside(index, blob, type, sizes);
    packs.push({
      id, size, readable: blobs.length - lost.length, sound: problems === 0 && lost.length === 0 && size !== undefined,
      lost: blobs.filter((blob, at) => isLost.has(at) && !elsewhere(blob)).map((blob) => ({ id: blob.id, type: blob.type })),
    });
    salvage.push({ id, blobs: blobs.filter((blob, at) => !isLost.has(at) && !elsewhere(blob)) });
  }
  return { packs, index, files, salvage };
}

function complete(core: Core, prefix: string, known: ReadonlySet<string>): string {
  const found = /^[0-9a-f]{6,64}$/.test(prefix) ? [...known].filter((id) => id.startsWith(prefix)) : [];
  const [id] = found;
  if (id !== undefined && found.length === 1) return id;
  throw new HoldfastError('file-missing', `${found.length === 0 ? 'no pack has an id that begins' : `${found.length} packs have ids that begin`} with '${prefix}' in ${core.storage.location}`, {
    hint: '`holdfast check --read-data` names the packs that are damaged. Give at least 6 digits of the id.',
  });
}

/** What the index says, and the header in addition, as far as it can be read. */
async function blobsOf(core: Core, index: BlobIndex, id: string, size: number | undefined): Promise<readonly PackedBlob[]> {
  const number = index.numberOfPack(id);
  const indexed = number < 0 ? [] : Array.from(index.entriesByPack().of(number), (entry) => index.blob(entry));
  const known = new Set(indexed.map(({ offset }) => offset));
  const header = size === undefined ? [] : await readPackHeader(core, id, size).catch((error: unknown) => {
    if (!isHoldfastError(error, 'repository-damaged')) throw error;
    return [];
  });
  return [...indexed, ...header.filter(({ offset }) => !known.has(offset))].sort((a, b) => a.offset - b.offset);
}

async function examine(core: Core, pool: UnpackerPool, pack: string, size: number | undefined, blobs: readonly PackedBlob[]): Promise<{ readonly lost: readonly number[]; readonly problems: number }> {
  if (size === undefined) return { lost: [...blobs.keys()], problems: 1 };
  const { lost = [], problems } = await pool.run(async () => ({ kind: 'verify', range: await loadRange(core, { pack, offset: 0, length: size }), indexed: blobs }));
  return { lost, problems: problems.length };
}

/** Does the blob lie in another pack, too, as far as can be told without reading it? */
function liesBeside(index: BlobIndex, id: string, type: 'data' | 'tree', sizes: ReadonlyMap<string, number>): boolean {
  const location = index.locate(id, type);
  return location !== undefined && (sizes.get(location.pack) ?? 0) >= location.offset + location.length;
}

export interface RepairPacksReport {
  readonly packsWritten: number;
  readonly blobsSaved: number;
  /** Of packs that were left as they are, since nothing is wrong with them. */
  readonly leftAlone: readonly string[];
}

/** Under an exclusive lock: new packs and their index first, then the old packs leave the index, and last they are marked. */
export async function executeRepairPacks(core: Core, { packs, index, files, salvage }: PlannedPacks, options: RepairPacksOptions): Promise<RepairPacksReport> {
  const leftAlone = packs.filter(({ sound }) => sound).map(({ id }) => id);
  const damaged = new Map(packs.filter(({ sound }) => !sound).map((pack) => [pack.id, pack]));
  if (damaged.size === 0) return { packsWritten: 0, blobsSaved: 0, leftAlone };
  const moved = await transfer({
    from: core, to: core, packs: salvage.filter(({ id }) => damaged.has(id)), clock: options.clock, signal: options.signal,
    progress: (bytes) => options.progress(bytes),
    // It could be read a moment ago. Bytes that went bad since are as lost as the rest; a storage that does not answer proves nothing.
    unreadable: ({ error }) => {
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
    },
  });
  const time = formatDate(options.clock.now());
  const replaced = new Set(files.filter(({ content }) => content.packs.some((pack) => damaged.has(index.packs[pack] ?? ''))).map(({ id }) => id));
  const marks = [...damaged.values()].flatMap(({ id, size }) => (size === undefined ? [] : [{ id, time, size }]));
  await rewriteIndex(core, { index, files, replaced, stays: (id) => !damaged.has(id), added: [] }, [...keptMarks({ index, files, replaced }), ...marks]);
  return { packsWritten: moved.packs, blobsSaved: moved.blobs, leftAlone };
}
