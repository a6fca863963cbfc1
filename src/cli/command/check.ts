import { Option, type Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { tagValue, type CheckReport, type ReadData } from '../../repository/repository.ts';
import { formatBytes, formatMoment, formatSeconds, painter, plural, printable, shortId } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';
import { addWaitOption } from '../wait-option.ts';

interface Options extends CommonOptions {
  readonly readData?: boolean;
  readonly readDataSubset?: string;
}

export function addCheck(program: Command): void {
  const command = program
    .command('check')
    .summary('is the repository sound?')
    .description('Checks that the repository is sound: indexes, packs, snapshots and trees; with --read-data every stored byte.')
    .addOption(new Option('--read-data', 'read every pack and compare every byte with its hash').conflicts('readDataSubset'))
    .option('--read-data-subset <part>', 'read a part: 2/5 (the second of five), 10% or 500M (chosen at random)');
  addWaitOption(command).action(run);
}

async function run(options: Options): Promise<void> {
  await using session = new Session(options);
  const readData: ReadData = options.readData ? { kind: 'all' } : parseSubset(options.readDataSubset);
  // What is judged must come from the storage itself.
  const repository = await session.open(await session.place(), { uncached: readData.kind !== 'none' });
  await using _lock = await repository.lockForReading('check');
  const started = session.clock.elapsedMs();
  const report = await repository.check({
    readData, signal: session.context.signal, random: Math.random,
    step: (sentence) => session.context.emit({ type: 'step', store: undefined, sentence }),
    progress: (bytes, totalBytes) => session.context.emit({ type: 'progress', store: undefined, bytes, files: 0, totalBytes }),
  });
  const seconds = (session.clock.elapsedMs() - started) / 1000;
  session.answer({ ...report, location: repository.location, seconds, sound: report.errors.length === 0 }, linesOf(report, repository.location, seconds));
  if (report.errors.length > 0) process.exitCode = new HoldfastError('repository-damaged', '').exitCode;
}

const SIZES: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

function parseSubset(text: string | undefined): ReadData {
  if (text === undefined) return { kind: 'none' };
  const [, part, of] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (part !== undefined && of !== undefined && Number(part) >= 1 && Number(part) <= Number(of) && Number(of) <= 256) return { kind: 'part', part: Number(part), of: Number(of) };
  const [, percent] = /^(\d+(?:\.\d+)?)%$/.exec(text) ?? [];
  if (percent !== undefined && Number(percent) > 0 && Number(percent) <= 100) return { kind: 'share', percent: Number(percent) };
  const [, bytes, unit] = /^(\d+)([KMGT]?)$/.exec(text) ?? [];
  if (bytes !== undefined && Number(bytes) > 0) return { kind: 'bytes', bytes: Number(bytes) * (SIZES[unit ?? ''] ?? 1) };
  throw new HoldfastError('usage', `'${text}' is no part of the data`, { hint: 'Write 2/5 (at most 256 parts), 10% or 500M.' });
}

function linesOf(report: CheckReport, location: string, seconds: number): readonly string[] {
  const paint = painter(process.stdout);
  const looked = [plural(report.snapshots, 'snapshot'), plural(report.trees, 'tree'), plural(report.packs, 'pack'), plural(report.blobs, 'blob')].join(', ');
  const read = report.bytesRead > 0 ? `; ${formatBytes(report.bytesRead)} read and compared` : '; contents were not read (use --read-data)';
  const hints = report.hints.map((hint) => `note: ${hint}`);
  if (report.errors.length === 0) return [`${location} is ${paint('green', 'sound')}: ${looked}${read}, in ${formatSeconds(seconds)}.`, ...hints];
  const errors = report.errors.slice(0, 50).map(({ subject, message }) => printable(`  ${subject}: ${message}`));
  return [
    `${location} is ${paint('red', 'damaged')}: ${plural(report.errors.length, 'error')} in ${looked}${read}.`, ...errors, ...hints, '',
    ...affectedLines(report),
    'What the damage does not touch can still be restored. Keep the repository as it is, and copy it before you try to mend it: see `holdfast repair --help`.',
  ];
}

const MOST_SNAPSHOTS = 20;
const MOST_PATHS = 5;

/** Which restore points are hit: what a person wants to know first. */
function affectedLines({ affected, snapshots }: CheckReport): readonly string[] {
  if (affected.length === 0) return ['No file of a snapshot is hit by what was found.'];
  const lines = affected.slice(0, MOST_SNAPSHOTS).flatMap(({ id, time, tags, paths, count }) => {
    const store = tagValue({ tags }, 'store');
    const more = count > MOST_PATHS ? [`    … and ${plural(count - Math.min(MOST_PATHS, paths.length), 'path')} more`] : [];
    return [`  ${shortId(id)}  ${formatMoment(new Date(time))}${store === undefined ? '' : `  ${store}`}: ${plural(count, 'path')} cannot be restored`, ...paths.slice(0, MOST_PATHS).map((path) => `    ${path}`), ...more];
  });
  const left = affected.length > MOST_SNAPSHOTS ? [`  … and ${plural(affected.length - MOST_SNAPSHOTS, 'snapshot')} more (--json names them all)`] : [];
  return [`Hit by it: ${affected.length} of ${plural(snapshots, 'snapshot')}.`, ...lines.map(printable), ...left];
}
