import type { Command } from 'commander';
import type { PlannedLock, UnlockReport } from '../../repository/repository.ts';
import { confirmInWords } from '../confirm.ts';
import { plural, printable, shortId } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';

interface Options extends CommonOptions {
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export function addUnlock(program: Command): void {
  program
    .command('unlock')
    .summary('remove locks that nobody holds any more')
    .description('Removes stale locks: those without a sign of life for 30 minutes, and those of processes of this host that are gone. Shows the others.')
    .option('--all', 'remove every lock, also of processes that may be at work; asks first')
    .option('--dry-run', 'only show the locks')
    .option('--yes', 'do not ask for a confirmation')
    .action(run);
}

async function run(options: Options): Promise<void> {
  await using session = new Session(options);
  const { planUnlock, executeUnlock } = await import('../../operation/unlock.ts');
  const repository = await session.repository();
  const plan = await planUnlock(repository, options.all ?? false);
  const lines = plan.map(lineOf);
  if (options.dryRun) return session.answer({ executed: false, locks: plan }, plan.length === 0 ? [`${repository.location} is not locked.`] : [...lines, 'Nothing was removed.']);
  if (options.all && !options.yes && plan.some(({ remove }) => remove)) {
    await confirmInWords(session, [...lines, 'Whoever holds one of these and is still at work may be writing to, or removing from, the same repository as the next one.'], 'unlock', 'removes locks of others');
  }
  const report = await executeUnlock(repository, plan);
  session.answer({ executed: true, locks: plan, removed: report.removed.map(({ id }) => id), kept: report.kept.map(({ id }) => id) }, [...lines, ...reportLines(plan, report, repository.location)]);
}

function lineOf({ id, text, remove, reason }: PlannedLock): string {
  return printable(`  ${remove ? 'remove' : 'leave '} ${shortId(id)}: ${text} (${reason})`);
}

function reportLines(plan: readonly PlannedLock[], { removed, kept }: UnlockReport, location: string): readonly string[] {
  if (plan.length === 0) return [`${location} is not locked.`];
  const stay = plan.length - removed.length - kept.length;
  return [
    `Removed ${plural(removed.length, 'lock')} of ${location}${stay === 0 ? '' : `; ${plural(stay, 'lock')} stayed`}.`,
    ...(stay > 0 ? ['If a process that holds one is dead on another host, its lock is passed over 30 minutes after its last sign of life. --all removes it now.'] : []),
    ...(kept.length > 0 ? [`${plural(kept.length, 'lock')} could not be removed: these credentials may not remove files. They go stale by themselves.`] : []),
  ];
}
