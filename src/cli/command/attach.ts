import * as path from 'node:path';
import type { Command } from 'commander';
import type { AttachReport } from '../../operation/attach.ts';
import { formatBytes, formatMoment, painter, plural, printable, table } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';

interface Options extends CommonOptions {
  readonly stack?: string;
  readonly name: string;
}

export function addAttach(program: Command): void {
  program
    .command('attach')
    .summary('take up a stack from its repository, on a blank host')
    .description('Finds what a repository holds, and writes the holdfast.yaml that its snapshots carry. All it needs is the address and the password.')
    .argument('<address>', 'a folder, s3:https://host/bucket/prefix or sftp:user@host:/path')
    .option('--stack <name>', 'which stack, when the repository holds several')
    .option('--name <name>', 'the name of the repository in holdfast.yaml', 'attached')
    .action(run);
}

async function run(address: string, options: Options): Promise<void> {
  await using session = new Session(options);
  const [{ attach }, { parseAddress }] = await Promise.all([import('../../operation/attach.ts'), import('../../storage/place.ts')]);
  const place = { name: options.name, place: parseAddress(address, session.folder), password: session.passwordReference(), cache: true };
  const repository = await session.open(place);
  await using _lock = await repository.lockForReading('files');
  const report = await attach({ repository, place, folder: session.folder, stack: options.stack }, session.context);
  session.answer(report, linesOf(report, repository.location));
}

function linesOf(report: AttachReport, location: string): readonly string[] {
  const paint = painter(process.stdout);
  const rows = report.stores.map(({ store, kind, snapshots, newest, state, bytes }) => [printable(store), kind, plural(snapshots, 'snapshot'), formatMoment(new Date(newest)), state, formatBytes(bytes)]);
  const [head = '', ...body] = table([{ title: 'store' }, { title: 'kind' }, { title: 'kept', align: 'right' }, { title: 'newest' }, { title: 'state' }, { title: 'size', align: 'right' }], rows);
  return [
    `${location} holds the stack ${report.stack}:`, '', paint('dim', head), ...body, '',
    `Wrote ${report.config}; the repository is ${report.repository} in it.`,
    ...report.notes.map((note) => `${paint('yellow', 'note:')} ${printable(note)}`),
    `Look it through, then: holdfast restore${path.dirname(report.config) === process.cwd() ? '' : ` -C ${path.dirname(report.config)}`} --dry-run`,
  ];
}
