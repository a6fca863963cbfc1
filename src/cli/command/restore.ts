import type { Command } from 'commander';
import type { RestorePlan, StoreRestore } from '../../operation/restore.ts';
import type { RestoreReport, RestoreStep } from '../../source/source.ts';
import { confirmInWords } from '../confirm.ts';
import { formatBytes, formatCount, formatMoment, formatSeconds, painter, plural, printable, shortId } from '../render/text.ts';
import { addRecoveryOptions, type RecoveryOptions } from '../recovery-options.ts';
import { partOfSnapshot } from '../part-options.ts';
import { addDatabaseOptions, databaseRestore, tablespaceFolders, type DatabaseOptions } from '../restore-options.ts';
import { Session, type CommonOptions } from '../session.ts';
import { snapshotNamed } from '../snapshot-named.ts';

interface Options extends CommonOptions, DatabaseOptions, RecoveryOptions {
  readonly at?: string;
  readonly snapshot?: string;
  readonly path?: string;
  readonly into?: string;
  readonly ownershipByName?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export function addRestore(program: Command): void {
  const command = program
    .command('restore')
    .summary('bring back everything, a store, a table or a path')
    .description('Rebuilds stores beside what is there, proves them against the backup, and only then puts them in place; what stood there is kept.')
    .argument('[store...]', 'stores of holdfast.yaml; default: all')
    .option('--at <moment>', "the newest restore point not after this time: '2026-11-20 14:30'; of a physical store exactly this time, or lsn:, xid:, name:, latest")
    .option('--snapshot <id>', 'this snapshot')
    .option('--path <path>', 'one file or folder of a directory')
    .option('--into <place>', 'somewhere else: a folder that does not exist yet, or for a database the name of a new one')
    .option('--ownership-by-name', 'owners by name where they exist here, not by number (with --snapshot and --into)');
  addRecoveryOptions(addDatabaseOptions(command))
    .option('--dry-run', 'only show the plan')
    .option('--yes', 'do not ask for a confirmation')
    .action(run);
}

async function run(names: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  if (names.length === 0 && options.snapshot !== undefined && options.into !== undefined && options.table === undefined) return await restoreAnySnapshot(session, options, options.snapshot, options.into);
  const [{ planRestore, executeRestore }, { chooseStores }, { parseMoment }] = await Promise.all([import('../../operation/restore.ts'), import('../../stack/stack.ts'), import('../../operation/select.ts')]);
  const stack = await session.stack();
  const repository = await session.repository();
  const stores = chooseStores(stack, names);
  if (options.at !== undefined && stores.some(({ kind }) => kind === 'cluster')) {
    const { recover, recoverPart, onlyCluster } = await import('../recover.ts');
    const [job, wish] = [{ session, stack, repository, options: { ...options, at: options.at } }, databaseRestore(options, stores)];
    return await (wish === undefined && options.database === undefined ? recover(job, onlyCluster(stores)) : recoverPart(job, onlyCluster(stores), wish ?? {}));
  }
  const at = options.at === undefined ? undefined : parseMoment(options.at);
  const plan = await planRestore({
    stack, stores, repository, at, snapshot: options.snapshot, part: options.path, into: options.intoDatabase ?? options.into, database: databaseRestore(options, stores), tablespaces: tablespaceFolders(options),
  }, session.context);
  if (options.dryRun) return session.answer(planDocument(plan), planLines(plan));
  if (!options.yes && plan.items.some(({ replaces }) => replaces)) await confirmInWords(session, planLines(plan), stack.name);
  const restored = await executeRestore(plan, repository, session.context);
  session.answer({ restored }, restored.flatMap(restoredLines));
}

/** Files of any snapshot, also of one that restic wrote: needs no holdfast.yaml. */
async function restoreAnySnapshot(session: Session, options: Options, name: string, into: string): Promise<void> {
  const { restoreFiles } = await import('../../operation/restore.ts');
  const repository = await session.repository();
  const snapshot = await snapshotNamed(repository, name);
  const from = options.path ?? '/';
  if (options.dryRun) return session.answer({ snapshot: snapshot.id, from, into }, [`Would restore ${from} of snapshot ${shortId(snapshot.id)} to ${into}.`]);
  const started = session.clock.elapsedMs();
  const report = await restoreFiles({ repository, snapshot, from, into, ownershipByName: options.ownershipByName ?? false }, session.context);
  const seconds = (session.clock.elapsedMs() - started) / 1000;
  session.answer({ snapshot: snapshot.id, report, seconds }, [...reportLines(`snapshot ${shortId(snapshot.id)}`, report, seconds)]);
}

function planDocument(plan: RestorePlan): object {
  return {
    stack: plan.stack, warnings: plan.warnings,
    items: plan.items.map(({ store, snapshot, part, into, database, sentence, replaces, steps }) => ({ store: store.name, snapshot: snapshot.id, time: snapshot.time, part, into, ...database, sentence, replaces, steps })),
  };
}

const VERBS: Readonly<Record<RestoreStep['action'], string>> = { create: 'create', map: 'change', skip: 'leave out', drop: 'DROP', replace: 'replace', note: 'note' };

function planLines(plan: RestorePlan): readonly string[] {
  const items = plan.items.flatMap(({ store, snapshot, sentence, steps }) => {
    const part = partOfSnapshot(snapshot);
    const from = `snapshot ${shortId(snapshot.id)}${part === undefined ? '' : `, which holds only a part (${part})`}`;
    return [
      `  ${store.name}, of ${formatMoment(new Date(snapshot.time))} (${from}): ${sentence}.`,
      ...steps.map(({ action, subject, detail }) => `    ${VERBS[action].padEnd(9)} ${printable(`${subject}: ${detail}`)}`),
    ];
  });
  return ['Plan:', ...items, ...plan.warnings.map((warning) => `note: ${warning}`)];
}

function restoredLines({ store, report, seconds }: StoreRestore): readonly string[] {
  return reportLines(store, report, seconds);
}

const SHOWN = 20;

function reportLines(name: string, report: RestoreReport, seconds: number): readonly string[] {
  const paint = painter(process.stdout);
  const { bytes, ...counts } = report.counts;
  const what = Object.entries(counts).filter(([, count]) => count > 0).map(([word, count]) => plural(count, word.replace(/s$/, '')));
  const size = bytes === undefined ? '' : ` (${formatBytes(bytes)})`;
  const unequal = report.proof.filter(({ equal }) => !equal);
  const equal = report.proof.length - unequal.length;
  const lines = [`${paint('green', 'restored')} ${name} to ${printable(report.target)}: ${what.join(', ')}${size}, in ${formatSeconds(seconds)}.`];
  if (equal > 0) lines.push(`  ${plural(equal, 'comparison')} with the backup, all equal.`);
  if (report.kept !== undefined) lines.push(`  What stood there before is kept as ${printable(report.kept)}.`);
  if (unequal.length > 0) lines.push(paint('yellow', `  ${plural(unequal.length, 'thing')} could not be given back as it was:`), ...unequal.slice(0, SHOWN).map(({ subject, detail }) => `    ${printable(`${subject}: ${detail}`)}`));
  if (unequal.length > SHOWN) lines.push(`    and ${formatCount(unequal.length - SHOWN)} more`);
  return lines;
}
