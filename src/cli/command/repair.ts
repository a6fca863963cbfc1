import type { Command } from 'commander';
import type { BrokenSnapshot, DamagedPack, RepairIndexPlan, RepairSnapshotsPlan, RepairSnapshotsReport } from '../../repository/repository.ts';
import { tagValue } from '../../repository/repository.ts';
import { confirmInWords } from '../confirm.ts';
import { formatBytes, formatMoment, painter, plural, printable, shortId } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';
import { addWaitOption } from '../wait-option.ts';

interface Options extends CommonOptions {
  readonly all?: boolean;
  readonly forget?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/** In this order a damage is mended; it stands at the end of every answer that leaves something lost. */
const BACKUP_FIRST = 'Run `holdfast backup` before `holdfast repair snapshots`: it stores anew what the sources still have, and then less is lost.';

export function addRepair(program: Command): void {
  const repair = program
    .command('repair')
    .summary('mend what can be mended, and name what is lost')
    .description('Mends a damaged repository. Copy it before you begin. In order: `check --read-data` names the damage, `repair index`, `repair packs`, a backup, and `repair snapshots` for what is lost for good.');
  const index = repair
    .command('index')
    .description('Makes the index say again what the packs hold: adds packs that it does not name, drops those that are missing, replaces index files that cannot be read.')
    .option('--all', 'read the header of every pack and believe nothing that the index says');
  const packs = repair
    .command('packs')
    .description('Saves what can be read of damaged packs into new ones, and takes them out of the index; the old files stay until prune removes them.')
    .argument('<id...>', 'ids of packs as `check` names them, or their beginnings');
  const snapshots = repair
    .command('snapshots')
    .description('Copies snapshots that have lost something without what is lost, which is named path by path. The copies are tagged `repaired`, and are degraded.')
    .argument('[id...]', 'only these snapshots; default: all')
    .option('--forget', 'remove the old snapshots when their copies stand');
  for (const command of [index, packs, snapshots]) addWaitOption(command.option('--dry-run', 'only show what would be done').option('--yes', 'do not ask for a confirmation'));
  index.action(runIndex);
  packs.action(runPacks);
  snapshots.action(runSnapshots);
}

interface Steps<Plan, Done> {
  plan(): Promise<Plan>;
  lines(plan: Plan): readonly string[];
  /** Nothing is to be done. */
  idle(plan: Plan): boolean;
  execute(): Promise<Done>;
  planOf(done: Done): Plan;
  doneLines(done: Done): readonly string[];
}

/** Shows the plan, asks, does it. Without a person to ask and without --yes, the plan is all. */
async function carryOut<Plan, Done extends object>(session: Session, options: Options, steps: Steps<Plan, Done>): Promise<void> {
  if (!options.yes) {
    const plan = await steps.plan();
    const lines = steps.lines(plan);
    const asks = process.stdin.isTTY && process.stdout.isTTY && !options.json;
    if (steps.idle(plan)) return session.answer({ executed: false, plan }, lines);
    if (options.dryRun || !asks) return session.answer({ executed: false, plan }, [...lines, options.dryRun ? 'Nothing was changed.' : 'Nothing was changed yet. Do it with --yes.']);
    await confirmInWords(session, lines, 'repair', 'changes the repository');
  } else if (options.dryRun) return await carryOut(session, { ...options, yes: false }, steps);
  const done = await steps.execute();
  const plan = steps.planOf(done);
  session.answer({ executed: true, ...done }, [...(options.yes ? steps.lines(plan) : []), ...(steps.idle(plan) ? [] : steps.doneLines(done))]);
}

async function runIndex(options: Options): Promise<void> {
  await using session = new Session(options);
  const { planRepairIndex, repairIndex } = await import('../../operation/repair.ts');
  const repository = await session.repository();
  const all = options.all ?? false;
  await carryOut(session, options, {
    plan: () => planRepairIndex(repository, all, session.context), lines: (plan) => indexLines(plan, repository.location), idle: ({ idle }) => idle,
    execute: () => repairIndex(repository, all, session.context), planOf: ({ plan }) => plan,
    doneLines: ({ kept }) => [`The index of ${repository.location} says again what its packs hold.`, ...(kept.length > 0 ? [`note: ${plural(kept.length, 'old index file')} stay until their object lock ends.`] : [])],
  });
}

function indexLines(plan: RepairIndexPlan, location: string): readonly string[] {
  const { damaged, missing, added, changed, unreadable } = plan;
  const bad = unreadable.map(({ id, message }) => printable(`  pack ${id} can be read by nobody: ${message}`));
  if (plan.idle) return [`The index of ${location} says what its packs hold; there is nothing to mend.`, ...bad];
  return [
    ...damaged.map(({ id, message }) => printable(`  replace index ${shortId(id)}: ${message}`)),
    ...missing.map(({ id, blobs }) => `  drop pack ${id}, which is not there, with ${plural(blobs, 'blob')}`),
    ...added.map(({ id, blobs }) => `  add pack ${id} with ${plural(blobs, 'blob')}`),
    ...changed.map((id) => `  correct pack ${id}, whose header says something else`),
    ...bad,
    `${plural(added.length, 'pack')} to add, ${missing.length} to drop, ${changed.length} to correct; ${plural(plan.indexFiles, 'index file')} to replace.`,
    ...(missing.length > 0 ? [BACKUP_FIRST] : []),
  ];
}

async function runPacks(ids: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const { planRepairPacks, repairPacks } = await import('../../operation/repair.ts');
  const repository = await session.repository();
  await carryOut(session, options, {
    plan: () => planRepairPacks(repository, ids, session.context), lines: packLines, idle: (packs) => packs.every(({ sound }) => sound),
    execute: () => repairPacks(repository, ids, session.context), planOf: ({ packs }) => packs,
    doneLines: ({ packs, report }) => [
      `Saved ${plural(report.blobsSaved, 'blob')} into ${plural(report.packsWritten, 'new pack')}. The damaged packs are out of the index; prune removes their files after its grace time.`,
      ...(packs.some(({ lost }) => lost.length > 0) ? [BACKUP_FIRST] : []),
    ],
  });
}

function packLines(packs: readonly DamagedPack[]): readonly string[] {
  return packs.flatMap(({ id, size, readable, lost, sound }) => {
    if (sound) return [`pack ${id} is sound; it is left as it is.`];
    const what = size === undefined ? 'is missing' : `has ${formatBytes(size)}, of which ${plural(readable, 'blob')} can be read`;
    return [`pack ${id} ${what}; ${lost.length === 0 ? 'nothing is lost with it' : `${plural(lost.length, 'blob')} ${lost.length === 1 ? 'is' : 'are'} lost:`}`, ...lost.map((blob) => `  ${blob.type} ${blob.id}`)];
  });
}

async function runSnapshots(ids: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const { planRepairSnapshots, repairSnapshots } = await import('../../operation/repair.ts');
  const repository = await session.repository();
  const request = { ids, forget: options.forget ?? false };
  const idle = ({ broken, unreadable }: RepairSnapshotsPlan): boolean =>
    !broken.some(({ outcome }) => outcome === 'repair' || request.forget) && !(request.forget && unreadable.length > 0);
  await carryOut(session, options, {
    plan: () => planRepairSnapshots(repository, request, session.context), lines: snapshotLines, idle,
    execute: () => repairSnapshots(repository, request, session.context), planOf: ({ plan }) => plan,
    doneLines: ({ report }) => doneLines(report),
  });
}

function snapshotLines({ looked, broken, unreadable }: RepairSnapshotsPlan): readonly string[] {
  const bad = unreadable.map(({ id, message }) => printable(`snapshot ${shortId(id)} itself cannot be read: ${message}`));
  if (broken.length === 0) return [...bad, `${plural(looked, 'snapshot')} looked at: none has lost anything that the index knows of.`];
  return [...bad, ...broken.flatMap(brokenLines), ...(broken.some(({ outcome }) => outcome === 'repair') ? [BACKUP_FIRST] : [])];
}

function brokenLines({ snapshot, lost, outcome, repaired }: BrokenSnapshot): readonly string[] {
  const name = `${shortId(snapshot.id)} of ${formatMoment(new Date(snapshot.time))}${tagValue(snapshot, 'store') === undefined ? '' : ` (${tagValue(snapshot, 'store')})`}`;
  if (outcome === 'nothing-left') return [printable(`snapshot ${name}: the listing of its root is lost, so nothing of it can be restored.`)];
  const paths = lost.map(({ path, folder }) => `  ${path}${folder ? '/ with all that was in it' : ''}`);
  const copy = repaired === undefined ? '' : `, and ${shortId(repaired)} is its copy without it`;
  return [`snapshot ${name} has lost ${plural(lost.length, 'path')}${copy}:`, ...paths].map(printable);
}

function doneLines({ repaired }: RepairSnapshotsReport): readonly string[] {
  const paint = painter(process.stdout);
  const made = repaired.filter(({ to }) => to !== undefined);
  const gone = repaired.filter(({ removed }) => removed);
  return [
    ...made.map(({ from, to, removed }) => `${paint('green', shortId(to ?? ''))} is the copy of ${shortId(from)}${removed ? ', which was removed' : ''}.`),
    `${plural(made.length, 'copy').replace(/copys$/, 'copies')} of what is left${gone.length > 0 ? `; ${plural(gone.length, 'old snapshot')} removed` : '; the old snapshots stay (--forget removes them)'}.`,
  ];
}
