/** Ourselves, started the way a user starts us. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { quietly, type Command } from '../measure/measure.ts';
import { OURS } from '../measure/sample.ts';
import type { DirectoryTool } from './tool.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PASSWORD = { HOLDFAST_PASSWORD: 'benchmark' };

/** A call of `bin/holdfast` for the stack in `place`. */
export function holdfast(place: string, ...args: readonly string[]): Command {
  return { program: join(ROOT, 'bin', 'holdfast'), args: [...args, '-C', place, '--json'], env: PASSWORD };
}

/** `holdfast init` in an empty folder: writes holdfast.yaml there and makes the repository. */
export function initStack(place: string, ...flags: readonly string[]): void {
  mkdirSync(place, { recursive: true });
  quietly(holdfast(place, 'init', '--stack', 'bench', '--repository', repositoryOf(place), ...flags));
}

export function repositoryOf(place: string): string {
  return join(place, 'repository');
}

/** The version, with the commit it was run from. */
export function holdfastVersion(): string {
  const version = quietly({ program: join(ROOT, 'bin', 'holdfast'), args: ['--version'] }).trim();
  const commit = quietly({ program: 'git', args: ['-C', ROOT, 'describe', '--always', '--dirty'] }).trim();
  return `holdfast ${version} (${commit})`;
}

export function holdfastTool(): DirectoryTool {
  return {
    name: OURS, version: holdfastVersion(),
    prepare: (place, source) => initStack(place, '--directory', source),
    backup: (place) => holdfast(place, 'backup'),
    restore: (place, out) => holdfast(place, 'restore', '--into', out, '--yes'),
    repository: repositoryOf,
  };
}
