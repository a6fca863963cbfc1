/**
 * The fingerprint that the server makes of rows: count, and two exact sums of a 64-bit hash of each row's text. It costs the server about as
 * much as a COPY and moves a few bytes. Equal sums of equal columns mean equal content, on any server from 12 to 18, because our
 * sessions pin what decides the text of a value (session.ts); a sum, unlike XOR, also tells two equal rows from none.
 */
import { randomUUID } from 'node:crypto';
import type { Connection } from '../../../client/postgres/connection.ts';
import { identifier, qualified } from '../../../client/postgres/sql-quote.ts';
import type { CatalogTable } from '../catalog.ts';
import type { Split } from '../manifest.ts';
import { position, rangeNumber, type Range } from './table-layout.ts';
import type { Counted } from './table-plan.ts';

/** Names the row; a column of this name would be hashed in place of the row. */
export const ROW = identifier(`holdfast_${randomUUID()}`);

/** `COLLATE "C"`: with a collation that takes different texts for equal, their hashes would be equal, too. */
const hash = (seed: number): string => `coalesce(pg_catalog.sum(pg_catalog.hashtextextended(${ROW}::pg_catalog.text COLLATE pg_catalog."C", ${seed})), 0)::pg_catalog.text`;
const SUMS = `pg_catalog.count(*)::pg_catalog.text AS rows, ${hash(0)} AS low, ${hash(1)} AS high`;

interface Answer {
  readonly n: number;
  readonly rows: string;
  readonly low: string;
  readonly high: string;
}

/** What is asked for at once: ranges of blocks of a large table, or several small tables. */
const AT_ONCE = 100;

const from = ({ schema, name }: CatalogTable): string => `FROM ONLY ${qualified(schema, name)} AS ${ROW}`;
const where = (...conditions: readonly string[]): string => conditions.filter((one) => one !== '').map((one, n) => `${n === 0 ? 'WHERE' : 'AND'} (${one})`).join(' ');

const NONE: Counted = { rows: 0, sums: ['0', '0'] };
const counted = ({ rows, low, high }: Answer): Counted => ({ rows: Number(rows), sums: [low, high] });

/** In the order of the parts, each of which is all of a table or a range of it. */
export async function countParts(session: Connection, parts: readonly { readonly table: CatalogTable; readonly range?: Range }[]): Promise<readonly Counted[]> {
  const found: Counted[] = [];
  for (let at = 0; at < parts.length; at += AT_ONCE) {
    const some = parts.slice(at, at + AT_ONCE);
    const queries = some.map(({ table, range }, n) => `SELECT ${n} AS n, ${SUMS} ${from(table)} ${table.condition === '' ? where(range?.condition ?? '') : table.condition}`);
    const answers = new Map((await session.query<Answer>(queries.join(' UNION ALL '), doing(some.map(({ table }) => table)))).map((answer) => [answer.n, answer]));
    found.push(...some.map((_, n) => answers.get(n)).map((answer) => (answer === undefined ? NONE : counted(answer))));
  }
  return found;
}

/** All ranges of a key in one scan; with a range, only its rows. One more than there are bounds. */
export async function countKeyRanges(session: Connection, table: CatalogTable, split: Extract<Split, { by: 'key' }>, bounds: readonly string[], within = ''): Promise<readonly Counted[]> {
  const answers = await session.query<Answer>(`SELECT ${rangeNumber(split, bounds)} AS n, ${SUMS} ${from(table)} ${where(within)} GROUP BY 1`, doing([table]));
  const byNumber = new Map(answers.map((answer) => [answer.n, answer]));
  return Array.from({ length: bounds.length + 1 }, (_, n) => byNumber.get(n)).map((answer) => (answer === undefined ? NONE : counted(answer)));
}

export interface Sample {
  /** Per cent of the blocks that are looked at; undefined: all rows. */
  readonly percent?: number | undefined;
  readonly within?: string | undefined;
}

/** Keys that divide the rows into about so many equal ranges; fewer where keys are equal. */
export async function sampleBounds(session: Connection, table: CatalogTable, split: Extract<Split, { by: 'key' }>, ranges: number, { percent, within = '' }: Sample): Promise<readonly string[]> {
  const fractions = Array.from({ length: ranges - 1 }, (_, n) => ((n + 1) / ranges).toFixed(6));
  if (fractions.length === 0) return [];
  const sample = percent === undefined || percent >= 100 ? '' : ` TABLESAMPLE SYSTEM (${percent.toFixed(4)}) REPEATABLE (1)`;
  const answers = await session.query<{ bound: string }>(
    `SELECT b::pg_catalog.text AS bound FROM (SELECT DISTINCT b FROM (SELECT pg_catalog.unnest(pg_catalog.percentile_disc(ARRAY[${fractions.join(', ')}]::pg_catalog.float8[])
       WITHIN GROUP (ORDER BY ${position(split)})) AS b FROM ONLY ${qualified(table.schema, table.name)}${sample} ${where(within)}) p WHERE b IS NOT NULL) q ORDER BY b`,
    doing([table]),
  );
  return answers.map(({ bound }) => bound);
}

function doing(tables: readonly CatalogTable[]): string {
  const [first] = tables;
  const others = new Set(tables).size - 1;
  return `asking for the fingerprint of ${first === undefined ? 'no table' : `${first.schema}.${first.name}`}${others > 0 ? ` and ${others} more tables` : ''}`;
}
