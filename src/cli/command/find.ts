import { Option, type Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { toText } from '../../base/raw-name.ts';
import type { FindRequest } from '../../operation/find.ts';
import type { FoundVersion, ObjectKind, Repository } from '../../repository/repository.ts';
import { JsonList, printLine } from '../print-line.ts';
import { formatBytes, formatMoment, painter, plural, printable, shortId } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';

interface Options extends CommonOptions {
  readonly snapshot: readonly string[];
  readonly store: readonly string[];
  readonly oldest?: string;
  readonly newest?: string;
  readonly ignoreCase?: boolean;
  readonly blob?: boolean;
  readonly tree?: boolean;
  readonly pack?: boolean;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

export function addFind(program: Command): void {
  program
    .command('find')
    .summary('which versions of a file exist, from when to when')
    .description('Finds files and folders in all snapshots, or in those that are chosen, and shows each path once with its versions: the snapshots from and to which its content was the same.')
    .argument('<pattern...>', 'names like *.jpg, paths like photos/*.jpg or /srv/**; with --blob, --tree or --pack beginnings of ids')
    .option('-s, --snapshot <id>', 'only in this snapshot; repeatable', collect, [])
    .option('--store <store>', 'only in snapshots of this store; repeatable', collect, [])
    .option('-O, --oldest <time>', 'only what was last changed at this time or later')
    .option('-N, --newest <time>', 'only what was last changed at this time or before')
    .option('-i, --ignore-case', 'ignore the case of letters')
    .addOption(new Option('--blob', 'find the files that need these blobs').conflicts(['tree', 'pack']))
    .addOption(new Option('--tree', 'find the folders that are these trees').conflicts(['blob', 'pack']))
    .addOption(new Option('--pack', 'find what needs these packs').conflicts(['blob', 'tree']))
    .action(run);
}

async function run(patterns: readonly string[], options: Options): Promise<void> {
  await using session = new Session(options);
  const [{ findPaths, groupsToSearch, matcher }, { parseMoment }] = await Promise.all([import('../../operation/find.ts'), import('../../operation/select.ts')]);
  const moment = (text: string | undefined): Date | undefined => (text === undefined ? undefined : parseMoment(text));
  const request: FindRequest = {
    patterns, ignoreCase: options.ignoreCase ?? false, stores: options.store, ids: options.snapshot, oldest: moment(options.oldest), newest: moment(options.newest),
  };
  matcher(patterns, request.ignoreCase);
  const repository = await session.repository();
  const groups = groupsToSearch(await repository.snapshots(), request);
  const kind = options.blob ? 'blob' : options.tree ? 'tree' : options.pack ? 'pack' : undefined;
  if (kind) return await runObjects(session, repository, kind, patterns, groups.flatMap(({ snapshots }) => snapshots));
  const paint = painter(process.stdout);
  session.progress.clear();
  const list = new JsonList('[');
  let found = 0;
  let group: string | undefined;
  for await (const one of findPaths(groups, request, repository, session.context)) {
    found++;
    const path = toText(one.path);
    if (options.json) {
      await list.add({ store: one.group, path, versions: one.versions.map(documentOf) });
      continue;
    }
    if (groups.length > 1 && one.group !== group) await printLine(`${group === undefined ? '' : '\n'}${paint('dim', `in ${printable(one.group)}`)}`);
    group = one.group;
    await printLine(paint('bold', printable(path)) + (one.versions.every(({ type }) => type === 'dir') ? '/' : ''));
    for (const line of versionLines(one.versions)) await printLine(line);
  }
  if (options.json) return await list.end(']');
  const searched = plural(groups.reduce((sum, { snapshots }) => sum + snapshots.length, 0), 'snapshot');
  await printLine(found === 0 ? `Nothing of that name in ${searched}.` : `\n${plural(found, 'path')} in ${searched}`);
}

function documentOf({ type, size, mtime, from, to, snapshots }: FoundVersion): object {
  return { type, size, mtime, snapshots, from: { snapshot: from.id, time: from.time }, to: { snapshot: to.id, time: to.time } };
}

/** Versions of one path below each other, in columns. */
function versionLines(versions: readonly FoundVersion[]): readonly string[] {
  return versions.map(({ type, size, mtime, from, to, snapshots }) => {
    const time = (text: string): string => formatMoment(new Date(text));
    const [first, last] = [`${time(from.time)} ${shortId(from.id)}`, `${time(to.time)} ${shortId(to.id)}`];
    const span = snapshots === 1 ? `in  ${first}${' '.repeat(2 + 4 + first.length)}` : `from ${first} to ${last}`.padEnd(4 + first.length * 2 + 6);
    const what = type === 'file' ? formatBytes(size) : type;
    return `  ${span}  ${plural(snapshots, 'snapshot').padEnd(14)}  ${what.padStart(9)}${type === 'file' && mtime !== '' ? `  changed ${time(mtime)}` : ''}`;
  });
}

async function runObjects(session: Session, repository: Repository, kind: ObjectKind, ids: readonly string[], snapshots: Parameters<Repository['findObjects']>[0]): Promise<void> {
  const wrong = ids.find((id) => !/^[0-9a-f]{1,64}$/.test(id));
  if (wrong !== undefined) throw new HoldfastError('usage', `'${wrong}' is no beginning of an id`, { hint: 'Ids are made of the digits 0-9 and a-f.' });
  const list = new JsonList('[');
  let found = 0;
  await using _lock = await repository.lockForReading('files');
  for await (const { id, type, pack, path, snapshot } of repository.findObjects(snapshots, kind, ids, session.context.signal)) {
    found++;
    if (session.options.json) await list.add({ id, type, pack, path: toText(path), snapshot: snapshot.id, time: snapshot.time });
    else await printLine(`${type} ${id.slice(0, 16)} in pack ${shortId(pack)}: ${printable(toText(path))}${type === 'tree' && path !== '/' ? '/' : ''}  (snapshot ${shortId(snapshot.id)} of ${formatMoment(new Date(snapshot.time))})`);
  }
  if (session.options.json) return await list.end(']');
  if (found === 0) await printLine(`No snapshot needs ${ids.length === 1 ? 'it' : 'them'}.`);
}
