import { Option, type Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { BackupReport, StoreBackup } from '../../operation/backup.ts';
import type { Compression } from '../../repository/repository.ts';
import { formatBytes, formatCount, formatSeconds, painter, plural, printable, shortId, table, type Style } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';

interface Options extends CommonOptions {
  readonly compression: Compression;
  readonly tag: readonly string[];
}

export function addBackup(program: Command): void {
  program
    .command('backup')
    .summary('make one restore point of all stores, or of those named')
    .description('Makes one restore point of all stores of the stack, or of those named.')
    .argument('[store...]', 'stores of holdfast.yaml; default: all that are to be backed up')
    .addOption(new Option('--compression <how>', 'how data is compressed').choices(['off', 'auto', 'max']).default('auto'))
    .option('--tag <tag>', 'a tag for the snapshots; repeatable', (value: string, before: readonly string[]) => [...before, value], [])
    .action(run);
}

async function run(names: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const [{ backup }, { chooseStores }] = await Promise.all([import('../../operation/backup.ts'), import('../../stack/stack.ts')]);
  const stack = await session.stack();
  const stores = chooseStores(stack, names);
  if (stores.length === 0) throw new HoldfastError('config', `the stack ${stack.name} has no store that is to be backed up`, { hint: 'Add one under `stores:` in holdfast.yaml.' });
  const repository = await session.repository();
  const report = await backup({ stack, stores, repository, compression: options.compression, tags: options.tag }, session.context);
  session.answer(backupDocument(report), backupLines(report, repository.location));
  process.exitCode = exitCode(report);
}

/** The worst of the stores decides; problems are named above. */
function exitCode(report: BackupReport): number {
  const failed = report.stores.find((store) => store.state === 'failed');
  if (failed?.state === 'failed') return failed.error.exitCode;
  return report.state === 'degraded' ? new HoldfastError('source-incomplete', '').exitCode : 0;
}

export function backupDocument(report: BackupReport): object {
  return {
    run: report.run, state: report.state, warnings: report.warnings, startedAt: report.startedAt, seconds: report.seconds,
    stores: report.stores.map((store) =>
      store.state === 'failed'
        ? { store: store.store, kind: store.kind, state: store.state, seconds: store.seconds, error: { code: store.error.code, message: store.error.message, hint: store.error.hint } }
        : {
            store: store.store, kind: store.kind, state: store.state, seconds: store.seconds, snapshot: store.snapshot, counts: store.counts, problems: store.problems,
            bytesRead: store.archived.totalBytes, bytesAdded: store.archived.dataAdded, bytesStored: store.archived.dataAddedPacked,
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
  return [paint('dim', head), ...painted, ...(problems.length > 0 ? ['', ...problems] : []), '', ...report.warnings.map((warning) => `${paint('yellow', 'warning:')} ${warning}`), `Restore point ${report.run} is ${paint(STYLES[report.state], report.state)}, in ${location}, after ${formatSeconds(report.seconds)}.`];
}

function whatOf(store: Exclude<StoreBackup, { state: 'failed' }>): string {
  const { counts } = store;
  const parts = ['databases', 'tables', 'rows', 'files'].flatMap((name) => (counts[name] === undefined ? [] : [plural(counts[name], name.slice(0, -1))]));
  return parts.join(', ');
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
