import type { Command } from 'commander';

/** For commands that need a lock; the session takes it from there. */
export function addWaitOption(command: Command): Command {
  return command.option('--wait <time>', 'how long to wait for others that have locked the repository: 90s, 15m, 2h');
}
