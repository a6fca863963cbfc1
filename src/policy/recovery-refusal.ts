/** Why a point in time cannot be reached, and the nearest that can. Pure. */
import { HoldfastError } from '../base/errors.ts';
import { formatLsn } from '../client/postgres/replication/lsn.ts';
import { formatInstant } from './recovery-wish.ts';
import { periodsOf, type StoredLog, type UsableBase } from './stored-log.ts';
import type { LineagePiece, LogRun } from './wal-lineage.ts';

/** What refusals speak of. */
export interface Circumstances {
  readonly log: StoredLog;
  readonly timeline: number;
  readonly lineage: readonly LineagePiece[];
  readonly bases: readonly UsableBase[];
}

/** A time that lies before, behind or between what is stored. Only times for which `reachable` says so are offered instead. */
export function uncovered(circumstances: Circumstances, us: bigint, reachable: (us: bigint) => boolean): HoldfastError {
  const { log, timeline, bases } = circumstances;
  const periods = periodsOf(log, bases);
  const before = ascending(periods.map(({ until }) => until)).findLast((until) => until < us && reachable(until));
  const after = ascending(periods.map(({ from }) => from)).find((from) => from > us && reachable(from));
  const offers = [before, after].flatMap((one) => (one === undefined ? [] : [`--at '${formatInstant(one)}'`]));
  const facts = offers.length === 0 ? { hint: 'What is stored can be brought forward with --at latest.' } : { hint: `Ask for ${offers.join(' or ')}.` };
  const holed = bases.find(({ base, run }) => base.endedUs <= us && run.resumes !== undefined);
  if (holed !== undefined) return new HoldfastError('wal-gap', `${formatInstant(us)} cannot be reached: ${missing(log, holed.run)}; ${nearest(before, after)}`, facts);
  const first = ascending(bases.map(({ base }) => base.endedUs))[0] ?? us;
  const why = us < first ? `is before the first base backup of ${log.store} was complete` : `is later than what is stored of ${log.store}`;
  const where = timeline === 1 ? '' : ` on timeline ${timeline}`;
  return new HoldfastError('moment-uncovered', `${formatInstant(us)} ${why}${where}; ${nearest(before, after)}`, facts);
}

/** Something lies behind a hole in the log. */
export function gap({ log, bases }: Circumstances, run: LogRun, what: string): HoldfastError {
  const until = ascending(periodsOf(log, bases).map((period) => period.until)).at(-1);
  const before = until === undefined ? '' : `The nearest before it: --at '${formatInstant(until)}'. `;
  return new HoldfastError('wal-gap', `${what} cannot be reached: ${missing(log, run)}`, { hint: `${before}Make a new base backup, so that what comes after the hole can be reached.` });
}

/** It was written on a timeline that the chosen one does not come from, or after it had left it. */
export function abandoned({ timeline, lineage }: Circumstances, what: string, branch: number): HoldfastError {
  const left = lineage.find((piece) => piece.timeline === branch)?.until;
  const where = left === undefined ? '' : `, after the servers had left it at ${formatLsn(left)}`;
  return new HoldfastError('moment-uncovered', `${what} was written on timeline ${branch}${where}: timeline ${timeline} does not come from there, that branch was abandoned`, { hint: `If you want that branch, give --timeline ${branch}.` });
}

export function unreachable({ log, bases }: Circumstances, sentence: string): HoldfastError {
  const shown = periodsOf(log, bases).slice(0, 3).map(({ from, until }) => `${formatInstant(from)} to ${formatInstant(until)}`);
  return new HoldfastError('moment-uncovered', sentence, shown.length === 0 ? {} : { hint: `What can be reached: ${shown.join('; ')}.` });
}

export function noUsableBase(circumstances: Circumstances): HoldfastError {
  const { log, lineage, timeline } = circumstances;
  if (log.bases.length === 0) return new HoldfastError('snapshot-missing', `there is no base backup of ${log.store} in this repository`, { hint: `Make one with \`holdfast backup ${log.store}\`.` });
  const timelines = [...new Set(log.bases.map((base) => base.timeline))].sort((a, b) => a - b);
  const foreign = timelines.every((one) => !lineage.some((piece) => piece.timeline === one));
  if (foreign) return new HoldfastError('moment-uncovered', `no base backup of ${log.store} leads to timeline ${timeline}: they are of timeline ${timelines.join(', ')}, which it does not come from`, { hint: `Make one with \`holdfast backup ${log.store}\`, or choose another with --timeline.` });
  return new HoldfastError('wal-gap', `the write-ahead log that belongs to the base backups of ${log.store} is not stored, so that none of them can be used on timeline ${timeline}`, { hint: `Keep \`holdfast wal follow ${log.store}\` running while backups are made, and make a new one.` });
}

function missing({ store }: StoredLog, { until, resumes }: LogRun): string {
  return `write-ahead log of ${store} is missing from ${formatLsn(until)} to ${resumes === undefined ? 'its end' : formatLsn(resumes)}`;
}

function nearest(before: bigint | undefined, after: bigint | undefined): string {
  if (before === undefined && after === undefined) return 'no other time can be reached either';
  return `the nearest that can be reached is ${[...(before === undefined ? [] : [`${formatInstant(before)} before it`]), ...(after === undefined ? [] : [`${formatInstant(after)} after it`])].join(', and ')}`;
}

function ascending(values: readonly bigint[]): readonly bigint[] {
  return values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
