/**
 * The plan of a frugal backup: the server says the fingerprint of every table, or of every range of a large one, under the snapshot that
 * is held; what the snapshot before holds with an equal one is taken over.
 *
 * Only a fingerprint is taken for proof. What costs the server nothing is none: the counters of pg_stat_user_tables miss sessions with
 * track_counts off, start anew after a crash, were sent as datagrams that may be lost (to 14), and are told up to a minute after the
 * commit, so that a table could be older than its neighbours in the same snapshot. Ids of transactions come again when the server's disk
 * is set back. A wrong guess would be lost data, and a backup that nobody can restore.
 */
import type { Connection } from '../../../client/postgres/connection.ts';
import { withTables, type Readers } from './ask-table.ts';
import type { CatalogTable } from '../catalog.ts';
import { piecesOf, type PieceManifest, type Split, type TableManifest } from '../manifest.ts';
import { countKeyRanges, countParts, sampleBounds } from './server-fingerprint.ts';
import type { HeldSnapshot } from '../snapshot.ts';
import { between, blockLayout, chooseSplit, rangesOf, splitSizes, type SplitSizes } from './table-layout.ts';
import { addSums, planTable, sameCount, type Counted, type CountedRange, type PlannedTable, type PlanOptions } from './table-plan.ts';

type KeySplit = Extract<Split, { by: 'key' }>;

/** Small tables are asked for together: this many bytes on disk, or this many tables. */
const TOGETHER = { bytes: 8 * 1024 * 1024, tables: 100 };

/** Asks with all sessions at once. In the order of the tables. */
export async function planFrugal(held: HeldSnapshot, readers: Readers, options: PlanOptions): Promise<readonly PlannedTable[]> {
  const plans = new Map<CatalogTable, PlannedTable>();
  const major = Number.parseInt(held.server, 10);
  await Promise.all(inGroups(held.tables).map(async (tables) => {
    const doing = `asking for the fingerprint of ${tables[0]?.schema}.${tables[0]?.name}`;
    await withTables(readers, tables, doing, async (session) => {
      for (const plan of await planGroup(session, tables, major, options)) plans.set(plan.table, plan);
    });
    options.step(`Asked the server for the fingerprints of ${plans.size} of ${held.tables.length} tables`);
  }));
  return held.tables.flatMap((table) => plans.get(table) ?? []);
}

function inGroups(tables: readonly CatalogTable[]): readonly (readonly CatalogTable[])[] {
  const groups: CatalogTable[][] = [];
  let bytes = Infinity;
  for (const table of tables) {
    const last = groups.at(-1);
    if (last === undefined || bytes + table.size > TOGETHER.bytes || last.length >= TOGETHER.tables) {
      groups.push([table]);
      bytes = table.size;
    } else {
      last.push(table);
      bytes += table.size;
    }
  }
  return groups;
}

async function planGroup(session: Connection, tables: readonly CatalogTable[], major: number, { previous, sizes }: PlanOptions): Promise<readonly PlannedTable[]> {
  const plans: PlannedTable[] = [];
  const small: CatalogTable[] = [];
  for (const table of tables) {
    const before = comparable(table, previous?.table(table.schema, table.name));
    const wanted = sizes ?? splitSizes(table.size, true);
    const split = chooseSplit(table, before, { frugal: true, major, sizes: wanted });
    if (split === undefined) small.push(table);
    else plans.push(await planLarge(session, table, { split, before, major, sizes: wanted }));
  }
  const counts = await countParts(session, small.map((table) => ({ table })));
  for (const [n, table] of small.entries()) {
    const [range] = rangesOf(undefined);
    const counted = counts[n];
    if (range !== undefined) plans.push(compared(table, undefined, [{ range, counted }], comparable(table, previous?.table(table.schema, table.name))));
  }
  return plans;
}

/** What the snapshot before says of the table, if its rows mean the same and the server was asked for them. */
function comparable(table: CatalogTable, before: TableManifest | undefined): TableManifest | undefined {
  const same = before?.shape === table.shape && before.condition === table.condition && JSON.stringify(before.columns) === JSON.stringify(table.columns);
  return same && piecesOf(before).every(({ server }) => server !== undefined) ? before : undefined;
}

interface Large {
  readonly split: Split;
  readonly before: TableManifest | undefined;
  readonly major: number;
  readonly sizes: SplitSizes;
}

async function planLarge(session: Connection, table: CatalogTable, large: Large): Promise<PlannedTable> {
  const { split, before, major, sizes } = large;
  if (split.by === 'key') {
    const ranges = await keyRanges(session, table, split, large);
    if (ranges !== undefined) return compared(table, split, ranges, before);
  }
  const blocks = split.by === 'block' ? split : chooseSplit({ ...table, key: undefined }, before, { frugal: true, major, sizes });
  const ranges = rangesOf(blocks?.by === 'block' ? blockLayout(blocks, table.blocks) : undefined);
  const counts = await countParts(session, ranges.map((range) => ({ table, range })));
  return compared(table, blocks, ranges.map((range, n) => ({ range, counted: counts[n] })), before);
}

