/** What all benches share: their options, and the order of the tools. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export interface BenchOptions {
  readonly runs: number;
  /** Where data and repositories are put. */
  readonly cache: string;
  /** 1, or less for a trial of the harness. */
  readonly scale: number;
  /** Leave the repositories of the last round. */
  readonly keep: boolean;
  /** Seconds to wait, before each run, for others on the machine to be quiet. */
  readonly patience: number;
  /** Measure ourselves only. */
  readonly alone: boolean;
}

/** The tools in the order of this round: each is first as often as the others. */
export function orderOf<Tool>(tools: readonly Tool[], round: number): readonly Tool[] {
  const shift = round % tools.length;
  return [...tools.slice(shift), ...tools.slice(0, shift)];
}

/** A folder for the repositories of a bench; empty, and removed at the end unless it is to be kept. */
export function workFolder(name: string, { cache, keep }: BenchOptions): Disposable & { readonly folder: string; clear(): void } {
  const folder = join(cache, 'runs', name);
  const clear = (): void => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  };
  clear();
  return {
    folder, clear,
    [Symbol.dispose]() {
      if (keep) console.log(`kept: ${folder}`);
      else rmSync(folder, { recursive: true, force: true });
    },
  };
}
