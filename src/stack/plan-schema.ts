/** The part of `holdfast.yaml` that says what is backed up when, to where, and for how long it is kept. */
import { z } from 'zod';
import { formatSpan, parseSpan } from '../policy/calendar.ts';
import type { RetentionPolicy } from '../policy/retention.ts';

/** Five fields of minutes, hours, days, months and days of the week; or a name for them. */
const CRON = /^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|([\d*/,-]+\s+){3}([\d*/,-]|[a-z]{3})+\s+([\d*/,-]|[a-z]{3})+)$/i;

const span = z
  .string()
  .refine((text) => parseSpan(text) !== undefined, { error: 'must be a length of time like 30d, 12h or 1y6m (m are months)' });

const COUNT = { error: 'must be a number from 1, or all' } as const;
const count = z.union([z.number(), z.literal('all')], COUNT).refine((value) => value === 'all' || (Number.isInteger(value) && value > 0), COUNT);

export const keep = z
  .strictObject({
    last: count.optional().describe('The newest so many'),
    hourly: count.optional().describe('One of each of the last so many hours that have one'),
    daily: count.optional().describe('One of each of the last so many days that have one'),
    weekly: count.optional().describe('One of each of the last so many weeks that have one'),
    monthly: count.optional().describe('One of each of the last so many months that have one'),
    yearly: count.optional().describe('One of each of the last so many years that have one'),
    within: span.optional().describe('All that are younger, counted back from the newest one: 30d, 12h, 1y6m'),
    'within-hourly': span.optional().describe('One of each hour of those that are younger'),
    'within-daily': span.optional().describe('One of each day of those that are younger'),
    'within-weekly': span.optional().describe('One of each week of those that are younger'),
    'within-monthly': span.optional().describe('One of each month of those that are younger'),
    'within-yearly': span.optional().describe('One of each year of those that are younger'),
    tags: z.array(z.string().min(1)).nonempty().optional().describe('All that carry one of these tags; several joined by commas must all be there'),
  })
  .refine((value) => Object.values(value).some((rule) => rule !== undefined), { error: 'must say what to keep, as in { daily: 7, weekly: 4 }; without `keep` everything is kept' });

export const plan = z.strictObject({
  cron: z.string().regex(CRON, { error: 'must be five fields like "0 2 * * *" (minute, hour, day, month, day of the week), or @daily and the like' }).optional().describe('When, as five fields in quotes; without it, whenever `holdfast backup --plan NAME` is run'),
  stores: z.union([z.literal('all'), z.array(z.string().min(1)).nonempty()], { error: 'must be all, or a list of stores' }).optional().describe('all, or names of stores; all unless said otherwise'),
  to: z.array(z.string().min(1)).nonempty().describe('Names of repositories: backed up to the first, copied to the others'),
  only: z.enum(['schema', 'data']).optional().describe('Of databases, only their schema or only their rows'),
  tables: z.string().min(1).optional().describe('Of databases, only the tables of this group, as their stores define it under `tables`'),
  frugal: z.boolean().optional().describe('Of databases, ask the server for fingerprints and read only what has changed: for servers whose traffic costs'),
  git: z.string().min(1).optional().describe('A folder of a Git repository, relative to this file, that gets the schema of databases as SQL, and a commit when it has changed'),
  keep: keep.optional().describe('What `holdfast forget` keeps of the snapshots of this plan; everything unless said otherwise'),
});

export type PlanEntry = z.infer<typeof plan>;

/** One `to` or store of a plan that is not there. */
export interface UnknownName {
  readonly path: readonly (string | number)[];
  readonly name: string;
  readonly known: readonly string[];
}

/** Names in plans that nothing in the file has. */
export function unknownNames(plans: Readonly<Record<string, PlanEntry>>, stores: readonly string[], repositories: readonly string[]): readonly UnknownName[] {
  return Object.entries(plans).flatMap(([plan, entry]) => {
    const missing = (key: 'stores' | 'to', names: readonly string[], known: readonly string[]): readonly UnknownName[] =>
      names.flatMap((name, i) => (known.includes(name) ? [] : [{ path: ['plans', plan, key, i], name, known }]));
    return [...missing('stores', entry.stores === 'all' ? [] : (entry.stores ?? []), stores), ...missing('to', entry.to, repositories)];
  });
}

const COUNTS = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
const SPANS = [['within', 'within'], ['withinHourly', 'within-hourly'], ['withinDaily', 'within-daily'], ['withinWeekly', 'within-weekly'], ['withinMonthly', 'within-monthly'], ['withinYearly', 'within-yearly']] as const;

export function toPolicy(entry: z.infer<typeof keep>): RetentionPolicy {
  const counts = COUNTS.flatMap((name) => (entry[name] === undefined ? [] : [[name, entry[name] === 'all' ? Number.POSITIVE_INFINITY : entry[name]] as const]));
  const spans = SPANS.flatMap(([name, key]) => (entry[key] === undefined ? [] : [[name, parseSpan(entry[key])] as const]));
  return { ...Object.fromEntries(counts), ...Object.fromEntries(spans), ...(entry.tags === undefined ? {} : { tags: entry.tags.map((list) => list.split(',')) }) };
}

/** Keys and values of `keep:` that read as this policy. */
export function fromPolicy(policy: RetentionPolicy): readonly (readonly [string, string | number | readonly string[]])[] {
  const counts = COUNTS.flatMap((name) => (policy[name] === undefined ? [] : [[name, Number.isFinite(policy[name]) ? policy[name] : 'all'] as const]));
  const spans = SPANS.flatMap(([name, key]) => (policy[name] === undefined ? [] : [[key, formatSpan(policy[name])] as const]));
  return [...counts, ...spans, ...(policy.tags === undefined ? [] : [['tags', policy.tags.map((list) => list.join(','))] as const])];
}

/** Groups of tables in plans that no store of the plan defines. `groups`: by store. */
export function unknownGroups(plans: Readonly<Record<string, PlanEntry>>, groups: Readonly<Record<string, readonly string[]>>): readonly UnknownName[] {
  return Object.entries(plans).flatMap(([plan, { tables, stores }]) => {
    if (tables === undefined) return [];
    const known = [...new Set((stores === undefined || stores === 'all' ? Object.keys(groups) : stores).flatMap((store) => groups[store] ?? []))];
    return known.includes(tables) ? [] : [{ path: ['plans', plan, 'tables'], name: tables, known }];
  });
}