/** Undefined when the key divides the rows badly, such as the number of a customer that most rows share. */
async function keyRanges(session: Connection, table: CatalogTable, split: KeySplit, { before, major, sizes }: Large): Promise<readonly CountedRange[] | undefined> {
  const same = before?.split?.by === 'key' && before.split.column === split.column && before.split.type === split.type;
  const wanted = Math.max(1, Math.ceil(table.size / sizes.piece));
  // Of every range some twenty blocks tell enough.
  const percent = (100 * Math.max(300, wanted * 20)) / Math.max(1, table.blocks);
  const bounds = same ? piecesOf(before).flatMap(({ from }) => from ?? []) : await sampleBounds(session, table, split, wanted, { percent });
  if (!same && major >= 14 && bounds.length + 1 < wanted / 2) return undefined;
  const counts = await countKeyRanges(session, table, split, bounds);
  const ranges = counts.map((counted, n) => ({ from: n === 0 ? undefined : bounds[n - 1], to: bounds[n], counted }));
  const rows = counts.reduce((sum, one) => sum + one.rows, 0);
  const target = Math.max(1, Math.ceil((rows * sizes.piece) / Math.max(1, table.size)));
  const known = before === undefined ? [] : countsOf(before);
  const grown = (await Promise.all(ranges.map((range) => divided(session, table, split, range, { target, known })))).flat();
  const merged = joinSmall(grown, target, known);
  const layout = rangesOf({ ...split, bounds: merged.flatMap(({ from }) => from ?? []) });
  return layout.map((range, n) => ({ range, counted: merged[n]?.counted }));
}

interface KeyRange {
  readonly from: string | undefined;
  readonly counted: Counted;
}

interface Measure {
  /** Rows that a range should have. */
  readonly target: number;
  /** Ranges of the snapshot before, which must not be touched while they are equal. */
  readonly known: readonly Counted[];
}

const isKnown = (counted: Counted, known: readonly Counted[]): boolean => known.some((one) => sameCount(one, counted));

/** A range that has grown to more than twice its size becomes several. */
async function divided(session: Connection, table: CatalogTable, split: KeySplit, range: KeyRange & { readonly to: string | undefined }, { target, known }: Measure): Promise<readonly KeyRange[]> {
  const { from, to, counted } = range;
  if (counted.rows <= target * 2 || isKnown(counted, known)) return [range];
  const within = between(split, from, to);
  const bounds = (await sampleBounds(session, table, split, Math.ceil(counted.rows / target), { within })).filter((bound) => bound !== from);
  const counts = await countKeyRanges(session, table, split, bounds, within);
  const all: Counted = { rows: counts.reduce((sum, one) => sum + one.rows, 0), sums: addSums(counts.map(({ sums }) => sums)) };
  // These rows were found by an index, perhaps, and the ones before without.
  if (!sameCount(all, counted)) return [range];
  return counts.map((one, n) => ({ from: n === 0 ? from : bounds[n - 1], counted: one }));
}

/** Ranges without rows, and small neighbours that are to be read anyway, become one. */
function joinSmall(ranges: readonly KeyRange[], target: number, known: readonly Counted[]): readonly KeyRange[] {
  const joined: KeyRange[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    const small = last !== undefined && range.counted.rows + last.counted.rows <= target / 2 && !isKnown(last.counted, known) && !isKnown(range.counted, known);
    if (last !== undefined && (small || last.counted.rows === 0 || range.counted.rows === 0)) {
      joined[joined.length - 1] = { from: last.from, counted: { rows: last.counted.rows + range.counted.rows, sums: addSums([last.counted.sums, range.counted.sums]) } };
    } else joined.push(range);
  }
  return joined;
}

function countsOf(table: TableManifest): readonly Counted[] {
  return piecesOf(table).flatMap(({ rows, server }) => (server === undefined ? [] : [{ rows, sums: server }]));
}

/** Finds what the snapshot before holds with equal content, range by range, or as a whole. */
function compared(table: CatalogTable, split: Split | undefined, ranges: readonly CountedRange[], before: TableManifest | undefined): PlannedTable {
  if (before === undefined) return planTable(table, split, ranges);
  const pieces = piecesOf(before);
  const found = ranges.map((range): CountedRange => ({ ...range, same: range.counted && pieceLike(pieces, range.counted) }));
  const counts = ranges.flatMap(({ counted }) => counted ?? []);
  const total: Counted = { rows: counts.reduce((sum, { rows }) => sum + rows, 0), sums: addSums(counts.map(({ sums }) => sums)) };
  const known = countsOf(before);
  const totalBefore: Counted = { rows: before.rows, sums: addSums(known.map(({ sums }) => sums)) };
  if (found.every(({ same }) => same !== undefined) || !sameCount(total, totalBefore)) return planTable(table, split, found);
  // The rows are the same and only lie elsewhere: after VACUUM FULL, or because the table is split otherwise now.
  const layout = rangesOf(before.split && { ...before.split, bounds: pieces.flatMap(({ from }) => from ?? []) });
  return planTable(table, before.split, pieces.flatMap((piece, n) => {
    const range = layout[n];
    return range === undefined ? [] : [{ range, counted: known[n], same: piece, elsewhere: before.split !== undefined }];
  }));
}

function pieceLike(pieces: readonly PieceManifest[], counted: Counted): PieceManifest | undefined {
  return pieces.find(({ rows, server }) => server !== undefined && sameCount({ rows, sums: server }, counted));
}
