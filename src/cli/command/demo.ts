import type { Command } from 'commander';
import { Session, type CommonOptions } from '../session.ts';

interface Options extends CommonOptions {
  readonly keep?: boolean;
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .summary('the whole story on an embedded stack')
    .description('Fills an embedded database and a folder, backs them up, destroys them, restores them and proves it; ends with what it measured.')
    .option('--keep', 'keep the folder with the repository, to look into it')
    .action(async (options: Options) => {
      const { runDemo } = await import('../demo/story.ts');
      await using session = new Session(options);
      await runDemo(session, options.keep ?? false);
    });
}
