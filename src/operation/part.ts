/** Parts of stores: what a backup that is not of the whole is about, and how its snapshots are told apart. Pure. */
import { createHash } from 'node:crypto';
import { didYouMeanText } from '../base/did-you-mean.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Part } from '../source/source.ts';
import type { PostgresStore, Store } from '../stack/stack.ts';

/** What a person or a plan asks for. */
export interface PartWish {
  readonly only?: 'schema' | 'data' | undefined;
  /** Patterns of tables; none means all. */
  readonly tables: readonly string[];
  /** A group of tables that stores define. */
  readonly group?: string | undefined;
}

export interface StorePart {
  readonly store: Store;
  /** Undefined: all of it. */
  readonly part: Part | undefined;
}

/** Snapshots of the same part follow each other; undefined is the whole store. Lists of tables are told apart by a hash. */
export function partTag(part: Part | undefined): string | undefined {
  const { only, tables } = part ?? {};
  const chosen = tables === undefined ? undefined : `tables-${createHash('sha256').update(JSON.stringify(tables.toSorted())).digest('hex').slice(0, 12)}`;
  return only === undefined ? chosen : [only, ...(chosen === undefined ? [] : [chosen])].join('-');
}

export function partTags(part: Part | undefined): readonly string[] {
  const tag = partTag(part);
  return tag === undefined ? [] : [`part:${tag}`];
}

/** The stores that the wish is about, each with its part. `named`: by the person, so that none may be left out. Throws `usage`. */
export function chooseParts(stores: readonly Store[], named: boolean, wish: PartWish): readonly StorePart[] {
  const { only, tables, group } = wish;
  if (only === undefined && tables.length === 0 && group === undefined) return stores.map((store) => ({ store, part: undefined }));
  if (only === 'schema' && (tables.length > 0 || group !== undefined)) {
    throw new HoldfastError('usage', 'the schema comes as a whole: tables cannot be chosen beside it', { hint: 'Leave the choice of tables out, or ask for their rows with --data-only.' });
  }
  const other = named ? stores.find(({ kind }) => kind !== 'postgres') : undefined;
  if (other !== undefined) throw new HoldfastError('usage', `${other.name} cannot be backed up in part: it is a ${other.kind === 'cluster' ? 'physical store' : other.kind}, and only logical backups of databases have parts`);
  const databases = stores.filter((store) => store.kind === 'postgres');
  const chosen = group === undefined ? databases : withGroup(databases, named, group);
  if (chosen.length === 0) throw new HoldfastError('usage', 'only logical backups of databases have parts, and there is no such store', { hint: 'Declare one with `postgres:` in holdfast.yaml.' });
  return chosen.map((store) => {
    const patterns = [...tables, ...((group === undefined ? undefined : store.tables?.[group]) ?? [])];
    return { store, part: { ...(only === undefined ? {} : { only }), ...(patterns.length === 0 ? {} : { tables: patterns }) } };
  });
}

function withGroup(stores: readonly PostgresStore[], named: boolean, group: string): readonly PostgresStore[] {
  const having = stores.filter(({ tables }) => tables?.[group] !== undefined);
  const lacking = named ? stores.find((store) => !having.includes(store)) : having.length === 0 ? stores[0] : undefined;
  if (lacking === undefined) return having;
  const known = [...new Set(stores.flatMap(({ tables }) => Object.keys(tables ?? {})))];
  const who = named ? `the store ${lacking.name} does not define` : 'no store defines';
  throw new HoldfastError('usage', `${who} a group of tables "${group}"${didYouMeanText(group, known)}`, {
    hint: known.length === 0 ? `Define it in holdfast.yaml: under \`postgres:\` write \`tables: { ${group}: [schema.table] }\`.` : `There are: ${known.join(', ')}.`,
  });
}
