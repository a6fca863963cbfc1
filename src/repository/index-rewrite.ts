/** Replaces index files: the new ones stand before the old ones are removed, so that dying in between leaves both, which may overlap. */
import { isHoldfastError } from '../base/errors.ts';
import type { BlobIndex } from './blob-index.ts';
import type { Core } from './core.ts';
import type { IndexedPack, PackMark } from './format/index-file.ts';
import { saveIndex, type IndexFile } from './index-loader.ts';

export interface IndexRewrite {
  readonly index: BlobIndex;
  readonly files: readonly IndexFile[];
  /** Ids of the files that are replaced. */
  readonly replaced: ReadonlySet<string>;
  /** Does a pack stay that one of them names? */
  stays(pack: string): boolean;
  /** Packs that are named in addition. */
  readonly added: readonly IndexedPack[];
}

/** What the new files name: each pack once, and not what a file names that stays. */
export function* replacementPacks({ index, files, replaced, stays, added }: IndexRewrite): Generator<IndexedPack> {
  const elsewhere = new Set(files.flatMap(({ id, content }) => (replaced.has(id) ? [] : content.packs)));
  const numbers = new Set(files.flatMap(({ id, content }) => (replaced.has(id) ? content.packs : [])));
  const entries = index.entriesByPack();
  for (const number of numbers) {
    const id = index.packs[number] ?? '';
    if (stays(id) && !elsewhere.has(number)) yield { id, blobs: Array.from(entries.of(number), (entry) => index.blob(entry)) };
  }
  yield* added;
}

/** Marks of the replaced files that still hold. */
export function keptMarks({ index, files, replaced }: Pick<IndexRewrite, 'index' | 'files' | 'replaced'>): readonly PackMark[] {
  const marked = new Set(files.flatMap(({ id, content }) => (replaced.has(id) ? content.marks.map((mark) => mark.id) : [])));
  return index.marks.filter(({ id }) => marked.has(id));
}

/** Writes the new files and removes the old; answers those that an object lock keeps. What they name stays named for so long. */
export async function rewriteIndex(core: Core, rewrite: IndexRewrite, marks: readonly PackMark[]): Promise<readonly string[]> {
  await saveIndex(core, replacementPacks(rewrite), marks);
  const kept: string[] = [];
  for (const id of rewrite.replaced) {
    try {
      await core.storage.remove({ kind: 'index', id });
    } catch (error) {
      if (!isHoldfastError(error, 'storage-kept')) throw error;
      kept.push(id);
    }
  }
  return kept;
}
