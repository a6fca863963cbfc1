/**
 * A repository that has seen a hundred days: each day one percent of the data changes and is backed up, every tenth day old
 * snapshots are forgotten and pruned. Measured at the end: one file back, all back, a backup, and a prune.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { cachedDataset } from './data/cache.ts';
import { DATASETS } from './data/datasets.ts';
import { bytesOf, filesOf, noteDifference, warm } from './data/files.ts';
import { modify } from './data/modify.ts';
import { measure, quietly, type Command } from './measure/measure.ts';
import type { Result } from './measure/report.ts';
import type { Sample } from './measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from './rounds.ts';
import { holdfast, holdfastTool } from './tool/holdfast.ts';
import { resticTool } from './tool/restic.ts';
import { setUp } from './tool/setup.ts';
import type { DirectoryTool } from './tool/tool.ts';

const DAYS = 100;
const PRUNE_EVERY = 10;
const KEPT = 20;
/** Of the mixed dataset: what matters here is the age, not the size. */
const PART = 0.2;

interface AgedTool extends DirectoryTool {
  /** What forgets all but the newest snapshots and gives the space back, one command after the other. */
  care(place: string): readonly Command[];
  restoreFile(place: string, file: string, out: string): Command;
}

const ours: AgedTool = {
  ...holdfastTool(),
  care: (place) => [holdfast(place, 'forget', '--keep-last', String(KEPT), '--yes'), holdfast(place, 'prune', '--grace', '0', '--yes')],
  restoreFile: (place, file, out) => holdfast(place, 'restore', 'files', '--path', file, '--into', out, '--yes'),
};

function theirs(): AgedTool {
  const tool = resticTool();
  const command = (place: string, ...args: readonly string[]): Command => {
    const { program, env, args: [quiet = '', ...all] } = tool.backup(place, '');
    return { program, env: env ?? {}, args: [quiet, ...all.slice(0, -2), ...args] };
  };
  return {
    ...tool,
    care: (place) => [command(place, 'forget', '--keep-last', String(KEPT)), command(place, 'prune')],
    restoreFile: (place, file, out) => command(place, 'restore', 'latest', '--target', out, '--include', file),
  };
}

export async function benchAged(options: BenchOptions): Promise<Result> {
  if (!setUp('debian')) throw new Error('restic cannot be had');
  const tools = options.alone ? [ours] : [ours, theirs()];
  const dataset = DATASETS.find(({ name }) => name === 'directory-mixed');
  if (!dataset) throw new Error('no dataset');
  const data = cachedDataset(dataset, options.cache, PART * options.scale);
  using work = workFolder('aged', options);
  data.changed();
  const undo = age(tools, data.folder, work.folder);
  const notes = [
    `Tools: ${tools.map(({ version }) => version).join('; ')}.`,
    `Repositories of ${DAYS} backups of ${filesOf(data.folder).length} files, ${(bytesOf(data.folder) / 1e6).toFixed(0)} MB, 1 % changed for each; every ${PRUNE_EVERY}th time all but ${KEPT} snapshots forgotten and pruned.`,
  ];
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) samples.push(...(await oneRound(orderOf(tools, round), round, data.folder, work.folder, options.patience)));
  undo();
  data.whole();
  return { name: 'aged', samples, notes };
}

/** Returns what takes all changes back. */
function age(tools: readonly AgedTool[], source: string, folder: string): () => void {
  for (const tool of tools) tool.prepare(join(folder, tool.name), source);
  const undo: (() => void)[] = [];
  for (let day = 1; day <= DAYS; day++) {
    undo.push(modify(source, day, false));
    for (const tool of tools) {
      const place = join(folder, tool.name);
      quietly(tool.backup(place, source));
      if (day % PRUNE_EVERY === 0) for (const command of tool.care(place)) quietly(command);
    }
    if (day % PRUNE_EVERY === 0) console.log(`day ${day}: ${tools.map((tool) => `${tool.name} ${(bytesOf(tool.repository(join(folder, tool.name))) / 1e6).toFixed(0)} MB`).join(', ')}`);
  }
  // The last backup is of the data as it stands; what follows reads and restores that.
  for (const tool of tools) quietly(tool.backup(join(folder, tool.name), source));
  return () => undo.toReversed().forEach((step) => step());
}

async function oneRound(tools: readonly AgedTool[], round: number, source: string, folder: string, patience: number): Promise<readonly Sample[]> {
  const file = filesOf(source)[0]?.path ?? '';
  const out = join(folder, 'out');
  const samples: Sample[] = [];
  for (const phase of ['one file', 'restore', 'unchanged', 'prune'] as const) {
    for (const tool of tools) {
      const place = join(folder, tool.name);
      const prune = tool.care(place).at(-1);
      const command = { 'one file': tool.restoreFile(place, file, out), restore: tool.restore(place, out), unchanged: tool.backup(place, source), prune }[phase];
      if (!command) continue;
      warm(tool.repository(place));
      const measured = await measure(command, { patience });
      if (phase === 'restore') noteDifference(source, out, tool.name);
      rmSync(out, { recursive: true, force: true });
      console.log(`round ${round + 1} ${phase} ${tool.name}: ${measured.wallSeconds.toFixed(2)} s`);
      samples.push({ phase, tool: tool.name, round, ...measured, storedBytes: bytesOf(tool.repository(place)) });
    }
  }
  return samples;
}
