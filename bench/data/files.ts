/** Walking folders: sizes, and bringing them into the page cache. */
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bash, quietly, quoted } from '../measure/measure.ts';

export interface FoundFile {
  readonly path: string;
  readonly bytes: number;
}

/** All regular files below a folder, in the same order each time. Symbolic links are not followed. */
export function filesOf(folder: string): FoundFile[] {
  return pathsOf(folder)
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((path) => ({ path, bytes: statSync(path).size }));
}

/** Not the recursive `readdirSync`, which follows links to folders. */
function pathsOf(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? pathsOf(path) : entry.isFile() ? [path] : [];
  });
}

/** The bytes of a file, or of all files below a folder. */
export function bytesOf(path: string): number {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return filesOf(path).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Reads everything once, so that no tool pays for being the first. */
export function warm(path: string): void {
  const buffer = Buffer.alloc(1 << 20);
  const paths = statSync(path).isDirectory() ? filesOf(path).map((file) => file.path) : [path];
  for (const each of paths) {
    const file = openSync(each, 'r');
    while (readSync(file, buffer) > 0);
    closeSync(file);
  }
}

/** The same for the files of a running server, which come and go. */
export function warmLive(folder: string): void {
  quietly(bash(`find ${quoted(folder)} -type f -print0 | xargs -0 cat > /dev/null 2>&1 || true`));
}

/** The time of a restore that lost something would mean nothing. */
export function noteDifference(source: string, out: string, tool: string): void {
  const [wanted, got] = [filesOf(source), filesOf(out)];
  const sum = (files: readonly { readonly bytes: number }[]): number => files.reduce((total, { bytes }) => total + bytes, 0);
  if (wanted.length !== got.length || sum(wanted) !== sum(got)) console.error(`${tool} restored ${got.length} files of ${sum(got)} bytes, not ${wanted.length} of ${sum(wanted)}`);
}
