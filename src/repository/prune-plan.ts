/**
 * What pruning would do. Snapshots are read before the index, then every tree that they need; a tree or a blob that is not there
 * ends it, for nothing may be removed on the strength of a partial picture.
 */
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { BlobIndex } from './blob-index.ts';
import { listFiles, type Core } from './core.ts';
import { EntrySet } from './entry-set.ts';
import { formatDate, parseTime } from './format/go-time.ts';
import { encodeIndex, encodeIndexedPack, type IndexedPack, type PackMark } from './format/index-file.ts';
import { INDEX_BLOBS, readIndexFiles, readPackHeader, type IndexFile } from './index-loader.ts';
import { decidePacks, type PackDecision, type PackFacts, type PruneLimits } from './prune-decision.ts';
import { listSnapshots, type Snapshot } from './snapshot.ts';
import { usedBlobs, type LostBlob } from './used-blobs.ts';

/** Index files below a sixteenth of the usual size are put together as soon as there are so many. */
const SMALL_INDEX_BYTES = (INDEX_BLOBS / 16) * 48;
const SMALL_INDEXES = 16;

export interface PruneOptions extends PruneLimits {
  /** How long a pack that is not needed stays, in milliseconds: for readers that still know the old index. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  step(sentence: string): void;
  /** Bytes moved since the last call, and in all. */
  progress(bytes: number, total: number): void;
}

/** A pack that is no longer named by an index. */
export interface UnnamedPack {
  readonly id: string;
  readonly size: number;
  /** When it was marked; undefined when that is to be done now. */
  readonly since: Date | undefined;
  readonly reason: string;
}

export interface PrunePlan {
  readonly snapshots: number;
  /** Every pack that an index names. */
  readonly packs: readonly PackDecision[];
  /** Packs without an index that a snapshot needs: they get one. */
  readonly adopted: readonly string[];
  /** Packs that wait: marked before, or now (those that are emptied by moving come in addition). */
  readonly waiting: readonly UnnamedPack[];
  /** Packs whose time has come. */
  readonly expired: readonly UnnamedPack[];
  /** Bytes of blobs: needed; needed by no snapshot; stored more than once. */
  readonly usedBytes: number;
  readonly unusedBytes: number;
  readonly duplicateBytes: number;
  /** Bytes that are moved into new packs. */
  readonly repackBytes: number;
  /** Bytes of files that go now, and that may go after the grace time. Moved bytes are taken off the latter. */
  readonly freesNow: number;
  readonly freesLater: number;
  /** Index files that are replaced. */
  readonly indexFiles: readonly string[];
  readonly graceMs: number;
  readonly warnings: readonly string[];
  /** There is nothing to do at all. */
  readonly idle: boolean;
}

/** The plan, and what carrying it out needs. */
export interface PlannedPrune {
  readonly plan: PrunePlan;
  readonly index: BlobIndex;
  /** The entries that stay, one of each blob that is needed. */
  readonly used: EntrySet;
  readonly adopted: readonly IndexedPack[];
  /** Marks that stay as they are. */
  readonly marks: readonly PackMark[];
  readonly files: readonly IndexFile[];
}

/** Plans. Needs a lock; an exclusive one, when the plan is to be carried out. Throws `repository-damaged`, and `storage-denied` where nothing may be removed. */
export async function planPrune(core: Core, options: PruneOptions): Promise<PlannedPrune> {
  await refuseAppendOnly(core);
  const snapshots = await mend('`holdfast repair snapshots`', () => listSnapshots(core));
  options.step('loading the index');
  const { builder, files } = await mend('`holdfast repair index`', () => readIndexFiles(core));
  const sizes = new Map((await listFiles(core.storage, 'pack')).map(({ id, size }) => [id, size]));
  const index = builder.build(builder.packsBeside(sizes));
  options.step(`looking what ${snapshots.length} snapshots need`);
  const unnamed = [...sizes.keys()].filter((id) => index.numberOfPack(id) < 0);
  const { first, adopted } = await needed(core, index, { snapshots, sizes, unnamed, signal: options.signal });
  const used = keepOneCopy(index, first);
  refuseCut(index, used, sizes);
  const packs = decidePacks(factsOf(index, first, used, sizes), options);
  return assemble({ index, used, adopted, files, packs, sizes, unnamed, snapshots, options });
}

/** Removing what is not there is no error, unless nothing may be removed. Where files are locked that would only leave a note of it. */
async function refuseAppendOnly(core: Core): Promise<void> {
  if (core.storage.keepDays !== undefined) return;
  for (const kind of ['pack', 'index'] as const) {
    await core.storage.remove({ kind, id: '0'.repeat(64) }).catch((error: unknown) => {
      throw isHoldfastError(error, 'storage-denied') ? appendOnly(core, error) : error;
    });
  }
}

export function appendOnly(core: Core, cause: unknown): HoldfastError {
  return new HoldfastError('storage-denied', `the credentials for ${core.storage.location} may not remove files, so nothing can be pruned; nothing was changed`, {
    hint: 'Prune from a host that one trusts, with credentials that may remove files, and leave the ones that only add to those that back up.', cause,
  });
}

