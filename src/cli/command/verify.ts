import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { Verification, Verified } from '../../operation/verify.ts';
import { formatBytes, formatCount, formatMoment, formatSeconds, painter, plural, printable, shortId, table, type Style } from '../render/text.ts';
import { partOfSnapshot } from '../part-options.ts';
import { Session, type CommonOptions } from '../session.ts';

interface Options extends CommonOptions {
  readonly allUnverified?: boolean;
}

export function addVerify(program: Command): void {
  program
    .command('verify')
    .summary('does a snapshot restore to the same content?')
    .description('Restores snapshots into nothing: reads every byte from the storage, compares it with its hash, and what comes out with the manifest: files, folders, bytes, and every row of every table. Records the proof, which `snapshots` shows and `forget` goes by.')
    .argument('[snapshot|store...]', 'beginnings of ids, or stores for their newest; default: the newest snapshot of every store')
    .option('--all-unverified', 'all snapshots that were never verified, or did not pass')
    .action(run);
}

async function run(names: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const { verify } = await import('../../operation/verify.ts');
  const stack = await session.stackIfAny();
  const repository = await session.open(await session.place(), { uncached: true });
  const verified = await verify({ names, stack: stack?.name, allUnverified: options.allUnverified ?? false }, repository, session.context);
  session.answer({ location: repository.location, proven: verified.every(({ state }) => state === 'proven'), snapshots: verified.map(documentOf) }, linesOf(verified));
  process.exitCode = exitCode(verified);
}

/** A difference is worse than a storage that does not answer. */
function exitCode(verified: readonly Verified[]): number {
  if (verified.some(({ state }) => state === 'failed')) return new HoldfastError('restore-unproven', '').exitCode;
  const unreadable = verified.find((one) => one.state === 'unreadable');
  return unreadable?.state === 'unreadable' ? unreadable.error.exitCode : 0;
}

function documentOf(one: Verified): object {
  const { snapshot, store, state, seconds } = one;
  const common = { snapshot: snapshot.id, time: snapshot.time, store, state, seconds };
  if (one.state === 'unreadable') return { ...common, error: { code: one.error.code, message: one.error.message, hint: one.error.hint } };
  const { files, bytes, storedBytes, blobs, counts, problems, notes, unrecorded } = one;
  return { ...common, files, bytes, storedBytes, blobs, counts, problems, notes, recorded: unrecorded === undefined, ...(unrecorded === undefined ? {} : { unrecorded }) };
}

const STYLES: Readonly<Record<Verified['state'], Style>> = { proven: 'green', failed: 'red', unreadable: 'red' };

function linesOf(verified: readonly Verified[]): readonly string[] {
  if (verified.length === 0) return ['There is nothing to verify: all snapshots are proven.'];
  const paint = painter(process.stdout);
  const rows = verified.map((one) => [
    printable([one.store ?? one.snapshot.paths.join(', '), ...[partOfSnapshot(one.snapshot)].flatMap((part) => part ?? [])].join(', ')), shortId(one.snapshot.id), formatMoment(new Date(one.snapshot.time)), one.state,
    one.state === 'unreadable' ? '' : whatOf(one), one.state === 'unreadable' ? '' : formatBytes(one.bytes), formatSeconds(one.seconds),
  ]);
  const [head = '', ...body] = table(
    [{ title: 'store' }, { title: 'snapshot' }, { title: 'of' }, { title: 'result' }, { title: 'compared' }, { title: 'size', align: 'right' }, { title: 'time', align: 'right' }],
    rows,
  );
  const painted = body.map((line, i) => {
    const state = verified[i]?.state ?? 'proven';
    return line.replace(`  ${state}`, `  ${paint(STYLES[state], state)}`);
  });
  const details = verified.flatMap(detailLines);
  const count = verified.filter(({ state }) => state === 'proven').length;
  const sum = count === verified.length ? `${plural(count, 'snapshot')} ${paint('green', 'proven')}.` : `${paint('red', `${formatCount(verified.length - count)} of ${plural(verified.length, 'snapshot')} not proven`)}.`;
  return [paint('dim', head), ...painted, ...(details.length > 0 ? ['', ...details] : []), '', sum];
}

function whatOf({ counts, files, blobs }: Verification): string {
  const parts = ['databases', 'tables', 'rows'].flatMap((name) => (counts[name] === undefined ? [] : [plural(counts[name], name.slice(0, -1))]));
  return [...parts, ...(parts.length > 0 ? [] : [plural(files, 'file')]), plural(blobs, 'blob')].join(', ');
}

const SHOWN = 20;

function detailLines(one: Verified): readonly string[] {
  const name = printable(`${one.store ?? 'snapshot'} ${shortId(one.snapshot.id)}`);
  if (one.state === 'unreadable') return [`${name} could not be read: ${printable(one.error.message)}`, ...(one.error.hint === undefined ? [] : [`  hint: ${one.error.hint}`])];
  const { problems, notes, unrecorded } = one;
  const named = problems.slice(0, SHOWN).map(({ subject, message }) => printable(`  ${subject}: ${message}`));
  return [
    ...(problems.length === 0 ? [] : [`${name} would not restore to the same content; ${plural(problems.length, 'difference')}:`, ...named]),
    ...(problems.length > SHOWN ? [`  and ${formatCount(problems.length - SHOWN)} more`] : []),
    ...notes.map((note) => `note: ${name}: ${note}`),
    ...(unrecorded === undefined ? [] : [`note: ${name}: the result could not be recorded, so \`snapshots\` will not show it: ${printable(unrecorded)}`]),
  ];
}
