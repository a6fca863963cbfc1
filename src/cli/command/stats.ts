import type { Command } from 'commander';
import { tagValue, type Amount, type GroupStats, type Stats } from '../../repository/repository.ts';
import { formatBytes, formatCount, formatMoment, painter, plural, printable, shortId, table } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';

interface Options extends CommonOptions {
  readonly growth?: boolean;
}

export function addStats(program: Command): void {
  program
    .command('stats')
    .summary('what each store holds and costs')
    .description('Shows what each store holds and what it costs in the repository: what its newest snapshot would restore, its distinct files, what is stored of it, and what would be freed without it.')
    .argument('[store|snapshot...]', 'only these stores, or beginnings of ids; default: everything')
    .option('--growth', 'also what each snapshot added')
    .action(run);
}

async function run(names: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const { stats } = await import('../../operation/stats.ts');
  const repository = await session.repository();
  const known = new Set((await repository.snapshots()).map((snapshot) => tagValue(snapshot, 'store')));
  const counted = await stats({ stores: names.filter((name) => known.has(name)), ids: names.filter((name) => !known.has(name)) }, repository, session.context);
  session.answer(documentOf(counted), linesOf(counted, options.growth ?? false));
}

function documentOf({ groups, ...rest }: Stats): object {
  const stores = groups.map(({ name, snapshots, ...group }) => ({
    store: name, ...group, snapshots: snapshots.map(({ snapshot, ...one }) => ({ id: snapshot.id, time: snapshot.time, ...one })),
  }));
  return { stores, ...rest, ratio: rest.needed.storedBytes === 0 ? undefined : rest.needed.plainBytes / rest.needed.storedBytes };
}

/** How many times smaller it is stored. */
function ratioOf({ plainBytes, storedBytes }: Amount): string {
  return storedBytes === 0 ? '' : `${(plainBytes / storedBytes).toFixed(2)} ×`;
}

function linesOf({ groups, distinctFiles, distinctBytes, needed, unused }: Stats, growth: boolean): readonly string[] {
  if (groups.length === 0) return ['The repository holds no snapshots yet. Make one with `holdfast backup`.'];
  const paint = painter(process.stdout);
  const rows = groups.map((group) => {
    const newest = group.snapshots.at(-1);
    return [
      printable(group.name), formatCount(group.snapshots.length), formatBytes(newest?.bytes ?? 0), formatCount(newest?.files ?? 0),
      `${formatBytes(group.distinctBytes)} in ${formatCount(group.distinctFiles)}`, formatBytes(group.needed.plainBytes), formatBytes(group.needed.storedBytes), ratioOf(group.needed), formatBytes(group.exclusive.storedBytes),
    ];
  });
  const all = groups.reduce((sum, group) => sum + group.snapshots.length, 0);
  if (groups.length > 1) rows.push(['together', formatCount(all), '', '', `${formatBytes(distinctBytes)} in ${formatCount(distinctFiles)}`, formatBytes(needed.plainBytes), formatBytes(needed.storedBytes), ratioOf(needed), '']);
  const [head = '', ...body] = table(
    [
      { title: 'store' }, { title: 'snapshots', align: 'right' }, { title: 'newest', align: 'right' }, { title: 'files', align: 'right' }, { title: 'distinct files', align: 'right' },
      { title: 'data', align: 'right' }, { title: 'stored', align: 'right' }, { title: 'smaller', align: 'right' }, { title: 'freed without it', align: 'right' },
    ],
    rows,
  );
  const rest = unused === undefined || unused.blobs === 0 ? [] : [`${formatBytes(unused.storedBytes)} in ${plural(unused.blobs, 'blob')} are needed by no snapshot; \`holdfast prune\` frees them.`];
  return [paint('dim', head), ...body, ...(growth ? groups.flatMap(growthLines) : []), ...(rest.length > 0 ? ['', ...rest] : [])];
}

function growthLines({ name, snapshots }: GroupStats): readonly string[] {
  const paint = painter(process.stdout);
  const rows = snapshots.map(({ snapshot, files, bytes, added }) => [
    shortId(snapshot.id), formatMoment(new Date(snapshot.time)), formatCount(files), formatBytes(bytes), formatBytes(added.plainBytes), formatBytes(added.storedBytes),
  ]);
  const [head = '', ...body] = table(
    [{ title: 'snapshot' }, { title: 'time' }, { title: 'files', align: 'right' }, { title: 'size', align: 'right' }, { title: 'added', align: 'right' }, { title: 'stored', align: 'right' }],
    rows,
  );
  return ['', paint('bold', printable(name)), `  ${paint('dim', head)}`, ...body.map((line) => `  ${line}`)];
}