async function mend<T>(how: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isHoldfastError(error, 'repository-damaged')) throw error;
    throw new HoldfastError('repository-damaged', error.message, { hint: `Nothing is removed while it is not known what is needed. Mend it first with ${how}.`, cause: error });
  }
}

interface Search {
  readonly snapshots: readonly Snapshot[];
  readonly sizes: ReadonlyMap<string, number>;
  readonly unnamed: readonly string[];
  readonly signal: AbortSignal;
}

/** The first entry of every blob that is needed. Packs that no index names are looked into only when something is missing; those that have it are taken up. */
async function needed(core: Core, index: BlobIndex, { snapshots, sizes, unnamed, signal }: Search): Promise<{ readonly first: EntrySet; readonly adopted: readonly IndexedPack[] }> {
  const adopted: IndexedPack[] = [];
  let headers: readonly IndexedPack[] | undefined;
  for (;;) {
    const lost: LostBlob[] = [];
    const first = await usedBlobs({ core, index, snapshots, signal, lost: (blob) => lost.push(blob) });
    if (lost.length === 0) return { first, adopted };
    headers ??= await readHeaders(core, unnamed, sizes);
    const wanted = new Set(lost.map(({ id, type }) => `${type} ${id}`));
    const helpful = headers.filter((pack) => !adopted.includes(pack) && pack.blobs.some(({ id, type }) => wanted.has(`${type} ${id}`)));
    if (helpful.length === 0) throw partial(lost);
    // A tree that was found again may need more: the walk is begun anew.
    index.extend(Buffer.from(encodeIndex(helpful.map(encodeIndexedPack))));
    adopted.push(...helpful);
  }
}

async function readHeaders(core: Core, ids: readonly string[], sizes: ReadonlyMap<string, number>): Promise<readonly IndexedPack[]> {
  const parallel = new Semaphore(core.storage.parallel ?? 4);
  const read = async (id: string): Promise<readonly IndexedPack[]> => {
    try {
      return [{ id, blobs: await readPackHeader(core, id, sizes.get(id) ?? 0) }];
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
      return [];
    }
  };
  return (await Promise.all(ids.map((id) => parallel.run(() => read(id))))).flat();
}

function partial(lost: readonly LostBlob[]): HoldfastError {
  const [first] = lost;
  const more = lost.length > 1 ? ` (and ${lost.length - 1} more)` : '';
  return new HoldfastError('repository-damaged', `${first?.where ?? ''}: ${first?.message ?? ''}${more}`, {
    hint: 'Nothing is removed while something is missing: it may be what brings it back. Run a backup first, which stores anew what the sources still have; then `holdfast repair index`, and `holdfast repair snapshots` for what stays lost.',
  });
}

/** A pack that was cut short has lost blobs, too. */
function refuseCut(index: BlobIndex, used: EntrySet, sizes: ReadonlyMap<string, number>): void {
  for (let number = 0; number < index.count; number++) {
    if (!used.has(number)) continue;
    const { pack, offset, length } = index.location(number);
    if (offset + length <= (sizes.get(pack) ?? 0)) continue;
    throw new HoldfastError('repository-damaged', `pack ${pack} was cut short: a blob that is needed lies beyond its end`, {
      hint: `Nothing is removed while something is missing. Save what is left of it with \`holdfast repair packs ${pack.slice(0, 12)}\`.`,
    });
  }
}

/** Of a blob that lies in several packs the copy is kept whose pack has the least waste; that is the new one after an interrupted run. */
function keepOneCopy(index: BlobIndex, first: EntrySet): EntrySet {
  const copies = new Map<number, number[]>();
  const wanted = new Float64Array(index.packs.length);
  const all = new Float64Array(index.packs.length);
  const used = new EntrySet(index.count);
  for (let number = 0; number < index.count; number++) {
    const pack = index.packNumber(number);
    const original = index.firstOf(number);
    all[pack] = (all[pack] ?? 0) + index.lengthOf(number);
    if (!first.has(original)) continue;
    wanted[pack] = (wanted[pack] ?? 0) + index.lengthOf(number);
    if (original === number) used.add(number);
    else copies.set(original, [...(copies.get(original) ?? [original]), number]);
  }
  const worth = (number: number): number => (wanted[index.packNumber(number)] ?? 0) / (all[index.packNumber(number)] ?? 1);
  for (const [original, numbers] of copies) {
    used.delete(original);
    used.add(numbers.reduce((best, number) => (worth(number) > worth(best) || (worth(number) === worth(best) && number > best) ? number : best)));
  }
  return used;
}

