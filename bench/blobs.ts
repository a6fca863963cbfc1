/** A repository of two million blobs: time and memory of commands that load its index. The blobs are made up; no measured command reads them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeLargeIndex } from './data/large-index.ts';
import { measure, quietly, type Command } from './measure/measure.ts';
import type { Result } from './measure/report.ts';
import { OURS, type Sample } from './measure/sample.ts';
import { workFolder, type BenchOptions } from './rounds.ts';
import { holdfast, holdfastVersion, initStack, repositoryOf } from './tool/holdfast.ts';
import { setUp } from './tool/setup.ts';

const BLOBS = 2_000_000;

export async function benchBlobs(options: BenchOptions): Promise<Result> {
  if (!setUp('debian')) throw new Error('restic cannot be had');
  using work = workFolder('blobs', options);
  const place = join(work.folder, 'stack');
  const source = join(work.folder, 'source');
  mkdirSync(source, { recursive: true });
  for (let n = 0; n < 200; n++) writeFileSync(join(source, `file-${n}`), `${n}\n`.repeat(500));
  initStack(place, '--directory', source);
  const blobs = BLOBS * options.scale;
  await writeLargeIndex(repositoryOf(place), 'benchmark', blobs);
  const cache = ['--cache-dir', join(work.folder, 'cache')];
  const restic = (...args: readonly string[]): Command => ({ program: 'restic', args: ['-q', '--repo', repositoryOf(place), ...cache, ...args], env: { RESTIC_PASSWORD: 'benchmark' } });
  const phases: readonly (readonly [string, Command, Command])[] = [
    ['backup', holdfast(place, 'backup'), restic('backup', source)],
    ['list a snapshot', holdfast(place, 'ls', 'latest'), restic('ls', 'latest')],
    ['check', holdfast(place, 'check'), restic('check')],
    ['prune, plan only', holdfast(place, 'prune', '--dry-run'), restic('prune', '--dry-run')],
  ];
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    for (const [phase, ours, theirs] of phases) {
      for (const [tool, command] of round % 2 === 0 ? [[OURS, ours], ['restic', theirs]] as const : [['restic', theirs], [OURS, ours]] as const) {
        const measured = await measure(command, { patience: options.patience });
        console.log(`round ${round + 1} ${phase} ${tool}: ${measured.wallSeconds.toFixed(2)} s, ${(measured.peakBytes / 1e6).toFixed(0)} MB`);
        samples.push({ phase, tool, round, ...measured });
      }
    }
  }
  return { name: 'blobs', samples, notes: [`Tools: ${holdfastVersion()}; ${quietly({ program: 'restic', args: ['version'] }).trim()}.`, `A local repository of ${blobs.toLocaleString('en')} blobs.`] };
}
