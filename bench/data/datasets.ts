/** The folders that the directory benches back up. Each is made from its name alone. */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { account, document, event, TEXT_LINES } from './line.ts';
import { noise, Random } from './random.ts';

export interface Dataset {
  readonly name: string;
  readonly holds: string;
  /** Whether an edit of a file gives new bytes that do not compress. */
  readonly noise: boolean;
  /** Fills an empty folder. `scale` makes it smaller, for a trial. */
  fill(folder: string, scale: number): void;
}

export const DATASETS: readonly Dataset[] = [
  { name: 'directory-mixed', holds: '1.5 GB: COPY text of a database, and mixed text files', noise: false, fill: fillMixed },
  { name: 'directory-incompressible', holds: '300 files of 0.5 to 8 MB of random bytes', noise: true, fill: fillIncompressible },
  { name: 'directory-small', holds: '50,000 text files of 0.2 to 40 kB in 2,000 folders', noise: false, fill: fillSmall },
];

type Line = (random: Random, number: number) => string;

/** Writes lines until the file has its size. */
function writeLines(path: string, random: Random, line: Line, bytes: number): void {
  const file = openSync(path, 'wx');
  try {
    let written = 0;
    for (let number = 1; written < bytes; ) {
      let text = '';
      while (text.length < Math.min(1 << 20, bytes - written)) text += line(random, number++);
      written += writeSync(file, text);
    }
  } finally {
    closeSync(file);
  }
}

function fillMixed(folder: string, scale: number): void {
  const tables: readonly [string, Line, number][] = [['accounts', account, 300e6], ['documents', document, 350e6], ['events', event, 150e6]];
  mkdirSync(join(folder, 'dump'));
  for (const [name, line, bytes] of tables) writeLines(join(folder, 'dump', `${name}.copy`), new Random(name), line, bytes * scale);
  fillText(folder, new Random('mixed'), 2400 * scale, 60, [20_000, 1_200_000]);
}

function fillSmall(folder: string, scale: number): void {
  fillText(folder, new Random('small'), 50_000 * scale, 25, [200, 40_000]);
}

function fillText(folder: string, random: Random, files: number, perFolder: number, [least, most]: readonly [number, number]): void {
  for (let number = 0; number < files; number++) {
    const place = Math.floor(number / perFolder);
    const inside = join(folder, `group-${place % 20}`, `folder-${place}`);
    if (number % perFolder === 0) mkdirSync(inside, { recursive: true });
    const line = TEXT_LINES[random.uint32() % TEXT_LINES.length];
    if (line !== undefined) writeLines(join(inside, `${random.hex(8)}-${number}.txt`), random, line, random.size(least, most));
  }
}

function fillIncompressible(folder: string, scale: number): void {
  const random = new Random('incompressible');
  for (let number = 0; number < 300 * scale; number++) {
    const inside = join(folder, `folder-${number % 10}`);
    mkdirSync(inside, { recursive: true });
    writeFileSync(join(inside, `${number}.bin`), noise(`file ${number}`, random.size(500_000, 8_000_000)));
  }
}
