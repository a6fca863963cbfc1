/** Decides, under the snapshot that is held, which ranges of which tables are read. */
import type { Readers } from './ask-table.ts';
import type { CatalogTable } from '../catalog.ts';
import { planFrugal } from './plan-frugal.ts';
import type { HeldSnapshot } from '../snapshot.ts';
import { blockLayout, chooseSplit, rangesOf, splitSizes } from './table-layout.ts';
import { planTable, type PlannedTable, type PlanOptions } from './table-plan.ts';

/** In the order of the tables, largest first. */
export async function planTables(held: HeldSnapshot, readers: Readers, options: PlanOptions): Promise<readonly PlannedTable[]> {
  if (options.frugal) return await planFrugal(held, readers, options);
  return held.tables.map((table) => planBlocks(table, Number.parseInt(held.server, 10), options));
}

function planBlocks(table: CatalogTable, major: number, { previous, sizes }: PlanOptions): PlannedTable {
  const split = chooseSplit(table, previous?.table(table.schema, table.name), { frugal: false, major, sizes: sizes ?? splitSizes(table.size, false) });
  return planTable(table, split, rangesOf(split?.by === 'block' ? blockLayout(split, table.blocks) : undefined).map((range) => ({ range })));
}
