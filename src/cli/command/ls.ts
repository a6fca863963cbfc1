import type { Command } from 'commander';
import { fromText, toText } from '../../base/raw-name.ts';
import { JsonList, printLine } from '../print-line.ts';
import { formatBytes, printable } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';
import { snapshotNamed } from '../snapshot-named.ts';

interface Options extends CommonOptions {
  readonly long?: boolean;
  readonly recursive?: boolean;
}

export function addLs(program: Command): void {
  program
    .command('ls')
    .summary('list the files of a snapshot')
    .description('Lists a folder of a snapshot.')
    .argument('<snapshot>', 'the beginning of an id, `latest`, or the name of a store for its newest')
    .argument('[path]', 'a folder in it', '/')
    .option('-l, --long', 'with type, size, owner, mode and time')
    .option('-R, --recursive', 'and everything below')
    .action(run);
}

async function run(name: string, path: string, options: Options): Promise<void> {
  await using session = new Session(options);
  const { walkFiles } = await import('../../operation/look.ts');
  const repository = await session.repository();
  const snapshot = await snapshotNamed(repository, name);
  await using opened = await repository.files(snapshot);
  // What is found goes out as it comes: a snapshot may hold millions.
  if (options.json) {
    const list = new JsonList(`{"snapshot":${JSON.stringify(snapshot.id)},"entries":[`);
    for await (const file of walkFiles(opened.files, fromText(path), options.recursive ?? false)) await list.add({ ...file, path: toText(file.path), name: toText(file.name), ...(file.target === undefined ? {} : { target: toText(file.target) }) });
    return await list.end(']}');
  }
  for await (const file of walkFiles(opened.files, fromText(path), options.recursive ?? false)) {
    const shown = printable(toText(file.path)) + (file.type === 'dir' ? '/' : '') + (file.target === undefined ? '' : ` -> ${printable(toText(file.target))}`);
    const owner = `${file.user ?? file.uid}:${file.group ?? file.gid}`;
    const line = options.long ? `${file.mode}  ${owner.padEnd(17)} ${formatBytes(file.size).padStart(8)}  ${file.mtime.slice(0, 19).replace('T', ' ')}  ${shown}` : shown;
    await printLine(line);
  }
}
