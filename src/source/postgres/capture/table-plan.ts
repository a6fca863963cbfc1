/** What a capture does about each table: which ranges it has, what is read, and what is taken over from the snapshot before. */
import type { CatalogTable } from '../catalog.ts';
import { tableFile, tableFolder } from '../file-name.ts';
import type { PieceManifest, ServerSums, Split } from '../manifest.ts';
import type { PreviousDatabase } from './previous.ts';
import type { Range, SplitSizes } from './table-layout.ts';

export interface PlanOptions {
  /** Ask the server for fingerprints, to take over what has not changed. */
  readonly frugal: boolean;
  readonly previous: PreviousDatabase | undefined;
  /** In place of our own. */
  readonly sizes: SplitSizes | undefined;
  step(sentence: string): void;
}

/** The rows of a range as the server counted them. */
export interface Counted {
  readonly rows: number;
  readonly sums: ServerSums;
}

export interface PlannedPiece {
  /** Within the folder `data`. */
  readonly file: string;
  readonly range: Range;
  /** Undefined where the server was not asked. */
  readonly counted?: Counted | undefined;
  /** Of the snapshot before, with equal content. */
  readonly same?: PieceManifest | undefined;
  /** The rows of `same` lie in other ranges now: they can only be taken over. */
  readonly elsewhere?: boolean | undefined;
}

export interface PlannedTable {
  readonly table: CatalogTable;
  readonly split: Split | undefined;
  readonly pieces: readonly PlannedPiece[];
}

export interface CountedRange extends Pick<PlannedPiece, 'range' | 'counted' | 'same' | 'elsewhere'> {}

/** Gives the ranges their files. */
export function planTable(table: CatalogTable, split: Split | undefined, ranges: readonly CountedRange[]): PlannedTable {
  const files = split === undefined ? [tableFile(table.schema, table.name)] : ranges.map((_, n) => `${tableFolder(table.schema, table.name)}/${String(n + 1).padStart(5, '0')}.copy`);
  return { table, split, pieces: ranges.map((range, n) => ({ ...range, file: files[n] ?? '' })) };
}

export function filesOf({ pieces }: PlannedTable): readonly string[] {
  return pieces.map(({ file }) => file);
}

export function addSums(all: readonly ServerSums[]): ServerSums {
  const [low, high] = [0, 1].map((seed) => all.reduce((sum, one) => sum + BigInt(one[seed === 0 ? 0 : 1]), 0n).toString());
  return [low ?? '0', high ?? '0'];
}

export const sameCount = (a: Counted, b: Counted): boolean => a.rows === b.rows && a.sums[0] === b.sums[0] && a.sums[1] === b.sums[1];
