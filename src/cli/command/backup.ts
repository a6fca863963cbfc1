import { Option, type Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { BackupReport, StoreBackup } from '../../operation/backup.ts';
import type { Compression, Repository } from '../../repository/repository.ts';
import type { EstimateOptions } from '../../operation/estimate.ts';
import type { StoreCommit } from '../../operation/schema-history.ts';
import type { PlaceCopy } from '../../operation/copy-point.ts';
import type { Part } from '../../source/source.ts';
import type { Store } from '../../stack/stack.ts';
import { scopeOf, type ScopeOptions } from '../backup-scope.ts';
import { addPartOptions, partText } from '../part-options.ts';
import { estimateDocument, estimateLines } from '../render/estimate.ts';
import { formatBytes, formatCount, formatSeconds, painter, plural, printable, shortId, table, type Style } from '../render/text.ts';
import { Session } from '../session.ts';
import { addWaitOption } from '../wait-option.ts';
import { copyDocument, copyExitCode } from './copy.ts';
import { schemaLines } from './export.ts';

interface Options extends ScopeOptions {
  readonly compression: Compression;
  readonly dryRun?: boolean;
}

export function addBackup(program: Command): void {
  const command = program
    .command('backup')
    .summary('make one restore point of all stores, or of those named')
    .description('Makes one restore point of all stores of the stack, or of those named.')
    .argument('[store...]', 'stores of holdfast.yaml; default: all that are to be backed up')
    .addOption(new Option('--compression <how>', 'how data is compressed').choices(['off', 'auto', 'max']).default('auto'))
    .option('--plan <name>', 'the stores of this plan, to its first repository, and copies of them in its others')
    .option('--tag <tag>', 'a tag for the snapshots; repeatable', (value: string, before: readonly string[]) => [...before, value], []);
  addPartOptions(command).option('--dry-run', 'only tell what would be received from database servers, as far as can be told without receiving it');
  addWaitOption(command).action(run);
}

async function run(names: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const [{ backup }, { copyPoint }, { TrafficJournal, trafficFile }] = await Promise.all([import('../../operation/backup.ts'), import('../../operation/copy-point.ts'), import('../../operation/traffic-journal.ts')]);
  const stack = await session.stack();
  const { parts, place, others, tags, frugal, git } = await scopeOf(session, stack, names, options);
  const repository = await session.open(place);
  const journal = new TrafficJournal(trafficFile(process.env));
  if (options.dryRun) return await estimate(session, { stack, parts, repository, frugal, journal });
  const partOf = (store: Store): Part | undefined => parts.find((one) => one.store === store)?.part;
  const report = await backup({ stack, stores: parts.map(({ store }) => store), repository, compression: options.compression, tags, partOf, frugal, journal }, session.context);
  const made = report.stores.flatMap((store) => (store.state === 'failed' ? [] : [store.snapshot]));
  const copies = made.length === 0 ? [] : await copyPoint(repository, made, others, session.context);
  const schemas = git === undefined ? [] : await recordSchemas(session, repository, report, git);
  session.answer({ ...backupDocument(report), ...(others.length === 0 ? {} : { copies: copies.map(placeDocument) }), ...(git === undefined ? {} : { schemas }) }, [...backupLines(report, repository.location), ...copies.flatMap(placeLines), ...schemas.flatMap(storeCommitLines)]);
  process.exitCode = exitCode(report) || Math.max(0, ...copies.map(placeExitCode), ...schemas.map((one) => ('error' in one ? one.error.exitCode : 0)));
}

async function estimate(session: Session, options: EstimateOptions): Promise<void> {
  const { estimateBackup } = await import('../../operation/estimate.ts');
  const report = await estimateBackup(options, session.context);
  session.answer(estimateDocument(report), estimateLines(report));
  process.exitCode = Math.max(0, ...report.stores.map((one) => ('error' in one ? one.error.exitCode : 0)));
}

/** The schemas of the databases, in the Git work tree that the plan names. */
async function recordSchemas(session: Session, repository: Repository, report: BackupReport, folder: string): Promise<readonly StoreCommit[]> {
  const { recordPoint } = await import('../../operation/schema-history.ts');
  const made = report.stores.flatMap((store) => (store.state === 'failed' || store.kind !== 'postgres' ? [] : [{ store: store.store, snapshot: store.snapshot }]));
  return await recordPoint(repository, made, folder, session.context);
}

function storeCommitLines(commit: StoreCommit): readonly string[] {
  if (!('error' in commit)) return schemaLines(commit);
  const { error, store } = commit;
  return [`${painter(process.stdout)('red', 'failed')} to record the schema of ${store}: ${printable(error.message)}`, ...(error.hint === undefined ? [] : [`  hint: ${error.hint}`])];
}

function placeDocument(copy: PlaceCopy): object {
  if ('report' in copy) return { repository: copy.repository, state: copy.state, ...copyDocument(copy.report) };
  return { repository: copy.repository, state: copy.state, error: { code: copy.error.code, message: copy.error.message, hint: copy.error.hint } };
}

function placeExitCode(copy: PlaceCopy): number {
  return 'report' in copy ? copyExitCode(copy.report) : copy.error.exitCode;
}

function placeLines(copy: PlaceCopy): readonly string[] {
  const paint = painter(process.stdout);
  if (!('report' in copy)) return [`The copy to ${copy.repository} ${paint('red', 'failed')}: ${printable(copy.error.message)}`, ...(copy.error.hint === undefined ? [] : [`  hint: ${copy.error.hint}`])];
  const { outcomes, location, seconds, warnings } = copy.report;
  const bytes = outcomes.reduce((sum, outcome) => sum + (outcome.state === 'copied' ? outcome.storedBytes : 0), 0);
  const failures = outcomes.flatMap((outcome) => (outcome.state === 'failed' ? [`  ${printable(outcome.error.message)}`] : []));
  return [`Its copy in ${copy.repository} is ${paint(copy.state === 'ok' ? 'green' : 'red', copy.state)}: ${formatBytes(bytes)} to ${location}, in ${formatSeconds(seconds)}.`, ...failures, ...warnings.map((warning) => `${paint('yellow', 'warning:')} ${warning}`)];
}

/** The worst of the stores decides; problems are named above. */
function exitCode(report: BackupReport): number {
  const failed = report.stores.find((store) => store.state === 'failed');
  if (failed?.state === 'failed') return failed.error.exitCode;
  return report.state === 'degraded' ? new HoldfastError('source-incomplete', '').exitCode : 0;
}

export function backupDocument(report: BackupReport): object {
  return {
    run: report.run, state: report.state, warnings: report.warnings, startedAt: report.startedAt, seconds: report.seconds, ...(report.month === undefined ? {} : { month: report.month }),
    stores: report.stores.map((store) =>
      store.state === 'failed'
        ? { store: store.store, kind: store.kind, state: store.state, seconds: store.seconds, traffic: store.traffic, error: { code: store.error.code, message: store.error.message, hint: store.error.hint } }
        : {
            store: store.store, kind: store.kind, state: store.state, seconds: store.seconds, snapshot: store.snapshot, counts: store.counts, position: store.position, problems: store.problems,
            part: store.part, traffic: store.traffic, bytesRead: store.archived.totalBytes, bytesAdded: store.archived.dataAdded, bytesStored: store.archived.dataAddedPacked,
          },
    ),
  };
}

const STYLES: Readonly<Record<StoreBackup['state'], Style>> = { ok: 'green', degraded: 'yellow', failed: 'red' };

function backupLines(report: BackupReport, location: string): readonly string[] {
  const paint = painter(process.stdout);
  const rows = report.stores.map((store) => [
    store.store, store.state, store.state === 'failed' ? '' : whatOf(store), store.state === 'failed' ? '' : formatBytes(store.archived.totalBytes),
    store.state === 'failed' ? '' : formatBytes(store.archived.dataAddedPacked), formatSeconds(store.seconds), store.state === 'failed' ? '' : shortId(store.snapshot),
  ]);
  const lines = table(
    [{ title: 'store' }, { title: 'state' }, { title: 'holds' }, { title: 'size', align: 'right' }, { title: 'stored', align: 'right' }, { title: 'time', align: 'right' }, { title: 'snapshot' }],
    rows,
  );
  const [head = '', ...body] = lines;
  const painted = body.map((line, i) => {
    const state = report.stores[i]?.state ?? 'ok';
    return line.replace(` ${state}`, ` ${paint(STYLES[state], state)}`);
  });
  const problems = report.stores.flatMap(problemLines);
  return [paint('dim', head), ...painted, ...(problems.length > 0 ? ['', ...problems] : []), '', ...trafficLines(report), ...report.warnings.map((warning) => `${paint('yellow', 'warning:')} ${warning}`), `Restore point ${report.run} is ${paint(STYLES[report.state], report.state)}, in ${location}, after ${formatSeconds(report.seconds)}.`];
}

/** `Received 2.1 MB from the server of db, sent 40 kB; 310 MB in 2026-11 so far.` */
function trafficLines({ stores, month }: BackupReport): readonly string[] {
  return stores.flatMap(({ store, traffic }, n) => {
    if (traffic === undefined) return [];
    const last = stores.slice(n + 1).every((other) => other.traffic === undefined);
    const sum = last && month !== undefined ? `; ${formatBytes(month.received)} received in ${month.month} so far` : '';
    return [`Received ${formatBytes(traffic.received)} from the server of ${printable(store)}, sent ${formatBytes(traffic.sent)}${sum}.`];
  });
}

function whatOf(store: Exclude<StoreBackup, { state: 'failed' }>): string {
  const { counts } = store;
  const part = partText(store.part);
  const counted = store.part?.only === 'schema' ? ['databases'] : ['databases', 'tables', 'rows', 'files'];
  const parts = counted.flatMap((name) => (counts[name] === undefined ? [] : [plural(counts[name], name.slice(0, -1))]));
  return printable([...(part === undefined ? [] : [`${part}:`]), [...parts, ...(store.position === undefined ? [] : [`up to ${store.position}`])].join(', ')].join(' '));
}

const SHOWN = 20;

function problemLines(store: StoreBackup): readonly string[] {
  if (store.state === 'failed') {
    return [`${store.store} failed: ${printable(store.error.message)}`, ...(store.error.hint === undefined ? [] : [`  hint: ${store.error.hint}`])];
  }
  if (store.problems.length === 0) return [];
  const lines = store.problems.slice(0, SHOWN).map(({ subject, message }) => printable(`  ${subject} ${message}`));
  const more = store.problems.length - lines.length;
  return [`${store.store}: ${plural(store.problems.length, 'thing')} could not be backed up as it should:`, ...lines, ...(more > 0 ? [`  and ${formatCount(more)} more; see manifest.json of the snapshot`] : [])];
}
