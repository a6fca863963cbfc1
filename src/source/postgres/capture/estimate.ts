/**
 * What a backup would read, before it does. Rows are not moved for it: the server measures their text itself, of small tables all, of large
 * ones a sample of blocks; a frugal one asks for the fingerprints that the backup will ask for again. A row of COPY is about as long as
 * its text as a record, without the two brackets, and with a line end and five bytes of the protocol.
 */
import type { Connection } from '../../../client/postgres/connection.ts';
import { qualified } from '../../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import type { CaptureContext, Estimate, EstimateItem } from '../../source.ts';
import { withTables, type Readers } from './ask-table.ts';
import { PARALLEL } from './capture-database.ts';
import { catalogFingerprint } from './catalog-fingerprint.ts';
import { readLargeObjects, type CatalogTable } from '../catalog.ts';
import { TableChoice } from './choose-tables.ts';
import { sameLargeObjects } from '../large-object.ts';
import { lend } from './lend.ts';
import { piecesOf, readDetail, type TableManifest } from '../manifest.ts';
import { planFrugal } from './plan-frugal.ts';
import { previousDatabase, type PreviousDatabase } from './previous.ts';
import { ROW } from './server-fingerprint.ts';
import { holdSnapshot, joinSnapshot, type HeldSnapshot } from '../snapshot.ts';
import type { SplitSizes } from './table-layout.ts';

/** Bytes of a row on the wire beyond its text as a record: less brackets, more a line end and a frame. */
const PER_ROW = 4;
const PER_FRAME = 5;
/** Tables up to this size are measured as a whole. */
const WHOLE = 4 * 1024 * 1024;
/** Blocks of a sample: enough for a few per cent. */
const SAMPLED_BLOCKS = 500;
/** The catalogue and pg_dump, where no earlier backup tells: measured on databases of 1 to 500 tables. */
const SCHEMA = { once: 700_000, perTable: 6_000 };
/** The questions of a frugal backup whose schema is that of the one before. */
const SAME_SCHEMA = { once: 10_000, perTable: 250 };
const AT_ONCE = 100;

export async function estimateDatabases(targets: readonly PostgresTarget[], context: CaptureContext, sizes: SplitSizes | undefined): Promise<Omit<Estimate, 'spent'>> {
  const choice = context.part?.tables === undefined ? undefined : new TableChoice(context.part.tables);
  const items: EstimateItem[] = [];
  let others = 0;
  let likeBefore = true;
  for (const target of targets) {
    const found = await estimateDatabase(target, context, choice, sizes);
    items.push(...found.items.map((item) => (targets.length === 1 ? item : { ...item, subject: `${target.database} ${item.subject}` })));
    others += found.others;
    likeBefore &&= found.likeBefore;
  }
  if (context.part?.only !== 'schema') choice?.refuseUnused(context.store);
  const known = likeBefore ? overheadOf(context.previous?.manifest) : undefined;
  return { items: items.toSorted((a, b) => b.bytes - a.bytes), bytes: items.reduce((sum, { bytes }) => sum + bytes, 0) + (known ?? others) };
}

async function estimateDatabase(target: PostgresTarget, context: CaptureContext, choice: TableChoice | undefined, sizes: SplitSizes | undefined): Promise<{ items: readonly EstimateItem[]; others: number; likeBefore: boolean }> {
  await using stack = new AsyncDisposableStack();
  let count = 0;
  const held = stack.use(await holdSnapshot(target, (all) => {
    count = all.length;
    return context.part?.only === 'schema' ? [] : (choice?.of(all) ?? all);
  }));
  const workers: Connection[] = [];
  for (let n = 0; n < PARALLEL; n++) workers.push(stack.use(await joinSnapshot(target, held.id)));
  const readers: Readers = { pool: lend(workers, context.signal), lead: lend([held.leader], context.signal) };
  const previous = previousDatabase(context.previous, target.database);
  const items = context.frugal === true ? await itemsThatChanged(held, readers, previous, context, sizes) : await measured(held.tables, readers);
  const large = context.part?.tables === undefined && context.part?.only !== 'schema' ? await largeObjectBytes(held.leader, context.frugal === true ? previous : undefined) : [];
  const sameSchema = context.frugal === true && previous?.database.catalogFingerprint === (await catalogFingerprint(held.leader));
  const { once, perTable } = sameSchema ? SAME_SCHEMA : SCHEMA;
  // What the backup before moved besides rows tells only of a backup that takes its schema from where that one did.
  return { items: [...items, ...large], others: once + perTable * count, likeBefore: sameSchema === (previous?.database.schemaUnchanged === true) };
}

