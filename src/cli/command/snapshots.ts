import type { Command } from 'commander';
import { tagValue, type Snapshot } from '../../repository/repository.ts';
import { formatBytes, formatMoment, painter, plural, printable, shortId, table } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';

export function addSnapshots(program: Command): void {
  program
    .command('snapshots')
    .summary('list what the repository holds')
    .description('Lists the snapshots of the repository, oldest first; those of one restore point share its name.')
    .argument('[store...]', 'only these stores')
    .action(run);
}

async function run(stores: readonly string[], options: CommonOptions): Promise<void> {
  await using session = new Session(options);
  const repository = await session.repository();
  const all = await repository.snapshots();
  const chosen = stores.length === 0 ? all : all.filter((snapshot) => stores.includes(tagValue(snapshot, 'store') ?? ''));
  session.answer(chosen.map(documentOf), linesOf(chosen));
}

function documentOf(snapshot: Snapshot): object {
  return { ...snapshot, store: tagValue(snapshot, 'store'), stack: tagValue(snapshot, 'stack'), run: tagValue(snapshot, 'run'), state: tagValue(snapshot, 'state') };
}

function linesOf(snapshots: readonly Snapshot[]): readonly string[] {
  if (snapshots.length === 0) return ['The repository holds no snapshots yet. Make one with `holdfast backup`.'];
  const paint = painter(process.stdout);
  const rows = snapshots.map((snapshot) => [
    shortId(snapshot.id), formatMoment(new Date(snapshot.time)), printable(tagValue(snapshot, 'store') ?? snapshot.paths.join(', ')),
    tagValue(snapshot, 'state') ?? '', snapshot.summary ? formatBytes(snapshot.summary.total_bytes_processed) : '',
    snapshot.summary ? formatBytes(snapshot.summary.data_added_packed) : '', tagValue(snapshot, 'run') ?? `by ${snapshot.program_version ?? 'another program'}`,
  ]);
  const [head = '', ...body] = table(
    [{ title: 'snapshot' }, { title: 'time' }, { title: 'store' }, { title: 'state' }, { title: 'size', align: 'right' }, { title: 'stored', align: 'right' }, { title: 'restore point' }],
    rows,
  );
  return [paint('dim', head), ...body, '', plural(snapshots.length, 'snapshot')];
}
