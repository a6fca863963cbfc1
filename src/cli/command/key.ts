import * as path from 'node:path';
import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import { formatMoment, shortId, table } from '../render/text.ts';
import { sealSheet, sheetOf } from '../print-sheet.ts';
import { Session, type CommonOptions } from '../session.ts';

interface NewPassword extends CommonOptions {
  readonly newPasswordFile?: string;
}

export function addKey(program: Command): void {
  const key = program.command('key').summary('the passwords of the repository').description('The passwords of the repository: each opens it alone.');
  const file = ['--new-password-file <file>', 'the file that holds the new password'] as const;
  key.command('list').description('Lists the keys.').action(list);
  key.command('add').description('Adds a password.').option(...file).action(add);
  key.command('remove').description('Removes a key; never the one in use.').argument('<id>', 'the id of the key, or its beginning').action(remove);
  key
    .command('sheet')
    .description('Prints the recovery sheet: one page for a safe place, with the address, the key and the commands that bring everything back.')
    .option('--no-ask', 'do not ask for the password once more')
    .action(sheet);
  key.command('passwd').description('Replaces the password in use by another.').option(...file).action(passwd);
}

async function list(options: CommonOptions): Promise<void> {
  await using session = new Session(options);
  const keys = await (await session.repository()).keys();
  const rows = keys.map(({ id, created, username, hostname, current }) => [`${current ? '*' : ' '} ${shortId(id)}`, formatMoment(new Date(created)), `${username}@${hostname}`]);
  session.answer(keys, [...table([{ title: '  key' }, { title: 'created' }, { title: 'by' }], rows), '', '* opened the repository just now']);
}

async function newPassword(session: Session, options: NewPassword): Promise<Secret> {
  const { passwordOf } = await import('../../operation/open.ts');
  if (options.newPasswordFile === undefined) throw new HoldfastError('usage', 'the new password is not given', { hint: 'Write it into a file (mode 0600) and name that with --new-password-file FILE.' });
  return await passwordOf({ name: 'new', password: { from: 'file', path: path.resolve(session.folder, options.newPasswordFile) } });
}

async function add(options: NewPassword): Promise<void> {
  await using session = new Session(options);
  const repository = await session.repository();
  const password = await newPassword(session, options);
  await using _lock = await repository.lock(false);
  const id = await repository.addKey(password);
  session.answer({ added: id }, [`Added key ${shortId(id)}: the new password opens ${repository.location} too.`]);
}

async function sheet(options: CommonOptions & { readonly ask: boolean }): Promise<void> {
  await using session = new Session(options);
  const place = await session.place();
  const repository = await session.open(place);
  const { lines, ...document } = await sheetOf(session, repository, place);
  session.answer({ ...document, page: lines.join('\n') }, lines);
  if (options.ask) await sealSheet(session, place);
}

async function remove(prefix: string, options: CommonOptions): Promise<void> {
  await using session = new Session(options);
  const repository = await session.repository();
  await using _lock = await repository.lock(true);
  const id = await repository.removeKey(prefix);
  session.answer({ removed: id }, [`Removed key ${shortId(id)}: its password opens ${repository.location} no more.`, 'Who has kept a copy of the old key file can still open it; only a new repository would end that.']);
}

async function passwd(options: NewPassword): Promise<void> {
  await using session = new Session(options);
  const repository = await session.repository();
  const password = await newPassword(session, options);
  await using _lock = await repository.lock(true);
  const id = await repository.changePassword(password);
  session.answer({ key: id }, [`The password of ${repository.location} is changed; its key is ${shortId(id)}.`, 'Put the new one where `password:` of holdfast.yaml points to.']);
}
