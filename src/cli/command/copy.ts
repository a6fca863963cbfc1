import * as path from 'node:path';
import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { CopyReport } from '../../operation/copy.ts';
import { tagValue, type CopyOutcome } from '../../repository/repository.ts';
import type { RepositoryPlace } from '../../stack/stack.ts';
import { formatBytes, formatMoment, formatSeconds, painter, plural, printable, shortId, table, type Style } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';
import { addWaitOption } from '../wait-option.ts';

interface Options extends CommonOptions {
  readonly to?: string;
  readonly toPasswordFile?: string;
  readonly snapshot: readonly string[];
  readonly init?: boolean;
}

export function addCopy(program: Command): void {
  const command = program
    .command('copy')
    .summary('bring snapshots into another repository')
    .description('Copies the snapshots that the other repository does not have, oldest first. It may have another password and lie anywhere. Stopped in the middle, the next run goes on with what is there.')
    .argument('[store...]', 'only snapshots of these stores; default: all snapshots of the repository')
    .option('--snapshot <id>', 'this snapshot; repeatable', (value: string, before: readonly string[]) => [...before, value], [])
    .option('--to <name>', 'the other repository: a name of holdfast.yaml, or a path or address')
    .option('--to-password-file <file>', 'the file that holds its password; or the variable HOLDFAST_TO_PASSWORD')
    .option('--init', 'make the other repository where there is none, cutting content as this one does');
  addWaitOption(command).action(run);
}

async function run(stores: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const { chooseToCopy, copy, openTarget } = await import('../../operation/copy.ts');
  if (options.to === undefined) throw new HoldfastError('usage', 'the other repository is not given', { hint: 'Name it with --to NAME, or --to PATH --to-password-file FILE.' });
  const place = await targetPlace(session, options, options.to);
  const source = await session.repository();
  const { target, made } = await openTarget(place, session.context, options.init ? source.polynomial : undefined);
  try {
    const report = await copy({ source, target, choose: (snapshots) => chooseToCopy(snapshots, { stores, ids: options.snapshot }) }, session.context);
    session.answer({ from: source.location, made, ...copyDocument(report) }, [...(made ? [`Made the repository ${target.location}. Keep its password in a second place, away from this host.`, ''] : []), ...copyLines(report)]);
    process.exitCode = copyExitCode(report);
  } finally {
    await target.close();
  }
}

async function targetPlace(session: Session, options: Options, to: string): Promise<RepositoryPlace> {
  const [{ looksLikeAddress, parseAddress }, { chooseRepository }] = await Promise.all([import('../../storage/place.ts'), import('../../stack/stack.ts')]);
  const file = options.toPasswordFile;
  const password = file === undefined ? undefined : ({ from: 'file', path: path.resolve(session.folder, file) } as const);
  if (!looksLikeAddress(to)) {
    const known = chooseRepository(await session.stack(), to);
    return password === undefined ? known : { ...known, password };
  }
  if (password === undefined && process.env['HOLDFAST_TO_PASSWORD'] === undefined) {
    throw new HoldfastError('secret-missing', `the password of ${to} is not given`, { hint: 'Give --to-password-file FILE, or set HOLDFAST_TO_PASSWORD.' });
  }
  return { name: to, place: parseAddress(to, session.folder), password: password ?? { from: 'env', name: 'HOLDFAST_TO_PASSWORD' }, cache: true };
}

export function copyExitCode({ outcomes }: CopyReport): number {
  const failed = outcomes.find(({ state }) => state === 'failed');
  return failed?.state === 'failed' ? failed.error.exitCode : 0;
}

export function copyDocument({ location, outcomes, warnings, seconds }: CopyReport): object {
  return {
    to: location, seconds, warnings,
    snapshots: outcomes.map((outcome) => ({
      snapshot: outcome.snapshot.id, time: outcome.snapshot.time, store: tagValue(outcome.snapshot, 'store'), state: outcome.state,
      ...(outcome.state === 'failed' ? { error: { code: outcome.error.code, message: outcome.error.message, hint: outcome.error.hint } } : { copy: outcome.id }),
      ...(outcome.state === 'copied' ? { blobs: outcome.blobs, storedBytes: outcome.storedBytes } : {}),
    })),
  };
}

const STYLES: Readonly<Record<CopyOutcome['state'], Style>> = { copied: 'green', present: 'dim', failed: 'red' };

export function copyLines({ location, outcomes, warnings, seconds }: CopyReport): readonly string[] {
  const paint = painter(process.stdout);
  const shown = outcomes.filter(({ state }) => state !== 'present');
  const [head = '', ...body] = table(
    [{ title: 'snapshot' }, { title: 'time' }, { title: 'store' }, { title: 'state' }, { title: 'copied', align: 'right' }, { title: 'as' }],
    shown.map((outcome) => [
      shortId(outcome.snapshot.id), formatMoment(new Date(outcome.snapshot.time)), printable(tagValue(outcome.snapshot, 'store') ?? outcome.snapshot.paths.join(', ')), outcome.state,
      outcome.state === 'copied' ? formatBytes(outcome.storedBytes) : '', outcome.state === 'copied' ? shortId(outcome.id) : '',
    ]),
  );
  const painted = body.map((line, i) => {
    const state = shown[i]?.state ?? 'copied';
    return line.replace(`  ${state}`, `  ${paint(STYLES[state], state)}`);
  });
  const failures = outcomes.flatMap((outcome) => (outcome.state === 'failed' ? [`${shortId(outcome.snapshot.id)}: ${printable(outcome.error.message)}`, ...(outcome.error.hint === undefined ? [] : [`  hint: ${outcome.error.hint}`])] : []));
  const count = (state: CopyOutcome['state']): number => outcomes.filter((outcome) => outcome.state === state).length;
  if (outcomes.length > 0 && shown.length === 0) return [...warnings.map((warning) => `${paint('yellow', 'warning:')} ${warning}`), `Nothing to copy: ${outcomes.length === 1 ? 'the snapshot is' : `all ${plural(outcomes.length, 'snapshot')} are`} in ${printable(location)} already.`];
  const there = count('present') === 0 ? '' : `; ${plural(count('present'), 'snapshot')} ${count('present') === 1 ? 'was' : 'were'} there already`;
  return [
    ...(shown.length === 0 ? [] : [paint('dim', head), ...painted, '']), ...failures, ...warnings.map((warning) => `${paint('yellow', 'warning:')} ${warning}`),
    `${plural(count('copied'), 'snapshot')} copied to ${printable(location)}, in ${formatSeconds(seconds)}${there}.`,
  ];
}
