/** Changes one percent of a folder, and takes it back. */
import { appendFileSync, closeSync, openSync, readFileSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { filesOf, type FoundFile } from './files.ts';
import { noise, Random } from './random.ts';

const LARGE = 16e6;

/**
 * Large files get four edits of a quarter percent each, with bytes that compress as the rest does; of the other files one
 * in a hundred gets a new line at its end, or new noise. Returns what undoes it.
 */
export function modify(folder: string, round: number, withNoise: boolean): () => void {
  const random = new Random(`modify ${round}`);
  const files = filesOf(folder);
  const small = files.filter(({ bytes }) => bytes <= LARGE);
  const undo = files.filter(({ bytes }) => bytes > LARGE).flatMap((file) => [0, 1, 2, 3].map(() => edit(file, random)));
  for (const file of choose(small, Math.ceil(small.length / 100), random)) undo.push(withNoise ? rewrite(file, round) : append(file, random));
  return () => undo.toReversed().forEach((step) => step());
}

/** Text from elsewhere in the file with two digits swapped. */
function edit({ path, bytes }: FoundFile, random: Random): () => void {
  const length = Math.floor(bytes / 400);
  const text = read(path, random.between(0, bytes - length), length).toString('latin1');
  const at = random.between(0, bytes - length);
  const before = read(path, at, length);
  const [one, two] = random.share() < 0.5 ? ['3', '7'] : ['1', '8'];
  write(path, at, Buffer.from(text.replaceAll(/\d/g, (digit) => (digit === one ? two : digit === two ? one : digit)), 'latin1'));
  return () => write(path, at, before);
}

function append({ path, bytes }: FoundFile, random: Random): () => void {
  appendFileSync(path, `changed ${random.hex(12)}\n`);
  return () => truncateSync(path, bytes);
}

function rewrite({ path, bytes }: FoundFile, round: number): () => void {
  const before = readFileSync(path);
  writeFileSync(path, noise(`rewritten ${round} ${path.length} ${bytes}`, bytes));
  return () => writeFileSync(path, before);
}

function choose(files: readonly FoundFile[], count: number, random: Random): readonly FoundFile[] {
  const left = [...files];
  return Array.from({ length: Math.min(count, left.length) }).flatMap(() => left.splice(random.between(0, left.length - 1), 1));
}

function read(path: string, at: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  const file = openSync(path, 'r');
  readSync(file, buffer, 0, length, at);
  closeSync(file);
  return buffer;
}

function write(path: string, at: number, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}
