/** Backs up a folder with us and with restic: cold, unchanged, one percent modified; then restores it. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { cachedDataset, type Cached } from './data/cache.ts';
import type { Dataset } from './data/datasets.ts';
import { bytesOf, filesOf, noteDifference, warm } from './data/files.ts';
import { modify } from './data/modify.ts';
import { measure, type Command } from './measure/measure.ts';
import type { Result } from './measure/report.ts';
import type { Sample } from './measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from './rounds.ts';
import { holdfastTool } from './tool/holdfast.ts';
import { resticTool } from './tool/restic.ts';
import { setUp } from './tool/setup.ts';
import type { DirectoryTool } from './tool/tool.ts';

type Phase = 'cold' | 'unchanged' | 'modified' | 'restore';
const PHASES: readonly Phase[] = ['cold', 'unchanged', 'modified', 'restore'];

export async function benchDirectory(dataset: Dataset, options: BenchOptions): Promise<Result> {
  if (!options.alone && !setUp('debian')) throw new Error('restic cannot be had');
  const tools = options.alone ? [holdfastTool()] : [holdfastTool(), resticTool()];
  const data = cachedDataset(dataset, options.cache, options.scale);
  const files = filesOf(data.folder);
  const notes = [`Tools: ${tools.map(({ version }) => version).join('; ')}.`, `Data: ${files.length} files, ${(bytesOf(data.folder) / 1e6).toFixed(0)} MB (${dataset.holds}).`];
  console.log(notes.join('\n'));
  using work = workFolder(dataset.name, options);
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    work.clear();
    samples.push(...(await oneRound({ round, tools: orderOf(tools, round), data, dataset, folder: work.folder, patience: options.patience })));
  }
  return { name: dataset.name, samples, notes };
}

interface Round {
  readonly round: number;
  readonly tools: readonly DirectoryTool[];
  readonly data: Cached;
  readonly dataset: Dataset;
  readonly folder: string;
  readonly patience: number;
}

async function oneRound(context: Round): Promise<readonly Sample[]> {
  const { round, tools, data, dataset, folder } = context;
  const samples: Sample[] = [];
  for (const tool of tools) tool.prepare(join(folder, tool.name), data.folder);
  let undo = (): void => undefined;
  for (const phase of PHASES) {
    if (phase === 'modified') {
      data.changed();
      undo = modify(data.folder, round, dataset.noise);
    }
    for (const tool of tools) {
      const sample = await onePhase(context, phase, tool);
      console.log(`round ${round + 1} ${phase} ${tool.name}: ${sample.wallSeconds.toFixed(2)} s`);
      samples.push(sample);
    }
  }
  undo();
  data.whole();
  return samples;
}

async function onePhase({ round, data, folder, patience }: Round, phase: Phase, tool: DirectoryTool): Promise<Sample> {
  const place = join(folder, tool.name);
  const out = join(folder, 'out');
  const command: Command = phase === 'restore' ? tool.restore(place, out) : tool.backup(place, data.folder);
  warm(phase === 'restore' ? tool.repository(place) : data.folder);
  const measured = await measure(command, { patience });
  const storedBytes = bytesOf(tool.repository(place));
  if (phase === 'restore') {
    noteDifference(data.folder, out, tool.name);
    rmSync(out, { recursive: true, force: true });
  }
  return { phase, tool: tool.name, round, ...measured, storedBytes };
}
