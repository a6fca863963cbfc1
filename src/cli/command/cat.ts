import { Argument, type Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { fromText } from '../../base/raw-name.ts';
import { CAT_KINDS, type CatKind } from '../../repository/repository.ts';
import { Session, type CommonOptions } from '../session.ts';
import { snapshotNamed } from '../snapshot-named.ts';

export function addCat(program: Command): void {
  program
    .command('cat')
    .summary('print a file of a snapshot, or a file of the repository as it is inside')
    .description('Prints a file of a snapshot (`cat file SNAPSHOT PATH`), or a file of the repository as it is inside (`cat pack ID`).')
    .addArgument(new Argument('<what>', 'what to print').choices(['file', ...CAT_KINDS]))
    .argument('[id]', 'the id, or its beginning; for `file` the snapshot')
    .argument('[path]', 'for `file`: the path in the snapshot')
    .action(run);
}

async function run(what: string, id: string | undefined, path: string | undefined, options: CommonOptions): Promise<void> {
  await using session = new Session(options);
  const repository = await session.repository();
  if (what === 'file') {
    if (id === undefined || path === undefined) throw new HoldfastError('usage', '`cat file` needs a snapshot and a path', { hint: 'As in: holdfast cat file latest /manifest.json' });
    await using opened = await repository.files(await snapshotNamed(repository, id));
    for await (const piece of opened.files.read(fromText(path))) await print(piece);
    return;
  }
  if (id === undefined && what !== 'config' && what !== 'masterkey') throw new HoldfastError('usage', `\`cat ${what}\` needs an id`, { hint: `As in: holdfast cat ${what} 1a2b3c4d` });
  const kind = what as CatKind;
  // Snapshots may be named as everywhere else.
  const full = kind === 'snapshot' && id !== undefined ? (await snapshotNamed(repository, id)).id : (id ?? '');
  await print(await repository.cat(kind, full));
}

/** Waits until the bytes are on their way: their memory may be used again. */
async function print(bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}
