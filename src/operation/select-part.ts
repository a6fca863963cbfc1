/** Which snapshot answers a wish for a part of a database: the newest that holds it, be it of the whole store or of a part. */
import type { Repository, Snapshot } from '../repository/repository.ts';
import { tagValue } from '../repository/repository.ts';
import type { StoreManifest } from '../source/source.ts';
import { readManifest } from './manifest.ts';
import { selectSnapshot, type Selection } from './select.ts';

export interface Wish {
  readonly tables?: readonly string[] | undefined;
  readonly only?: 'schema' | 'data' | undefined;
}

/** Throws `snapshot-missing`. */
export async function selectFor(repository: Repository, snapshots: readonly Snapshot[], selection: Selection, wish: Wish | undefined): Promise<Snapshot> {
  if (selection.snapshot !== undefined || wish === undefined || (wish.tables === undefined && wish.only === undefined)) return selectSnapshot(snapshots, selection);
  const { stack, store, at } = selection;
  const until = at?.getTime() ?? Number.POSITIVE_INFINITY;
  const own = snapshots.filter((one) => tagValue(one, 'stack') === stack && tagValue(one, 'store') === store && Date.parse(one.time) <= until);
  // Newest first; a snapshot of a part is looked into only while it is newer than every whole one.
  for (const snapshot of own.toReversed()) {
    const tag = tagValue(snapshot, 'part');
    if (tag === undefined) return snapshot;
    if (/^(?:schema|data|tables)/.test(tag) && (await answers(repository, snapshot, wish))) return snapshot;
  }
  return selectSnapshot(snapshots, selection);
}

async function answers(repository: Repository, snapshot: Snapshot, wish: Wish): Promise<boolean> {
  await using opened = await repository.files(snapshot);
  return holds((await readManifest(opened.files)).content, wish);
}

/** Does a snapshot of a part hold all that is wished for? */
export function holds({ part }: Pick<StoreManifest, 'part'>, { tables, only }: Wish): boolean {
  if (part?.only !== undefined && part.only !== only) return false;
  if (part?.tables === undefined) return true;
  // Only what was asked for in the same words, or within a pattern, is sure to be there as a whole.
  return tables?.every((wanted) => part.tables?.some((pattern) => covers(pattern, wanted)) === true) === true;
}

function covers(pattern: string, wanted: string): boolean {
  return new RegExp(`^${pattern.split('*').map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`, 'su').test(wanted);
}