/** Rows that would be read are counted; how long they are is known from the snapshot before, or measured. */
async function itemsThatChanged(held: HeldSnapshot, readers: Readers, previous: PreviousDatabase | undefined, context: CaptureContext, sizes: SplitSizes | undefined): Promise<readonly EstimateItem[]> {
  const plans = await planFrugal(held, readers, { frugal: true, previous, sizes, step: (sentence) => context.step(sentence) });
  const rowsOf = new Map(plans.map(({ table, pieces }) => [table, pieces.reduce((sum, { same, counted }) => sum + (same === undefined ? (counted?.rows ?? 0) : 0), 0)]));
  const changed = plans.filter(({ pieces }) => pieces.some(({ same }) => same === undefined)).map(({ table }) => table);
  const unknown = changed.filter((table) => rowLength(previous?.table(table.schema, table.name)) === undefined);
  const lengths = new Map((await measured(unknown, readers)).map((item, n) => [unknown[n], item] as const));
  return plans.map(({ table }): EstimateItem => {
    const subject = `${table.schema}.${table.name}`;
    if (!changed.includes(table)) return { subject, bytes: 0, unchanged: true };
    const rows = rowsOf.get(table) ?? 0;
    const length = rowLength(previous?.table(table.schema, table.name));
    return { subject, unchanged: false, bytes: length === undefined ? (lengths.get(table)?.bytes ?? 0) : Math.round(rows * (length + PER_FRAME)) };
  });
}

function rowLength(table: TableManifest | undefined): number | undefined {
  return table === undefined || table.rows === 0 ? undefined : table.bytes / table.rows;
}

/** In the order of the tables. */
async function measured(tables: readonly CatalogTable[], readers: Readers): Promise<readonly EstimateItem[]> {
  const items: EstimateItem[] = [];
  for (let at = 0; at < tables.length; at += AT_ONCE) {
    const some = tables.slice(at, at + AT_ONCE);
    const doing = `measuring ${some[0]?.schema}.${some[0]?.name}`;
    const queries = some.map((table, n) => {
      const percent = table.size <= WHOLE ? 100 : Math.min(100, (100 * SAMPLED_BLOCKS) / Math.max(1, table.blocks));
      const sample = percent === 100 || table.condition !== '' ? '' : ` TABLESAMPLE SYSTEM (${percent.toFixed(4)})`;
      return `SELECT ${n} AS n, (coalesce(pg_catalog.sum(pg_catalog.octet_length(${ROW}::pg_catalog.text) + ${PER_ROW}), 0) * ${sample === '' ? 1 : (100 / percent).toFixed(6)})::pg_catalog.int8::pg_catalog.text AS bytes
        FROM ONLY ${qualified(table.schema, table.name)} AS ${ROW}${sample} ${table.condition}`;
    });
    await withTables(readers, some, doing, async (session) => {
      const answers = new Map((await session.query<{ n: number; bytes: string }>(queries.join(' UNION ALL '), doing)).map(({ n, bytes }) => [n, Number(bytes)]));
      items.push(...some.map((table, n): EstimateItem => ({ subject: `${table.schema}.${table.name}`, bytes: answers.get(n) ?? 0, unchanged: false })));
    });
  }
  return items;
}

/** As hexadecimal digits, two for a byte. */
async function largeObjectBytes(leader: Connection, previous: PreviousDatabase | undefined): Promise<readonly EstimateItem[]> {
  const objects = await readLargeObjects(leader);
  if (objects.length === 0) return [];
  if (previous !== undefined && (await sameLargeObjects(leader, objects, previous.database))) return [{ subject: 'large objects', bytes: 0, unchanged: true }];
  const [row] = await leader.query<{ bytes: string }>(`SELECT (2 * pg_catalog.pg_relation_size('pg_catalog.pg_largeobject'::pg_catalog.regclass))::pg_catalog.text AS bytes`, 'measuring the large objects');
  return [{ subject: 'large objects', bytes: Number(row?.bytes ?? 0), unchanged: false }];
}

/** What the backup before moved besides rows; undefined where it was not counted. */
function overheadOf(manifest: NonNullable<CaptureContext['previous']>['manifest'] | undefined): number | undefined {
  if (manifest?.traffic === undefined || manifest.kind !== 'postgres') return undefined;
  try {
    const pieces = readDetail(manifest).databases.flatMap(({ tables }) => tables.flatMap(piecesOf));
    const rows = pieces.filter(({ unchanged }) => unchanged === undefined).reduce((sum, piece) => sum + piece.bytes + piece.rows * PER_FRAME, 0);
    const large = readDetail(manifest).databases.filter(({ largeObjectsUnchanged }) => largeObjectsUnchanged !== true).flatMap(({ largeObjects }) => largeObjects);
    return Math.max(0, manifest.traffic.received - rows - large.reduce((sum, { bytes }) => sum + 2 * bytes, 0));
  } catch {
    return undefined;
  }
}
