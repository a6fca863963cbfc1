/** Stock restic with its own defaults. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { quietly, type Command } from '../measure/measure.ts';
import type { DirectoryTool } from './tool.ts';

export function resticTool(): DirectoryTool {
  const repository = (place: string): string => join(place, 'repository');
  const restic = (place: string, ...args: readonly string[]): Command => ({
    program: 'restic', args: ['-q', '--repo', repository(place), '--cache-dir', join(place, 'cache'), ...args], env: { RESTIC_PASSWORD: 'benchmark' },
  });
  return {
    name: 'restic', version: quietly({ program: 'restic', args: ['version'] }).trim(),
    prepare: (place) => {
      mkdirSync(place, { recursive: true });
      quietly(restic(place, 'init'));
    },
    backup: (place, source) => restic(place, 'backup', source),
    restore: (place, out) => restic(place, 'restore', 'latest', '--target', out),
    repository,
  };
}
