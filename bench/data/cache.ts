/**
 * Data is made once and kept between runs. A marker says that it is whole, and by which code it was made; who changes the data
 * takes the marker away first.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset } from './datasets.ts';

export interface Cached {
  /** What is backed up. */
  readonly folder: string;
  /** Says that the data is not as it was made, until `whole` says so. */
  changed(): void;
  whole(): void;
}

/** The folder of a dataset, made now if it is not there as today's code would make it. */
export function cachedDataset(dataset: Dataset, cache: string, scale: number): Cached {
  const place = join(cache, scale === 1 ? dataset.name : `${dataset.name}-${scale}`);
  const folder = join(place, 'files');
  const marker = new Marker(place);
  if (!marker.isWhole()) {
    console.log(`making ${dataset.name} (${dataset.holds}${scale === 1 ? '' : `, times ${scale}`}) in ${place}`);
    rmSync(place, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    dataset.fill(folder, scale);
    marker.whole();
  }
  return { folder, changed: () => marker.changed(), whole: () => marker.whole() };
}

/** The file that says that the data beside it is whole. It holds the digest of the code that makes data. */
export class Marker {
  readonly #path: string;

  constructor(place: string) {
    this.#path = join(place, 'whole');
  }

  isWhole(): boolean {
    try {
      return readFileSync(this.#path, 'utf8') === RECIPE;
    } catch {
      return false;
    }
  }

  whole(): void {
    writeFileSync(this.#path, RECIPE);
  }

  changed(): void {
    rmSync(this.#path, { force: true });
  }
}

const MAKERS = ['random.ts', 'line.ts', 'datasets.ts', '../postgres/database.ts'];

/** Of the code as it was when this process loaded it. */
const RECIPE = recipe();

function recipe(): string {
  const hash = createHash('sha256');
  for (const maker of MAKERS) hash.update(readFileSync(join(import.meta.dirname, maker)));
  return hash.digest('hex');
}
