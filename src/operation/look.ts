/** Looking into snapshots: lists of files with what is known of each. */
import { joinRaw, type RawName } from '../base/raw-name.ts';
import type { StoredFiles } from '../repository/repository.ts';

export type SeenFile = Awaited<ReturnType<StoredFiles['details']>>[number] & { readonly path: RawName };

/** The entries of a folder, or of everything below it, in the order of the tree; of a file, itself. */
export async function* walkFiles(files: StoredFiles, path: RawName, recursive: boolean): AsyncIterable<SeenFile> {
  for (const entry of await files.details(path)) {
    const below = joinRaw(path, entry.name);
    yield { ...entry, path: below };
    if (recursive && entry.type === 'dir') yield* walkFiles(files, below, true);
  }
}
