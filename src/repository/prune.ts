/**
 * Carries a plan out, under an exclusive lock. Whatever it dies of, every snapshot stays whole, and running it again ends the work:
 *
 * 1. What is needed of packs that go is moved into new packs, which are read back and named in new index files. Dying here leaves
 *    blobs stored twice; the next run keeps the copies in the new packs.
 * 2. New index files name what the replaced ones named and stays, and one carries the marks of everything that goes. Dying here
 *    leaves both: a mark of a pack that an index still names is void.
 * 3. The replaced index files are removed. From here on nothing names the packs that go, and no writer takes up what is marked.
 * 4. Packs whose time has come are removed. Dying here leaves marks, and the next run goes on.
 * 5. The file of the marks is replaced by one of those that are left.
 */
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import { listIds, saveDocument, type Core } from './core.ts';
import { chosenPacks, EntrySet } from './entry-set.ts';
import { formatDate } from './format/go-time.ts';
import { encodeIndex, type PackMark } from './format/index-file.ts';
import { saveIndex } from './index-loader.ts';
import { replacementPacks } from './index-rewrite.ts';
import { appendOnly, type PlannedPrune, type PruneOptions } from './prune-plan.ts';
import { transfer } from './transfer.ts';

/** Under an exclusive lock nobody else writes; the margin is for clocks that differ. */
const SWEEP_MARGIN_MS = 60 * 60_000;

/** A file that an object lock, or nobody knows what, kept from being removed. */
export interface KeptFile {
  readonly kind: 'pack' | 'index';
  readonly id: string;
  readonly message: string;
}

export interface PruneReport {
  readonly packsRemoved: number;
  readonly bytesRemoved: number;
  readonly packsMarked: number;
  /** Blobs moved, and the packs that they are in now. */
  readonly blobsMoved: number;
  readonly packsWritten: number;
  readonly bytesWritten: number;
  readonly indexFilesRemoved: number;
  /** They stay until their lock ends; the next run tries again. */
  readonly kept: readonly KeptFile[];
  /** What unfinished writes had left. */
  readonly temporary: number;
}

export async function executePrune(core: Core, planned: PlannedPrune, options: PruneOptions): Promise<PruneReport> {
  const { plan } = planned;
  if (!plan.idle) await proveRemoval(core);
  if (!plan.idle) await proveListing(core, plan.snapshots);
  const moved = await repack(core, planned, options);
  options.signal.throwIfAborted();
  const removing = new Map(plan.expired.map(({ id, size }) => [id, size]));
  const marks = allMarks(planned, options);
  if (plan.graceMs === 0) for (const { action, id, size } of plan.packs) if (action === 'repack') removing.set(id, size ?? 0);
  const marksFile = plan.idle ? undefined : await writeIndexes(core, planned, marks);
  const kept: KeptFile[] = [];
  options.step('removing what is not needed');
  const indexFilesRemoved = (await removeAll(core, 'index', plan.indexFiles, kept)).length;
  for (const pack of stillNamed(planned, kept)) removing.delete(pack);
  options.signal.throwIfAborted();
  const removed = await removeAll(core, 'pack', [...removing.keys()], kept);
  await dropMarks(core, marks, marksFile, new Set(removed), kept);
  const temporary = (await core.storage.sweep?.(new Date(options.clock.now().getTime() - SWEEP_MARGIN_MS))) ?? 0;
  return {
    packsRemoved: removed.length, bytesRemoved: removed.reduce((sum, id) => sum + (removing.get(id) ?? 0), 0), packsMarked: marks.length - removed.length,
    blobsMoved: moved.blobs, packsWritten: moved.packs, bytesWritten: moved.packedBytes, indexFilesRemoved, kept, temporary,
  };
}

/** Before anything is moved: can a file be removed that was just written? Where an object lock keeps all that is written, that says nothing. */
async function proveRemoval(core: Core): Promise<void> {
  if (core.storage.keepDays !== undefined) return;
  const id = await saveDocument(core, 'index', encodeIndex([]));
  await core.storage.remove({ kind: 'index', id }).catch((error: unknown) => {
    throw isHoldfastError(error, 'storage-denied') ? appendOnly(core, error) : error;
  });
}

/**
 * A listing that ended early looks like one that is complete, and what the snapshots need that it left out would be removed. So two
 * listings must agree; under the exclusive lock no snapshot comes or goes between them.
 */
