import type { Command } from 'commander';
import { toText } from '../../base/raw-name.ts';
import type { DiffSums } from '../../operation/diff.ts';
import type { Change, DiffEntry, Snapshot } from '../../repository/repository.ts';
import { JsonList, printLine } from '../print-line.ts';
import { formatBytes, formatCount, formatMoment, painter, plural, printable, shortId, type Style } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';
import { snapshotNamed } from '../snapshot-named.ts';

interface Options extends CommonOptions {
  readonly stat?: boolean;
  readonly metadata?: boolean;
}

export function addDiff(program: Command): void {
  program
    .command('diff')
    .summary('what changed from one snapshot to another')
    .description('Shows what changed from one snapshot to another: + added, - removed, M other content, U other owner, mode, time or attributes, T another type.')
    .argument('<before>', 'the beginning of an id, `latest`, the name of a store for its newest, or STORE@TIME for the newest not after a time')
    .argument('<after>', 'the same')
    .option('--stat', 'only the sums')
    .option('--metadata', 'also folders that only have another time')
    .action(run);
}

async function run(first: string, second: string, options: Options): Promise<void> {
  await using session = new Session(options);
  const { diff } = await import('../../operation/diff.ts');
  const repository = await session.repository();
  const [before, after] = [await snapshotNamed(repository, first), await snapshotNamed(repository, second)];
  const list = new JsonList(`{"before":"${before.id}","after":"${after.id}","changes":[`);
  const paint = painter(process.stdout);
  const silent = options.stat ?? false;
  if (!options.json && !silent) await printLine(`${paint('dim', 'from')} ${titleOf(before)} ${paint('dim', 'to')} ${titleOf(after)}\n`);
  const sums = await diff({ before, after, folderTimes: options.metadata ?? false }, repository, session.context, async (entry) => {
    if (silent) return;
    if (options.json) await list.add({ ...entry, path: toText(entry.path) });
    else await printLine(lineOf(entry, paint));
  });
  if (options.json && !silent) return await list.end(`],${JSON.stringify(sums).slice(1)}`);
  session.answer({ before: before.id, after: after.id, ...sums }, sumLines(sums, silent));
}

const STYLES: Readonly<Record<Change, Style>> = { '+': 'green', '-': 'red', M: 'yellow', U: 'cyan', T: 'magenta' };

function titleOf({ id, time }: Snapshot): string {
  return `${shortId(id)} of ${formatMoment(new Date(time))}`;
}

function lineOf({ path, change, before, after }: DiffEntry, paint: ReturnType<typeof painter>): string {
  const side = after ?? before;
  const type = change === 'T' ? `  (was ${before?.type ?? ''}, is ${after?.type ?? ''})` : '';
  const size = change === 'M' && side?.type === 'file' ? `  ${formatBytes(before?.size ?? 0)} → ${formatBytes(after?.size ?? 0)}` : (change === '+' || change === '-') && side?.type === 'file' ? `  ${formatBytes(side.size)}` : '';
  return `${paint(STYLES[change], change)}  ${printable(toText(path))}${side?.type === 'dir' ? '/' : ''}${paint('dim', `${size}${type}`)}`;
}

function sumLines({ counts, foldersAdded, foldersRemoved, bytesAdded, bytesRemoved, bytesBefore, bytesAfter }: DiffSums, silent: boolean): readonly string[] {
  const folders = (count: number): string => (count === 0 ? '' : ` and ${plural(count, 'folder')}`);
  const lines = [
    counts['+'] + foldersAdded === 0 ? '' : `added     ${plural(counts['+'], 'file')}${folders(foldersAdded)}, ${formatBytes(bytesAdded)}`,
    counts['-'] + foldersRemoved === 0 ? '' : `removed   ${plural(counts['-'], 'file')}${folders(foldersRemoved)}, ${formatBytes(bytesRemoved)}`,
    counts.M + counts.T === 0 ? '' : `changed   ${plural(counts.M + counts.T, 'file')}, ${formatBytes(bytesBefore)} → ${formatBytes(bytesAfter)}`,
counts.U === 0 ? '' : `metadata  ${formatCount(counts.U)} ${counts.U === 1 ? 'file or folder' : 'files and folders'}`,
  ].filter((line) => line !== '');
  return lines.length === 0 ? ['Nothing differs.'] : [...(silent ? [] : ['']), ...lines];
}
