import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { ProbeResult, StorageReport } from '../../operation/validate-storage.ts';
import { formatSeconds, painter, plural, printable, table, type Style } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';

export function addStorage(program: Command): void {
  const storage = program.command('storage').summary('the place where a repository lies').description('The place where a repository lies.');
  storage
    .command('validate')
    .summary('does it keep what Holdfast relies on?')
    .description(
      'Tries out the storage of a repository, with files of its own that it removes again: whether it keeps what Holdfast relies on, how fast it is, and what somebody could do with the credentials of this host. Safe while the repository is in use; writes and reads about 200 MB.',
    )
    .argument('[name]', 'a repository of holdfast.yaml, or the address of one')
    .action(validate);
}

async function validate(name: string | undefined, options: CommonOptions): Promise<void> {
  await using session = new Session(options);
  const { validateStorage } = await import('../../operation/validate-storage.ts');
  const report = await validateStorage(await session.place(name ?? options.repository), session.context);
  session.answer(report, linesOf(report));
  if (!report.kept) process.exitCode = new HoldfastError('failed', '').exitCode;
}

const STYLES: Readonly<Record<ProbeResult['result'], Style>> = { ok: 'green', warning: 'yellow', failed: 'red', 'left out': 'dim' };

function linesOf({ location, repository, probes, verdict, left }: StorageReport): readonly string[] {
  const paint = painter(process.stdout);
  const rows = probes.map(({ name, result, seconds }) => [result, name, formatSeconds(seconds)]);
  const [head = '', ...body] = table([{ title: 'result' }, { title: 'the storage' }, { title: 'time', align: 'right' }], rows);
  const lines = body.flatMap((line, i) => {
    const { result = 'ok', sentence } = probes[i] ?? {};
    const painted = line.replace(result, paint(STYLES[result], result));
    return sentence === undefined ? [painted] : [painted, paint('dim', printable(`${' '.repeat(line.length - line.trimStart().length + 10)}${sentence}`))];
  });
  const what = repository ? 'a repository' : 'no repository yet';
  return [
    `${location}: ${what}, tried out with ${plural(probes.length, 'probe')}.`, '', paint('dim', head), ...lines, '', ...verdict,
    ...(left.length > 0 ? ['', `${plural(left.length, 'test file')} could not be removed and will stay; no index names them: ${left.slice(0, 5).map(({ kind, id }) => `${kind} ${id.slice(0, 10)}`).join(', ')}${left.length > 5 ? ', …' : ''}`] : []),
  ];
}
