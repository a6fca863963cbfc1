import * as path from 'node:path';
import { Option, type Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { Secret } from '../../base/secret.ts';
import type { SchemaCommit } from '../../operation/schema-history.ts';
import type { ExportedFile, ExportFormat, ExportLock } from '../../operation/export.ts';
import { formatBytes, formatCount, painter, plural, printable } from '../render/text.ts';
import { Session, type CommonOptions } from '../session.ts';
import { snapshotNamed } from '../snapshot-named.ts';

interface Options extends CommonOptions {
  readonly to?: string;
  readonly git?: string;
  readonly push?: boolean;
  readonly database: readonly string[];
  readonly format?: ExportFormat;
  readonly encrypt?: 'gpg' | 'age';
  readonly passphrase?: string;
  readonly recipient: readonly string[];
  readonly roles?: boolean;
  readonly schemaOnly?: boolean;
}

const repeated = (value: string, before: readonly string[]): readonly string[] => [...before, value];

export function addExport(program: Command): void {
  program
    .command('export')
    .summary('write a database of a snapshot as a file that needs no Holdfast')
    .description('Writes databases of a snapshot as files for psql, also compressed and encrypted, so that standard programs open them. Every table is proven on the way; nothing is overwritten.')
    .argument('<snapshot>', 'a store (its newest snapshot), STORE@TIME, or the id of a snapshot')
    .option('--to <place>', 'a folder, in which the file is named backup-YYYY-MM-DD-HHMMSS.sql.gz after the moment (UTC) of the data; a file, whose name says what it is; or - for standard output')
    .option('--database <name>', 'only this database; repeatable', repeated, [])
    .addOption(new Option('--format <format>', 'what is written, when the name of the file does not say it: SQL for psql, or dump for pg_restore').choices(['sql', 'sql.gz', 'dump']))
    .addOption(new Option('--encrypt <program>', 'encrypt so that this program opens it: gpg (AES-256 by passphrase) or age; a name that ends in .gpg or .age says it too').choices(['gpg', 'age']))
    .option('--passphrase <reference>', 'where the passphrase is to be found: file:PATH, env:NAME or exec:COMMAND')
    .option('--recipient <key>', 'with age: who can open it, as a public key age1…; repeatable', repeated, [])
    .option('--roles', 'also make the roles that are missing, at the head of the script')
    .option('--schema-only', 'without rows')
    .addOption(new Option('--git <folder>', 'write the schema as DATABASE.sql into this folder of a Git repository, and commit it when it has changed').conflicts('to'))
    .option('--push', 'with --git: push the branch')
    .action(run);
}

async function run(name: string, options: Options): Promise<void> {
  await using session = new Session(options);
  if (options.git !== undefined) return await recordInGit(session, name, options.git, options);
  if (options.to === undefined) throw new HoldfastError('usage', 'it is not said where the export goes', { hint: 'Add --to FOLDER, --to FILE, --to - or --git FOLDER.' });
  const { exportSnapshot, exportToStream } = await import('../../operation/export.ts');
  const lock = await lockOf(session, options);
  const repository = await session.repository();
  if (options.roles === true && formatsOf(options).includes('dump')) throw new HoldfastError('usage', 'an archive for pg_restore holds no roles', { hint: 'Leave --roles out, or export SQL.' });
  const work = {
    repository, snapshot: await snapshotNamed(repository, name, options.schemaOnly === true ? ['schema'] : []), databases: options.database, format: options.format, lock,
    globals: options.roles ?? false, schemaOnly: options.schemaOnly ?? false,
  };
  if (options.to === '-') {
    if (options.json === true) throw new HoldfastError('usage', 'the export itself goes to standard output, so there is no room for --json', { hint: 'Name a file with --to.' });
    return await exportToStream(work, print, session.context);
  }
  const to = options.to.endsWith('/') ? `${path.resolve(options.to)}/` : path.resolve(options.to);
  const files = await exportSnapshot({ ...work, to }, session.context);
  session.answer({ snapshot: work.snapshot.id, files }, files.map((file) => line(file, lock)));
}

/** What the options say of the format; a folder leaves it open. */
function formatsOf({ format, to = '' }: Options): readonly string[] {
  return format === undefined ? [to.replace(/\.(gpg|age)$/, '').split('.').at(-1) ?? ''] : [format];
}

async function recordInGit(session: Session, name: string, folder: string, options: Options): Promise<void> {
  const { recordSchema } = await import('../../operation/schema-history.ts');
  const repository = await session.repository();
  const snapshot = await snapshotNamed(repository, name, ['schema']);
  const done = await recordSchema({ repository, snapshot, databases: options.database, folder: path.resolve(folder), push: options.push ?? false }, session.context);
  session.answer({ snapshot: snapshot.id, ...done }, schemaLines(done));
}

export function schemaLines({ folder, files, commit, pushed }: SchemaCommit): readonly string[] {
  const paint = painter(process.stdout);
  const what = `${files.map(printable).join(', ')} in ${printable(folder)}`;
  return [commit === undefined ? `The schema has not changed: ${what}${pushed ? ', pushed' : ''}.` : `${paint('green', 'committed')} ${commit.slice(0, 10)}: ${what}${pushed ? ', pushed' : ''}.`];
}

/** Who may open the file. Everything that is wrong with it is told before a byte is read. */
async function lockOf(session: Session, { encrypt, to = '', passphrase, recipient }: Options): Promise<ExportLock | undefined> {
  const by = encrypt ?? (/\.(gpg|age)$/.exec(to)?.[1] as 'gpg' | 'age' | undefined);
  if (by === undefined) {
    if (passphrase !== undefined || recipient.length > 0) throw new HoldfastError('usage', 'a passphrase or recipient is given, but nothing is to be encrypted', { hint: 'Add --encrypt gpg or --encrypt age.' });
    return undefined;
  }
  if (recipient.length > 0 && by === 'gpg') throw new HoldfastError('usage', 'recipients belong to age', { hint: 'Use --encrypt age, or give a passphrase with --passphrase.' });
  if (recipient.length > 0 && passphrase !== undefined) throw new HoldfastError('usage', 'an age file opens with a passphrase or for recipients, not both', { hint: 'Leave one of --passphrase and --recipient out.' });
  if (recipient.length > 0) return { by: 'age', recipients: recipient };
  return { by, passphrase: await passphraseOf(session, by, passphrase) };
}

async function passphraseOf(session: Session, by: string, text: string | undefined): Promise<Secret> {
  if (text === undefined) throw new HoldfastError('usage', `what is encrypted with ${by} needs a passphrase`, { hint: `Say where it is to be found: --passphrase file:PATH or env:NAME${by === 'age' ? '; or give --recipient age1…' : ''}.` });
  const { parseSecretReference, resolveSecret } = await import('../../stack/secret-reference.ts');
  const reference = parseSecretReference(text, session.folder);
  const secret = reference === undefined ? undefined : await resolveSecret(reference);
  // The text is not repeated: it may be the passphrase itself.
  if (secret === undefined) throw new HoldfastError('secret-exposed', '--passphrase says where the passphrase is, and what was given is no such place', { hint: 'Write file:PATH, env:NAME or exec:COMMAND; a passphrase on the command line can be seen by others.' });
  return secret;
}

function line({ database, file, moment, tables, rows, bytes, sha256 }: ExportedFile, lock: ExportLock | undefined): string {
  const paint = painter(process.stdout);
  const what = `${plural(tables, 'table')}, ${formatCount(rows)} rows, as of ${moment}`;
  return `${paint('green', 'exported')} ${printable(database)} to ${printable(file)}: ${formatBytes(bytes)}${lock === undefined ? '' : `, encrypted for ${lock.by}`} (${what})\n  sha256 ${sha256}`;
}

async function print(piece: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(piece, (error) => (error ? reject(error) : resolve()));
  });
}
