/** The command line as data: help, docs/cli.md and completion are made from it. Commands load what they need when they run. */
import { Command, CommanderError, Option } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { addAttach } from './command/attach.ts';
import { addBackup } from './command/backup.ts';
import { addCat } from './command/cat.ts';
import { addCheck } from './command/check.ts';
import { addCopy } from './command/copy.ts';
import { addDemo } from './command/demo.ts';
import { addDiff } from './command/diff.ts';
import { addExport } from './command/export.ts';
import { addFind } from './command/find.ts';
import { addForget } from './command/forget.ts';
import { addInit } from './command/init.ts';
import { addKey } from './command/key.ts';
import { addLs } from './command/ls.ts';
import { addPrune } from './command/prune.ts';
import { addRepair } from './command/repair.ts';
import { addRestore } from './command/restore.ts';
import { addSnapshots } from './command/snapshots.ts';
import { addStorage } from './command/storage.ts';
import { addStats } from './command/stats.ts';
import { addUnlock } from './command/unlock.ts';
import { addVerify } from './command/verify.ts';
import { addWal } from './command/wal.ts';

/** Options that every command takes, before or behind its name. */
function addCommonOptions(command: Command): void {
  command
    .option('-C, --chdir <dir>', 'the folder of holdfast.yaml; default: this one or the nearest above it')
    .option('--repository <name>', 'a repository of holdfast.yaml, or the path of one')
    .addOption(new Option('--password-file <file>', 'the file that holds the password of the repository'))
    .option('--json', 'answer with one JSON document');
}

/** Makes commander throw our errors, and gives all commands the common options. */
function finish(command: Command): void {
  command.exitOverride((error: CommanderError) => {
    if (error.exitCode === 0 || error.code === 'commander.help') process.exit(0);
    throw new HoldfastError('usage', error.message.replace(/^error: /, ''), { hint: `See \`${fullName(command)} --help\`.` });
  });
  command.configureOutput({ outputError: () => undefined });
  command.allowExcessArguments(false);
  command.showSuggestionAfterError(true);
  for (const child of command.commands) {
    // A parent with the same options (`key`) would take them away from its subcommand.
    if (child.commands.length === 0) addCommonOptions(child);
    finish(child);
  }
}

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

export function buildProgram(): Command {
  const program = new Command('holdfast')
    .description('Keeps the data of a running application stack safe, and proves it.')
    .version(VERSION)
    .helpCommand(false)
    .addHelpText('after', '\nExit codes: 0 all is well, 2 usage or configuration, 3 incomplete source, 10 no repository, 11 locked, 12 wrong password, 130 interrupted; see docs/errors.md.');
  for (const add of [addDemo, addInit, addBackup, addSnapshots, addLs, addCat, addFind, addDiff, addStats, addRestore, addExport, addAttach, addCheck, addVerify, addWal, addForget, addCopy, addPrune, addRepair, addUnlock, addKey, addStorage]) add(program);
  addCommonOptions(program);
  // What stands before the name of the command counts as if it stood behind it.
  program.hook('preAction', (_, command) => {
    for (const [name, value] of Object.entries(program.opts())) {
      if (command.getOptionValue(name) === undefined) command.setOptionValueWithSource(name, value, 'cli');
    }
  });
  finish(program);
  return program;
}
