/** Which tables of a backup a person means: by name, by pattern, a partitioned table with all its partitions. Pure. */
import { HoldfastError } from '../../../base/errors.ts';
import type { DatabaseManifest, PostgresDetail, TableManifest } from '../manifest.ts';

interface TableName {
  readonly schema: string;
  readonly name: string;
}

export interface ChosenTables {
  readonly database: DatabaseManifest;
  readonly tables: readonly TableManifest[];
  /** Partitioned tables, which have no rows of their own. */
  readonly parents: readonly TableName[];
}

/** Of a partition, the table that it belongs to, as the lines of catalog.json say it. */
export interface Partition {
  readonly leaf: TableName;
  readonly parent: TableName;
}

const NAME = `("(?:[^"]|"")+"|[^\\s".]+)`;
const PARTITION = new RegExp(`^partition ${NAME}\\.${NAME} of ${NAME}\\.${NAME} `);

export function partitionsOf(facts: readonly string[]): Partition[] {
  const plain = (name = ''): string => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name);
  return facts.flatMap((line) => {
    const found = PARTITION.exec(line);
    if (found === null) return [];
    const [, schema, name, parentSchema, parentName] = found;
    return [{ leaf: { schema: plain(schema), name: plain(name) }, parent: { schema: plain(parentSchema), name: plain(parentName) } }];
  });
}

/** `wanted`: `schema.table`, `database.schema.table` or the table alone, with `*` for any letters. Throws `path-missing`, `usage`. */
export function chooseStoredTables(detail: PostgresDetail, wanted: readonly string[], partitions: ReadonlyMap<string, readonly Partition[]>): ChosenTables {
  const found = new Map<string, { tables: Set<TableManifest>; parents: Map<string, TableName> }>();
  for (const one of wanted) {
    const matches = detail.databases.map((database) => ({ database, ...matching(database, one, partitions.get(database.name) ?? []) })).filter(({ tables }) => tables.length > 0);
    if (matches.length === 0) throw new HoldfastError('path-missing', `The snapshot holds no table ${one}.`, { hint: 'Name it as schema.table; `holdfast ls` shows what there is.' });
    const ambiguous = matches.length > 1 || (!one.includes('*') && new Set(matches.flatMap(({ named }) => named)).size > 1);
    if (ambiguous) throw new HoldfastError('usage', `${one} means ${matches.flatMap(({ database, named }) => named.map((name) => `${database.name}.${name}`)).join(' or ')}.`);
    for (const { database, tables, parents } of matches) {
      const held = found.get(database.name) ?? { tables: new Set(), parents: new Map() };
      for (const table of tables) held.tables.add(table);
      for (const parent of parents) held.parents.set(shown(parent), parent);
      found.set(database.name, held);
    }
  }
  const [first, second] = [...found.keys()];
  if (second !== undefined) throw new HoldfastError('usage', `The tables belong to several databases (${[...found.keys()].join(', ')}); restore those of one at a time.`);
  const database = detail.databases.find(({ name }) => name === first);
  const held = found.get(first ?? '');
  if (database === undefined || held === undefined) throw new HoldfastError('usage', 'No table is named.');
  return { database, tables: database.tables.filter((table) => held.tables.has(table)), parents: [...held.parents.values()] };
}

interface Matching {
  readonly tables: readonly TableManifest[];
  readonly parents: readonly TableName[];
  /** What the name itself stands for, partitions not counted one by one. */
  readonly named: readonly string[];
}

const shown = ({ schema, name }: TableName): string => `${schema}.${name}`;

function matching(database: DatabaseManifest, wanted: string, partitions: readonly Partition[]): Matching {
  const fits = fitting(database.name, wanted);
  const roots = new Map(partitions.filter(({ parent }) => fits(parent)).map(({ parent }) => [shown(parent), parent]));
  // Down through partitions that are partitioned themselves.
  const below = new Map<string, TableName>(roots);
  for (let before = -1; before !== below.size; ) {
    before = below.size;
    for (const { leaf, parent } of partitions) if (below.has(shown(parent))) below.set(shown(leaf), leaf);
  }
  const direct = database.tables.filter(fits);
  const tables = database.tables.filter((table) => direct.includes(table) || below.has(shown(table)));
  const partitioned = new Set(partitions.map(({ parent }) => shown(parent)));
  return { tables, parents: [...below.values()].filter((one) => partitioned.has(shown(one))), named: [...roots.keys(), ...direct.map(shown)] };
}

function fitting(database: string, wanted: string): (table: TableName) => boolean {
  const pattern = new RegExp(`^${wanted.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`, 'su');
  return ({ schema, name }) => [`${schema}.${name}`, `${database}.${schema}.${name}`, ...(wanted.includes('.') ? [] : [name])].some((one) => pattern.test(one));
}
