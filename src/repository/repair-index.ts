/**
 * Makes the index say again what is in the packs: packs that no index names are added from their own headers, packs that are not
 * there are dropped, index files that cannot be read are replaced. Nothing but index files is removed, and only when the new ones stand.
 */
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { BlobIndex } from './blob-index.ts';
import type { Core } from './core.ts';
import type { IndexedPack } from './format/index-file.ts';
import type { PackedBlob } from './format/pack-header.ts';
import { readIndexFiles, readPackHeader, type IndexFile } from './index-loader.ts';
import { packSizes } from './pack-sizes.ts';
import { keptMarks, rewriteIndex } from './index-rewrite.ts';

export interface RepairIndexOptions {
  /** Read the header of every pack, also of those that wait to be deleted, and believe nothing that the index says. */
  readonly all: boolean;
  readonly signal: AbortSignal;
  step(sentence: string): void;
}

export interface RepairIndexPlan {
  /** Index files that cannot be read, each with why. */
  readonly damaged: readonly { readonly id: string; readonly message: string }[];
  /** Packs that the index names and that are not there. */
  readonly missing: readonly { readonly id: string; readonly blobs: number }[];
  /** Packs that no index names. */
  readonly added: readonly { readonly id: string; readonly blobs: number }[];
  /** Packs of which the index says something else than their header. */
  readonly changed: readonly string[];
  /** Packs without an index whose header cannot be read: nothing can be had from them. */
  readonly unreadable: readonly { readonly id: string; readonly message: string }[];
  readonly indexFiles: number;
  readonly idle: boolean;
}

export interface PlannedIndex {
  readonly plan: RepairIndexPlan;
  readonly index: BlobIndex;
  readonly files: readonly IndexFile[];
  readonly replaced: ReadonlySet<string>;
  readonly added: readonly IndexedPack[];
  readonly dropped: ReadonlySet<string>;
}

export async function planRepairIndex(core: Core, { all, signal, step }: RepairIndexOptions): Promise<PlannedIndex> {
  step('loading the index');
  const damaged: { id: string; message: string }[] = [];
  const { builder, files } = await readIndexFiles(core, ({ message }, id) => damaged.push({ id, message }));
  const index = builder.build();
  const marked = new Set(index.marks.map(({ id }) => id));
  const sizes = await packSizes(core, index.packs);
  const missing = index.packs.filter((id) => !sizes.has(id));
  const wanted = [...sizes.keys()].filter((id) => all || (index.numberOfPack(id) < 0 && !marked.has(id)));
  if (wanted.length > 0) step(`reading the headers of ${wanted.length} packs`);
  const { headers, unreadable } = await readHeaders(core, wanted, sizes, signal);
  const added = headers.filter(({ id }) => index.numberOfPack(id) < 0);
  const changed = headers.filter((pack) => index.numberOfPack(pack.id) >= 0 && differs(index, pack));
  const dropped = new Set([...missing, ...changed.map(({ id }) => id)]);
  const replaced = new Set([
    ...damaged.map(({ id }) => id),
    ...files.filter(({ content }) => content.packs.some((pack) => dropped.has(index.packs[pack] ?? '')) || (all && content.marks.length > 0)).map(({ id }) => id),
  ]);
  const entries = index.entriesByPack();
  const plan: RepairIndexPlan = {
    damaged, unreadable, changed: changed.map(({ id }) => id),
    missing: missing.map((id) => ({ id, blobs: entries.of(index.numberOfPack(id)).length })),
    added: added.map(({ id, blobs }) => ({ id, blobs: blobs.length })),
    indexFiles: replaced.size, idle: added.length === 0 && replaced.size === 0,
  };
  return { plan, index, files, replaced, added: [...added, ...changed], dropped };
}

/** Under an exclusive lock. Dying between the new files and the removal of the old leaves both; the next run finds the rest. */
export async function executeRepairIndex(core: Core, { plan, index, files, replaced, added, dropped }: PlannedIndex, all: boolean): Promise<{ readonly kept: readonly string[] }> {
  if (plan.idle) return { kept: [] };
  const marks = all ? [] : keptMarks({ index, files, replaced });
  return { kept: await rewriteIndex(core, { index, files, replaced, stays: (id) => !dropped.has(id), added }, marks) };
}

interface Headers {
  readonly headers: readonly IndexedPack[];
  readonly unreadable: readonly { readonly id: string; readonly message: string }[];
}

async function readHeaders(core: Core, ids: readonly string[], sizes: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Headers> {
  const parallel = new Semaphore(core.storage.parallel ?? 4);
  const headers: IndexedPack[] = [];
  const unreadable: { id: string; message: string }[] = [];
  await Promise.all(ids.map((id) => parallel.run(async () => {
    signal.throwIfAborted();
    try {
      headers.push({ id, blobs: await readPackHeader(core, id, sizes.get(id) ?? 0) });
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
      unreadable.push({ id, message: error.message });
    }
  })));
  return { headers: headers.sort((a, b) => (a.id < b.id ? -1 : 1)), unreadable };
}

function differs(index: BlobIndex, { id, blobs }: IndexedPack): boolean {
  const text = (blob: PackedBlob): string => `${blob.type} ${blob.id} ${blob.offset} ${blob.length} ${blob.uncompressedLength}`;
  const known = new Set(Array.from(index.entriesByPack().of(index.numberOfPack(id)), (entry) => text(index.blob(entry))));
  return known.size !== blobs.length || blobs.some((blob) => !known.has(text(blob)));
}

/** For those who need an index that is whole. */
export function needsIndex(error: HoldfastError): HoldfastError {
  return new HoldfastError('repository-damaged', error.message, { hint: 'Mend the index first with `holdfast repair index`.', cause: error });
}