async function proveListing(core: Core, planned: number): Promise<void> {
  const again = (await listIds(core.storage, 'snapshot')).length;
  if (again === planned) return;
  throw new HoldfastError('storage-failed', `${core.storage.location} lists ${again} snapshots and listed ${planned} a moment ago; nothing was removed`, {
    hint: 'Run it again. A storage that does not always list all that it has must not be pruned.',
  });
}

async function repack(core: Core, { plan, index, used }: PlannedPrune, options: PruneOptions): Promise<Pick<Awaited<ReturnType<typeof transfer>>, 'blobs' | 'packs' | 'packedBytes'>> {
  if (plan.repackBytes === 0) return { blobs: 0, packs: 0, packedBytes: 0 };
  options.step('moving what is needed into new packs');
  const chosen = new EntrySet(index.count);
  const moving = new Set(plan.packs.filter(({ action }) => action === 'repack').map(({ id }) => index.numberOfPack(id)));
  for (let number = 0; number < index.count; number++) if (used.has(number) && moving.has(index.packNumber(number))) chosen.add(number);
  try {
    return await transfer({
      from: core, to: core, packs: chosenPacks(index, chosen), clock: options.clock, signal: options.signal,
      progress: (bytes) => options.progress(bytes, plan.repackBytes),
    });
  } catch (error) {
    if (!isHoldfastError(error, 'repository-damaged')) throw error;
    throw new HoldfastError('repository-damaged', error.message, { hint: 'Nothing was removed. Run `holdfast check --read-data` to see how far the damage goes, then `holdfast repair packs`.', cause: error });
  }
}

/** Those that wait, those whose time has come (until they are gone), and those that were emptied. */
function allMarks({ plan, marks }: PlannedPrune, { clock }: PruneOptions): readonly PackMark[] {
  const time = formatDate(clock.now());
  const known = new Map(marks.map((mark) => [mark.id, mark]));
  const unnamed = [...plan.waiting, ...plan.expired].map(({ id, size }) => known.get(id) ?? { id, time, size });
  const emptied = plan.packs.flatMap(({ action, id, size }) => (action === 'repack' ? [{ id, time, size: size ?? 0 }] : []));
  return [...unnamed, ...emptied];
}

/** Answers the id of the file with the marks; undefined when there are none. */
async function writeIndexes(core: Core, { plan, index, adopted, files }: PlannedPrune, marks: readonly PackMark[]): Promise<string | undefined> {
  const keep = new Set(plan.packs.flatMap(({ action, id }) => (action === 'keep' ? [id] : [])));
  const stays = (id: string): boolean => keep.has(id);
  await saveIndex(core, replacementPacks({ index, files, replaced: new Set(plan.indexFiles), stays, added: adopted.filter(({ id }) => stays(id)) }));
  return marks.length === 0 ? undefined : await saveDocument(core, 'index', encodeIndex([], marks));
}

/** Removes files, several at once; answers which are gone. What an object lock keeps is told in `kept`; any other failure is thrown, when all were tried. */
async function removeAll(core: Core, kind: 'pack' | 'index', ids: readonly string[], kept: KeptFile[]): Promise<readonly string[]> {
  const parallel = new Semaphore(core.storage.parallel ?? 4);
  const gone: string[] = [];
  const errors: unknown[] = [];
  await Promise.all(ids.map((id) => parallel.run(async () => {
    try {
      await core.storage.remove({ kind, id });
      gone.push(id);
    } catch (error) {
      if (isHoldfastError(error, 'storage-kept')) kept.push({ kind, id, message: error.message });
      else errors.push(error);
    }
  })));
  if (errors.length > 0) throw errors[0];
  return gone;
}

/** An index file that could not be removed still names its packs: whoever reads it must find them. */
function stillNamed({ files, index }: PlannedPrune, kept: readonly KeptFile[]): readonly string[] {
  const stuck = new Set(kept.filter(({ kind }) => kind === 'index').map(({ id }) => id));
  return files.filter(({ id }) => stuck.has(id)).flatMap(({ content }) => content.packs.map((pack) => index.packs[pack] ?? ''));
}

/** The marks of packs that are gone go with them; the new file stands before the old one is removed. */
async function dropMarks(core: Core, marks: readonly PackMark[], file: string | undefined, gone: ReadonlySet<string>, kept: KeptFile[]): Promise<void> {
  if (file === undefined || gone.size === 0) return;
  const left = marks.filter(({ id }) => !gone.has(id));
  if (left.length > 0) await saveDocument(core, 'index', encodeIndex([], left));
  await removeAll(core, 'index', [file], kept);
}
