/**
 * How the rows of a large table are split into ranges, so that two sessions read one table and a frugal backup transfers only the
 * ranges that changed. Every row falls in exactly one range. Pure.
 *
 * Ranges of blocks are read without an index (a TID range scan, Postgres 14 and later): in the order of the disk, and whatever state an
 * index is in. Ranges of a key stay put when rows move about in the table, so frugal backups prefer them; whether an index told the
 * truth is found out by counting (capture-table.ts).
 */
import { identifier, literal } from '../../../client/postgres/sql-quote.ts';
import type { CatalogTable } from '../catalog.ts';
import type { Split, TableManifest } from '../manifest.ts';

/** Undefined: the table is one range. */
export type Layout = (Split & { readonly bounds: readonly string[] }) | undefined;

export interface Range {
  /** The lower bound, as text of the key's type or as a number of a block; undefined: from the beginning. */
  readonly from: string | undefined;
  /** SQL that a row of this range fulfils; empty: all rows. */
  readonly condition: string;
}

const MB = 1024 * 1024;
/** Bytes on disk from which a table is split, and that a range should have. */
const PIECE = 64 * MB;
/** A frugal backup gains from small ranges; but each costs a line in the manifest, so there are about a thousand at most. */
const FRUGAL_PIECE = 1 * MB;
const FRUGAL_THRESHOLD = 8 * MB;
const FRUGAL_PIECES = 1000;
/** The first major version that reads a range of blocks without reading all. */
const TID_RANGE_SCAN = 14;

/** Sizes that tests make small. */
export interface SplitSizes {
  /** Bytes from which a table is split. */
  readonly threshold: number;
  /** Bytes of a range. */
  readonly piece: number;
}

export function splitSizes(size: number, frugal: boolean): SplitSizes {
  if (!frugal) return { threshold: PIECE * 1.5, piece: PIECE };
  return { threshold: FRUGAL_THRESHOLD, piece: Math.min(PIECE, Math.max(FRUGAL_PIECE, size / FRUGAL_PIECES)) };
}

/** The kind of ranges that this table gets. A table that was split stays so until it is much smaller. */
export function chooseSplit(table: CatalogTable, previous: TableManifest | undefined, options: { readonly frugal: boolean; readonly major: number; readonly sizes: SplitSizes }): Split | undefined {
  const { frugal, major, sizes } = options;
  if (table.condition !== '' || table.size < (previous?.split === undefined ? sizes.threshold : sizes.threshold / 4)) return undefined;
  if (frugal && table.key !== undefined) return { by: 'key', ...table.key };
  if (major < TID_RANGE_SCAN) return undefined;
  const before = previous?.split?.by === 'block' ? previous.split.blocks : undefined;
  const wanted = (table.blocks * sizes.piece) / Math.max(1, table.size);
  // What was used before stays while it fits: ranges that move would all be new.
  const blocks = before !== undefined && wanted < before * 2 && wanted > before / 2 ? before : 2 ** Math.max(0, Math.round(Math.log2(wanted)));
  return blocks >= table.blocks ? undefined : { by: 'block', blocks };
}

/** The same split of a table of so many blocks; the last range has no end, for what the table grows meanwhile. */
export function blockLayout(split: Extract<Split, { by: 'block' }>, blocks: number): Layout {
  return { ...split, bounds: Array.from({ length: Math.max(0, Math.ceil(blocks / split.blocks) - 1) }, (_, n) => String((n + 1) * split.blocks)) };
}

export function rangesOf(layout: Layout): readonly Range[] {
  if (layout === undefined) return [{ from: undefined, condition: '' }];
  return [undefined, ...layout.bounds].map((from, n) => ({ from, condition: between(layout, from, layout.bounds[n]) }));
}

/** From `from` to before `to`; undefined is the end of the table. Rows without a key belong to the first range. */
export function between(split: Split, from: string | undefined, to: string | undefined): string {
  const lower = from === undefined ? [] : [`${position(split)} >= ${bound(split, from)}`];
  if (to === undefined) return lower.join('');
  const upper = `${position(split)} < ${bound(split, to)}`;
  const orNone = split.by === 'key' && from === undefined ? `(${upper} OR ${position(split)} IS NULL)` : upper;
  return [...lower, orNone].join(' AND ');
}

/** What the bounds are compared with. */
export function position(split: Split): string {
  return split.by === 'key' ? identifier(split.column) : 'ctid';
}

export function bound(split: Split, text: string): string {
  return split.by === 'key' ? `${literal(text)}::${split.type}` : `'(${text},0)'::pg_catalog.tid`;
}

/** SQL that numbers the ranges of a key from 0, as `rangesOf` orders them. `width_bucket` compares like the index does, with the column's own collation. */
export function rangeNumber(split: Extract<Split, { by: 'key' }>, bounds: readonly string[]): string {
  if (bounds.length === 0) return '0';
  return `coalesce(pg_catalog.width_bucket(${position(split)}, ARRAY[${bounds.map((text) => bound(split, text)).join(', ')}]), 0)`;
}
