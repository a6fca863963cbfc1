/** Files that a program of `build/` writes: put in place, or compared with what is there. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

interface GeneratedFile {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
}

/** Writes the files; with `--check` on the command line compares them instead. The result is the exit code. */
export async function writeOrCheck(root: string, files: readonly GeneratedFile[], command: string): Promise<number> {
  const stale: string[] = [];
  for (const { path, text } of files) {
    const present = await readFile(join(root, path), 'utf8').catch(() => undefined);
    if (present === text) continue;
    stale.push(path);
    if (process.argv.includes('--check')) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    console.log(`wrote ${path}`);
  }
  if (stale.length === 0) console.log(`${files.length} generated files are up to date`);
  if (stale.length === 0 || !process.argv.includes('--check')) return 0;
  console.error(`out of date: ${stale.join(', ')}; run \`${command}\` and commit`);
  return 1;
}