function factsOf(index: BlobIndex, first: EntrySet, used: EntrySet, sizes: ReadonlyMap<string, number>): readonly PackFacts[] {
  const entries = index.entriesByPack();
  return index.packs.map((id, pack) => {
    const facts = { id, size: sizes.get(id), usedBytes: 0, usedBlobs: 0, unusedBytes: 0, duplicateBytes: 0, trees: false, data: false };
    for (const number of entries.of(pack)) {
      const bytes = index.lengthOf(number);
      if (used.has(number)) {
        facts.usedBytes += bytes;
        facts.usedBlobs++;
      } else if (first.has(index.firstOf(number))) facts.duplicateBytes += bytes;
      else facts.unusedBytes += bytes;
      if (index.isTree(number)) facts.trees = true;
      else facts.data = true;
    }
    return facts;
  });
}

interface Parts extends Omit<PlannedPrune, 'plan' | 'marks'> {
  readonly packs: readonly PackDecision[];
  readonly sizes: ReadonlyMap<string, number>;
  readonly unnamed: readonly string[];
  readonly snapshots: readonly Snapshot[];
  readonly options: PruneOptions;
}

function assemble({ packs, sizes, unnamed, snapshots, options, ...rest }: Parts): PlannedPrune {
  const { index, files, adopted } = rest;
  const taken = new Set(adopted.map(({ id }) => id));
  const known = new Map(index.marks.map((mark) => [mark.id, mark]));
  const now = options.clock.now();
  const left = unnamed.filter((id) => !taken.has(id)).map((id): UnnamedPack => {
    const mark = known.get(id);
    return { id, size: sizes.get(id) ?? 0, since: mark && sinceOf(mark, now), reason: mark ? 'was marked before' : 'no index names it, and nothing in it is needed' };
  });
  const removed = packs.filter(({ action }) => action === 'remove').map(({ id, size = 0, reason }): UnnamedPack => ({ id, size, since: undefined, reason }));
  const candidates = [...left, ...removed];
  const due = ({ since }: UnnamedPack): boolean => (since === undefined ? options.graceMs === 0 : now.getTime() - since.getTime() >= options.graceMs);
  const waiting = candidates.filter((pack) => !due(pack));
  const expired = candidates.filter(due);
  const gone = new Set(packs.filter(({ action }) => action !== 'keep').map(({ id }) => id));
  const repack = packs.filter(({ action }) => action === 'repack');
  const sum = (list: readonly { readonly size?: number | undefined }[]): number => list.reduce((total, { size }) => total + (size ?? 0), 0);
  const total = (of: (pack: PackDecision) => number): number => packs.reduce((bytes, pack) => bytes + of(pack), 0);
  const repackBytes = repack.reduce((bytes, pack) => bytes + pack.usedBytes, 0);
  const emptied = sum(repack) - repackBytes;
  const marks = left.flatMap(({ id, since }) => (since ? [{ id, time: formatDate(since), size: sizes.get(id) ?? 0 }] : []));
  const marksChange = expired.length > 0 || repack.length > 0 || candidates.some(({ since }) => since === undefined);
  const indexFiles = replacedFiles(files, index, gone, marksChange ? undefined : new Set(marks.map(({ id }) => id)));
  const plan: PrunePlan = {
    snapshots: snapshots.length, packs, adopted: [...taken], waiting, expired,
    usedBytes: total(({ usedBytes }) => usedBytes), unusedBytes: total(({ unusedBytes }) => unusedBytes), duplicateBytes: total(({ duplicateBytes }) => duplicateBytes),
    repackBytes, freesNow: sum(expired) + (options.graceMs === 0 ? emptied : 0), freesLater: sum(waiting) + (options.graceMs === 0 ? 0 : emptied),
    indexFiles, graceMs: options.graceMs, warnings: warningsOf(snapshots, packs),
    idle: gone.size === 0 && taken.size === 0 && expired.length === 0 && indexFiles.length === 0 && candidates.every(({ since }) => since !== undefined),
  };
  return { ...rest, plan, marks };
}

/** A mark without a time that can be read counts from now. */
function sinceOf({ time }: PackMark, now: Date): Date {
  try {
    return new Date(Number(parseTime(time) / 1_000_000n));
  } catch {
    return now;
  }
}

/** Files that name what goes; files with marks, when marks change or are void; and many small ones. `marks`: undefined when they change. */
function replacedFiles(files: readonly IndexFile[], index: BlobIndex, gone: ReadonlySet<string>, marks: ReadonlySet<string> | undefined): readonly string[] {
  const small = files.filter(({ size, content }) => size < SMALL_INDEX_BYTES && content.packs.length > 0);
  const merged = new Set(small.length >= SMALL_INDEXES ? small : []);
  const namesGone = ({ content }: IndexFile): boolean => gone.size > 0 && content.packs.some((pack) => gone.has(index.packs[pack] ?? ''));
  const marksChange = ({ content }: IndexFile): boolean => content.marks.some(({ id }) => !marks?.has(id));
  return files.filter((file) => merged.has(file) || namesGone(file) || marksChange(file)).map(({ id }) => id);
}

function warningsOf(snapshots: readonly Snapshot[], packs: readonly PackDecision[]): readonly string[] {
  if (snapshots.length > 0 || packs.length === 0) return [];
  return ['The repository holds no snapshots, so nothing in it is needed: everything goes. If snapshots should be there, stop and bring the folder `snapshots` back.'];
}
