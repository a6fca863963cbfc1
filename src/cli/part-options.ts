/** Options that choose a part of a store, and how a part is shown. */
import { Option, type Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import type { PartWish } from '../operation/part.ts';
import { tagValue, type Snapshot } from '../repository/repository.ts';
import type { Part } from '../source/source.ts';
import type { Plan } from '../stack/stack.ts';

export interface PartOptions {
  readonly schemaOnly?: boolean;
  readonly dataOnly?: boolean;
  readonly table: readonly string[];
  readonly tables?: string;
  readonly frugal?: boolean;
}

export function addPartOptions(command: Command): Command {
  return command
    .addOption(new Option('--schema-only', 'of databases, only the schema').conflicts(['dataOnly']))
    .option('--data-only', 'of databases, only rows and sequences')
    .option('--table <schema.table>', 'of databases, only the rows of this table, with * for any letters; repeatable', (value: string, before: readonly string[]) => [...before, value], [])
    .option('--tables <group>', 'of databases, only this group of tables of holdfast.yaml')
    .option('--frugal', 'ask the database for fingerprints and transfer only what has changed; costs the server a scan of each table');
}

/** What the options ask for, or the plan. Throws `usage` when both do. */
export function partWish(options: PartOptions, plan: Plan | undefined): PartWish {
  const { schemaOnly, dataOnly, table, tables } = options;
  const only = schemaOnly ? 'schema' : dataOnly ? 'data' : undefined;
  const given = only !== undefined || table.length > 0 || tables !== undefined;
  if (plan === undefined) return { only, tables: table, group: tables };
  if (given) throw new HoldfastError('usage', `the plan ${plan.name} says what is backed up; a part cannot be named beside it`, { hint: 'Leave --plan out, or change the plan in holdfast.yaml.' });
  return { only: plan.only, tables: [], group: plan.tables };
}

/** `schema only`, `rows only`, `3 tables`; undefined for the whole. */
export function partText(part: Part | undefined): string | undefined {
  const tables = part?.tables;
  const chosen = tables === undefined ? undefined : tables.length <= 2 ? tables.join(', ') : `${tables.length} tables`;
  if (part?.only === undefined) return chosen;
  return part.only === 'schema' ? 'schema only' : `rows only${chosen === undefined ? '' : ` of ${chosen}`}`;
}

/** The same from the tags of a snapshot, which know a group by its name and other tables by a hash. */
export function partOfSnapshot(snapshot: Snapshot): string | undefined {
  const tag = tagValue(snapshot, 'part');
  if (tag === undefined) return undefined;
  const group = tagValue(snapshot, 'tables');
  const [, rows, hash] = /^(data-)?tables-([0-9a-f]+)$/.exec(tag) ?? [];
  if (hash !== undefined) return `${rows === undefined ? '' : 'rows of '}tables ${group ?? hash.slice(0, 8)}`;
  return tag === 'schema' ? 'schema only' : tag === 'data' ? 'rows only' : tag;
}
