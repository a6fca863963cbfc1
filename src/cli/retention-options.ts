/** The options of `forget` that say what to keep, as restic names them. */
import type { Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { parseSpan, type Span } from '../policy/calendar.ts';
import type { RetentionPolicy } from '../policy/retention.ts';

export interface RetentionOptions {
  readonly keepLast?: string;
  readonly keepHourly?: string;
  readonly keepDaily?: string;
  readonly keepWeekly?: string;
  readonly keepMonthly?: string;
  readonly keepYearly?: string;
  readonly keepWithin?: string;
  readonly keepWithinHourly?: string;
  readonly keepWithinDaily?: string;
  readonly keepWithinWeekly?: string;
  readonly keepWithinMonthly?: string;
  readonly keepWithinYearly?: string;
  readonly keepTag: readonly string[];
}

export function addRetentionOptions(command: Command): Command {
  command.option('--keep-last <n>', 'the newest n; all for every one');
  for (const [period, unit] of [['hourly', 'hour'], ['daily', 'day'], ['weekly', 'week'], ['monthly', 'month'], ['yearly', 'year']]) {
    command.option(`--keep-${period} <n>`, `one of each of the last n ${unit}s that have one`);
  }
  command.option('--keep-within <span>', 'all that are younger, counted back from the newest: 30d, 12h, 1y6m');
  for (const [period, unit] of [['hourly', 'hour'], ['daily', 'day'], ['weekly', 'week'], ['monthly', 'month'], ['yearly', 'year']]) {
    command.option(`--keep-within-${period} <span>`, `one of each ${unit} of those that are younger`);
  }
  return command.option('--keep-tag <tag>', 'all with this tag; several joined by commas must all be there; repeatable', (value: string, before: readonly string[]) => [...before, value], []);
}

/** The policy of the options; undefined when none is given. Throws `usage`. */
export function policyOf(options: RetentionOptions): RetentionPolicy | undefined {
  const { keepTag } = options;
  const policy: RetentionPolicy = {
    last: count('last', options.keepLast), hourly: count('hourly', options.keepHourly), daily: count('daily', options.keepDaily), weekly: count('weekly', options.keepWeekly),
    monthly: count('monthly', options.keepMonthly), yearly: count('yearly', options.keepYearly), within: span('within', options.keepWithin), withinHourly: span('within-hourly', options.keepWithinHourly),
    withinDaily: span('within-daily', options.keepWithinDaily), withinWeekly: span('within-weekly', options.keepWithinWeekly), withinMonthly: span('within-monthly', options.keepWithinMonthly),
    withinYearly: span('within-yearly', options.keepWithinYearly), tags: keepTag.length === 0 ? undefined : keepTag.map((list) => list.split(',')),
  };
  return Object.values(policy).some((rule) => rule !== undefined) ? policy : undefined;
}

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'all' || text === 'unlimited') return Number.POSITIVE_INFINITY;
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new HoldfastError('usage', `--keep-${name} ${text}: '${text}' is no number from 1`, { hint: `Write a number, or all. To keep none for this rule, leave --keep-${name} out.` });
}

function span(name: string, text: string | undefined): Span | undefined {
  if (text === undefined) return undefined;
  const parsed = parseSpan(text);
  if (parsed !== undefined) return parsed;
  throw new HoldfastError('usage', `--keep-${name} ${text}: '${text}' is no length of time`, { hint: 'Write it like 30d, 12h or 1y6m: years, months, days and hours, in this order.' });
}
