import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { MaxUnused, PrunePlan, PruneReport, Repository } from '../../repository/repository.ts';
import { parseSizeOption, parseTimeOption } from '../amount.ts';
import { confirmInWords } from '../confirm.ts';
import { formatBytes, formatMoment, painter, plural, shortId } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';
import { addWaitOption } from '../wait-option.ts';

interface Options extends CommonOptions {
  readonly maxUnused: string;
  readonly maxRepack?: string;
  readonly grace: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export function addPrune(program: Command): void {
  const command = program
    .command('prune')
    .summary('free the space of what no snapshot needs')
    .description(
      'Shows what no snapshot needs, and frees it once that is confirmed. Packs that hold nothing needed are marked and removed by the first prune after the grace time; '
      + 'what is needed of packs with much waste is moved into new ones. Nothing is removed while anything that is needed is missing.',
    )
    .option('--max-unused <limit>', 'what may stay though nobody needs it: 5% of the rest, 10G, or unlimited to move nothing for its sake', '5%')
    .option('--max-repack <size>', 'move at most so many bytes: 20G')
    .option('--grace <time>', 'how long a pack stays after it was marked: 1d, 12h; 0 removes at once', '1d')
    .option('--dry-run', 'only show the plan')
    .option('--yes', 'do not ask for a confirmation');
  addWaitOption(command).action(run);
}

async function run(options: Options): Promise<void> {
  await using session = new Session(options);
  const { planPrune, prune } = await import('../../operation/prune.ts');
  const request = {
    maxUnused: maxUnusedOf(options.maxUnused), graceMs: parseTimeOption('--grace', options.grace),
    maxRepack: options.maxRepack === undefined ? undefined : parseSizeOption('--max-repack', options.maxRepack),
  };
  const repository = await session.repository();
  const asks = process.stdin.isTTY && process.stdout.isTTY && !options.json;
  if (options.dryRun || !options.yes) {
    const plan = await planPrune(repository, request, session.context);
    const lines = planLines(plan, repository.location);
    if (plan.idle) return session.answer(documentOf(plan, undefined), lines);
    if (options.dryRun || !asks) return session.answer(documentOf(plan, undefined), [...lines, options.dryRun ? 'Nothing was changed.' : 'Nothing was changed yet. Do it with --yes.']);
    await confirmInWords(session, lines, 'prune', 'removes what is not needed');
  }
  const { plan, report } = await prune(repository, request, session.context);
  session.answer(documentOf(plan, report), [...(options.yes ? planLines(plan, repository.location) : []), ...reportLines(plan, report)]);
}

/** What this command does without options, for `forget --prune`. */
export async function pruneByDefault(repository: Repository, session: Session): Promise<{ readonly document: object; readonly lines: readonly string[] }> {
  const { prune } = await import('../../operation/prune.ts');
  const { plan, report } = await prune(repository, { maxUnused: maxUnusedOf('5%'), graceMs: parseTimeOption('--grace', '1d'), maxRepack: undefined }, session.context);
  return { document: documentOf(plan, report), lines: [...planLines(plan, repository.location), ...reportLines(plan, report)] };
}

function maxUnusedOf(text: string): MaxUnused {
  if (text === 'unlimited') return { kind: 'unlimited' };
  const [, percent] = /^(\d+(?:\.\d+)?)%$/.exec(text) ?? [];
  if (percent === undefined) return { kind: 'bytes', bytes: parseSizeOption('--max-unused', text) };
  if (Number(percent) <= 100) return { kind: 'percent', percent: Number(percent) };
  throw new HoldfastError('usage', `--max-unused: '${text}' is more than all`, { hint: 'Write 5%, 10G or unlimited.' });
}

/** Packs that stay as they are need no line of their own. */
function documentOf(plan: PrunePlan, report: PruneReport | undefined): object {
  const { packs, ...rest } = plan;
  const changed = packs.filter(({ action }) => action !== 'keep');
  return { executed: report !== undefined, ...rest, packs: packs.length, packsKept: packs.length - changed.length, changed, report };
}

const MOST_LINES = 20;

function planLines(plan: PrunePlan, location: string): readonly string[] {
  const paint = painter(process.stdout);
  const changed = plan.packs.filter(({ action }) => action !== 'keep');
  const of = (action: string): typeof changed => changed.filter((pack) => pack.action === action);
  const [repack, remove, forget] = [of('repack'), of('remove'), of('forget')];
  const lines = [
    ...plan.warnings.map((warning) => `${paint('yellow', '!')} ${warning}`),
    `${location}: ${plural(plan.snapshots, 'snapshot')} ${plan.snapshots === 1 ? 'needs' : 'need'} ${formatBytes(plan.usedBytes)}; ${formatBytes(plan.unusedBytes)} are needed by none, and ${formatBytes(plan.duplicateBytes)} are stored twice.`,
  ];
  if (plan.idle) return [...lines, ...waitingLines(plan), 'There is nothing to do.'];
  const packLines = changed.map(({ id, action, reason, size }) => `  ${action.padEnd(6)} ${shortId(id)}  ${formatBytes(size ?? 0).padStart(8)}  ${reason}`);
  return [
    ...lines,
    ...packLines.slice(0, MOST_LINES), ...(packLines.length > MOST_LINES ? [`  … and ${plural(packLines.length - MOST_LINES, 'pack')} more (--json lists them all)`] : []),
    ...(repack.length > 0 ? [`${plural(repack.length, 'pack')} to repack: ${formatBytes(plan.repackBytes)} of them are moved into new packs.`] : []),
    ...(remove.length > 0 ? [`${plural(remove.length, 'pack')} to remove.`] : []),
    ...(forget.length > 0 ? [`${plural(forget.length, 'pack')} to forget, which the index names and which are not there; nothing in them is needed.`] : []),
    ...(plan.adopted.length > 0 ? [`${plural(plan.adopted.length, 'pack')} without an index hold what is needed; they get one.`] : []),
    ...waitingLines(plan),
    ...(plan.indexFiles.length > 0 ? [`${plural(plan.indexFiles.length, 'index file')} to replace.`] : []),
    `Frees ${formatBytes(Math.max(0, plan.freesNow))} now${plan.freesLater > 0 ? `, and ${formatBytes(plan.freesLater)} more after the grace time of ${hours(plan.graceMs)}` : ''}.`,
  ];
}

function waitingLines({ waiting, expired, graceMs }: PrunePlan): readonly string[] {
  const marked = waiting.flatMap(({ since }) => (since ? [since.getTime()] : []));
  const fresh = waiting.filter(({ reason, since }) => since === undefined && reason.startsWith('no index')).length;
  return [
    ...(expired.length > 0 ? [`${plural(expired.length, 'pack')} may go now: nothing in them is needed, and their grace time is over.`] : []),
    ...(marked.length > 0 ? [`${plural(marked.length, 'pack')} ${marked.length === 1 ? 'waits' : 'wait'} for the end of the grace time, the first until ${formatMoment(new Date(Math.min(...marked) + graceMs))}.`] : []),
    ...(fresh > 0 ? [`${plural(fresh, 'pack')} without an index ${fresh === 1 ? 'holds' : 'hold'} nothing that is needed: an interrupted run left ${fresh === 1 ? 'it' : 'them'}.`] : []),
  ];
}

function hours(ms: number): string {
  const count = ms / 3_600_000;
  return count >= 48 && count % 24 === 0 ? `${count / 24} days` : `${Math.round(count * 10) / 10} hours`;
}

function reportLines(plan: PrunePlan, report: PruneReport): readonly string[] {
  const paint = painter(process.stdout);
  if (plan.idle) return report.temporary > 0 ? [`Removed ${plural(report.temporary, 'unfinished upload')}.`] : [];
  const moved = report.packsWritten > 0 ? ` ${plural(report.blobsMoved, 'blob')} moved into ${plural(report.packsWritten, 'new pack')} of ${formatBytes(report.bytesWritten)}.` : '';
  const marked = report.packsMarked > 0 ? ` ${plural(report.packsMarked, 'pack')} ${report.packsMarked === 1 ? 'waits' : 'wait'} to be removed.` : '';
  return [
    `${paint('green', 'Done')}: ${plural(report.packsRemoved, 'pack')} removed, ${formatBytes(report.bytesRemoved)} freed.${moved}${marked}`,
    ...(report.temporary > 0 ? [`Removed ${plural(report.temporary, 'unfinished upload')}.`] : []),
    ...report.kept.slice(0, 10).map(({ kind, id, message }) => `note: ${kind} ${shortId(id)} stays for now: ${message}`),
  ];
}
