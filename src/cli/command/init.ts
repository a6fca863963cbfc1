import { existsSync } from 'node:fs';
import * as path from 'node:path';
import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { RecoverySheet } from '../../operation/recovery-sheet.ts';
import { sealSheet, sheetOf } from '../print-sheet.ts';
import { Session, type CommonOptions } from '../session.ts';
import { plural } from '../render/text.ts';

interface Options extends CommonOptions {
  readonly stack?: string;
  readonly postgres: readonly string[];
  readonly directory: readonly string[];
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

export function addInit(program: Command): void {
  program
    .command('init')
    .summary('write holdfast.yaml and make the repository')
    .description('Looks at the stores that the flags name, makes the repository, and writes holdfast.yaml. Where there is a holdfast.yaml, makes the repositories that it names.')
    .option('--stack <name>', 'the name of the stack; default: the name of the folder')
    .option('--postgres <url>', 'a database: postgres://user@host:port/database, without the password; repeatable', collect, [])
    .option('--directory <path>', 'a folder; repeatable', collect, [])
    .action(run);
}

async function run(options: Options): Promise<void> {
  await using session = new Session(options);
  if (options.stack === undefined && options.postgres.length + options.directory.length === 0 && existsSync(path.join(session.folder, 'holdfast.yaml'))) {
    await makeMissing(session);
    return;
  }
  if (options.repository === undefined) throw new HoldfastError('usage', 'the place of the repository is not given', { hint: 'Give a folder with --repository PATH; it need not exist yet.' });
  const { init } = await import('../../operation/init.ts');
  const report = await init(
    { folder: session.folder, stack: options.stack, postgres: options.postgres, directories: options.directory, repository: options.repository, passwordFile: options.passwordFile },
    session.context,
  );
  const { stack } = report;
  const [place] = stack.repositories;
  if (!place) throw new Error('init without a repository');
  const { lines, ...sheet } = await sheetOf(session, await session.open(place), place);
  session.answer(
    { config: report.config, repository: { location: report.repository, id: report.repositoryId }, stack: stack.name, stores: stack.stores.map(({ name, kind }) => ({ name, kind })), sheet },
    [
      `Wrote ${report.config}: the stack ${stack.name} with ${plural(stack.stores.length, 'store')} (${stack.stores.map(({ name }) => name).join(', ')}).`,
      `Made the repository ${report.repository}.`,
      '',
      ...lines,
      '',
      'Next: holdfast backup',
    ],
  );
  await sealSheet(session, place);
}

/** Makes what a holdfast.yaml that somebody has written names and that is not there yet. */
async function makeMissing(session: Session): Promise<void> {
  const { initRepositories } = await import('../../operation/init.ts');
  const places = session.options.repository === undefined ? (await session.stack()).repositories : [await session.place()];
  const states = await initRepositories(places, session.context);
  const made = states.filter((state) => state.made);
  const sheets: Omit<RecoverySheet, 'lines'>[] = [];
  const pages: string[] = [];
  for (const { place } of made) {
    const { lines, ...sheet } = await sheetOf(session, await session.open(place), place);
    sheets.push(sheet);
    pages.push('', ...lines);
  }
  session.answer(
    { repositories: states.map(({ place, location, id, made: isNew }) => ({ name: place.name, location, id, made: isNew })), sheets },
    [...states.map(({ place, location, made: isNew }) => (isNew ? `Made the repository ${place.name}: ${location}.` : `The repository ${place.name} is there: ${location}.`)), ...pages],
  );
  for (const { place } of made) await sealSheet(session, place);
}
