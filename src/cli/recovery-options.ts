/** What `restore --at` can be told about physical stores. */
import { Option, type Command } from 'commander';

export interface RecoveryOptions {
  readonly at?: string;
  readonly timeline?: number;
  readonly probe?: string;
  readonly unproven?: boolean;
  readonly amcheck: boolean;
  readonly database?: string;
}

export function addRecoveryOptions(command: Command): Command {
  return command
    .addOption(new Option('--timeline <number>', 'with --at, of a physical store: this timeline and not the newest').argParser(Number))
    .option('--probe <file>', 'with --at, of a physical store: SQL that must succeed in the recovered server; its answers are shown')
    .option('--no-amcheck', 'with --at, of a physical store: do not read all tables and indexes to check them')
    .option('--unproven', 'with --at, of a physical store: start no server here; yours recovers it when it is first started')
    .option('--database <name>', 'with --at, of a physical store: only this database, or with --table the one of the tables; it goes into the running server');
}
