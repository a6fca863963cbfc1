import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { ForgetGroup, ForgetItem, ForgetPlan, ForgetReport, ForgetRequest } from '../../operation/forget.ts';
import { tagValue, type Repository } from '../../repository/repository.ts';
import type { Stack } from '../../stack/stack.ts';
import { confirmInWords } from '../confirm.ts';
import { formatCount, formatMoment, painter, plural, printable, shortId, table } from '../render/text.ts';
import { partOfSnapshot } from '../part-options.ts';
import { addRetentionOptions, policyOf, type RetentionOptions } from '../retention-options.ts';
import { Session, type CommonOptions } from '../session.ts';
import { addWaitOption } from '../wait-option.ts';
import { pruneByDefault } from './prune.ts';
import { verifiedText } from './snapshots.ts';

interface Options extends CommonOptions, RetentionOptions {
  readonly prune?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export function addForget(program: Command): void {
  const command = program
    .command('forget')
    .summary('drop snapshots by rules, or by their ids')
    .description(
      'Shows which snapshots the rules keep and which go, each with its reasons, and drops them once that is confirmed. Rules count per store, and only what is ok. '
      + 'The last verified snapshot of a store and its newest that is ok always stay, and a store whose newest snapshot is not ok is left alone. '
      + 'Without rules, those of the plans in holdfast.yaml hold for the snapshots of each plan. The space is freed by `holdfast prune`.',
    )
    .argument('[store|id...]', 'only these stores; or beginnings of ids: these snapshots go');
  addRetentionOptions(command)
    .option('--prune', 'then free the space, as `holdfast prune` does without options')
    .option('--dry-run', 'only show what would go')
    .option('--yes', 'do not ask for a confirmation');
  addWaitOption(command).action(run);
}

async function run(names: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const { planForget, executeForget } = await import('../../operation/forget.ts');
  const stack = await session.stackIfAny();
  const repository = await session.repository();
  const request = await requestOf(names, options, stack, repository);
  const plan = await planForget(request, repository, session.clock.now());
  const lines = planLines(plan);
  if (plan.removals.length === 0) return session.answer(documentOf(plan, undefined), [...lines, 'There is nothing to drop.']);
  const asks = process.stdin.isTTY && process.stdout.isTTY && !options.json;
  if (options.dryRun || (!options.yes && !asks)) {
    return session.answer(documentOf(plan, undefined), [...lines, options.dryRun ? 'Nothing was dropped.' : 'Nothing was dropped yet. Do it with --yes.']);
  }
  if (!options.yes) await confirmInWords(session, lines, stack?.name ?? 'forget', `drops ${plural(plan.removals.length, 'snapshot')}`);
  const report = await executeForget(plan, request, repository, session.context);
  const pruned = options.prune ? await pruneByDefault(repository, session) : undefined;
  session.answer({ ...documentOf(plan, report), ...(pruned === undefined ? {} : { prune: pruned.document }) }, [...(options.yes ? lines : []), ...reportLines(report, options.prune ?? false), ...(pruned === undefined ? [] : ['', ...pruned.lines])]);
}

async function requestOf(names: readonly string[], options: Options, stack: Stack | undefined, repository: Repository): Promise<ForgetRequest> {
  const policy = policyOf(options);
  const known = new Set([...(stack?.stores.map(({ name }) => name) ?? []), ...(await repository.snapshots()).flatMap((snapshot) => tagValue(snapshot, 'store') ?? [])]);
  const ids = names.filter((name) => !known.has(name));
  const stores = names.filter((name) => known.has(name));
  if (ids.length > 0 && (stores.length > 0 || policy !== undefined)) {
    throw new HoldfastError('usage', `'${ids[0]}' is no store, and ids of snapshots cannot stand beside ${policy === undefined ? 'stores' : 'rules'}`, { hint: `The stores are: ${[...known].join(', ')}.` });
  }
  return { stack: stack?.name, stores, ids, policy, plans: stack?.plans ?? [], zone: Intl.DateTimeFormat().resolvedOptions().timeZone };
}

function documentOf(plan: ForgetPlan, report: ForgetReport | undefined): object {
  const groups = plan.groups.map(({ stack, store, part, plan: name, refused, notes, items }) => ({
    stack, store, part, plan: name, refused, notes,
    snapshots: items.map(({ snapshot, standing, keep, reasons }) => ({ id: snapshot.id, time: snapshot.time, state: standing.state, verified: standing.verified?.toISOString(), keep, reasons })),
  }));
  const done = report && {
    removed: report.removed.map(({ id }) => id), kept: report.kept.map(({ snapshot, message }) => ({ id: snapshot.id, because: message })), passedOver: report.passedOver.map(({ id }) => id), proofsRemoved: report.proofs,
  };
  return { executed: report !== undefined, groups, removals: plan.removals.map(({ id }) => id), leftAlone: plan.leftAlone, ...done };
}

function planLines(plan: ForgetPlan): readonly string[] {
  const going = new Set(plan.removals);
  const stay = new Set(plan.groups.flatMap(({ items }) => items.map(({ snapshot }) => snapshot)).filter((snapshot) => !going.has(snapshot))).size;
  const alone = plan.leftAlone === 0 ? '' : `; ${formatCount(plan.leftAlone)} ${plan.leftAlone === 1 ? 'is' : 'are'} left alone, which no rule speaks of`;
  return [...plan.groups.flatMap(groupLines), `${plural(plan.removals.length, 'snapshot')} to drop, ${formatCount(stay)} to keep${alone}.`];
}

function groupLines(group: ForgetGroup): readonly string[] {
  const paint = painter(process.stdout);
  const { stack, store, plan, refused, notes, items } = group;
  const [first] = items;
  const part = first && partOfSnapshot(first.snapshot);
  const title = store === undefined ? 'snapshots that were named' : printable(`${store} of ${stack ?? ''}${part === undefined ? '' : `, ${part}`}${plan === undefined ? '' : `, plan ${plan}`}`);
  const shown = notes.map((note) => `  ${paint('yellow', 'note:')} ${printable(note)}`);
  if (refused !== undefined) return [paint('bold', title), `  ${paint('yellow', 'left alone:')} ${printable(refused)}.`, `  ${plural(items.length, 'snapshot')} stay${items.length === 1 ? 's' : ''}.`, ...shown, ''];
  const [head = '', ...rows] = table([{ title: '' }, { title: 'snapshot' }, { title: 'time' }, { title: 'state' }, { title: 'verified' }, { title: 'why' }], items.map(rowOf));
  const painted = rows.map((row, i) => (items[i]?.keep ? row.replace('keep', paint('green', 'keep')) : row.replace('drop', paint('red', 'drop'))));
  return [paint('bold', title), `  ${paint('dim', head)}`, ...painted.map((row) => `  ${row}`), ...shown, ''];
}

function rowOf({ snapshot, standing, keep, reasons }: ForgetItem): readonly string[] {
  const state = standing.state === 'unknown' ? '' : standing.state;
  return [keep ? 'keep' : 'drop', shortId(snapshot.id), formatMoment(new Date(snapshot.time)), state, verifiedText(standing), printable(reasons.join('; '))];
}

function reportLines({ removed, kept, passedOver, proofs }: ForgetReport, prunes: boolean): readonly string[] {
  const paint = painter(process.stdout);
  return [
    `${paint('green', 'dropped')} ${plural(removed.length, 'snapshot')}${proofs === 0 ? '' : ` and ${plural(proofs, 'proof')}`}.${removed.length === 0 || prunes ? '' : ' The space is freed by `holdfast prune`.'}`,
    ...(kept.length === 0 ? [] : [`${plural(kept.length, 'snapshot')} could not be dropped yet, because an object lock keeps ${kept.length === 1 ? 'it' : 'them'}:`, ...kept.map(({ message }) => `  ${printable(message)}`)]),
    ...(passedOver.length === 0 ? [] : [`${plural(passedOver.length, 'snapshot')} of the plan ${passedOver.length === 1 ? 'was' : 'were'} passed over: gone already, or needed since others are gone: ${passedOver.map(({ id }) => shortId(id)).join(', ')}.`]),
  ];
}
