/** The peak memory of Holdfast in every phase of the other benches; no peers. */
import { DATASETS } from './data/datasets.ts';
import { benchDirectory } from './directory.ts';
import type { Result } from './measure/report.ts';
import { benchPostgresBackup } from './postgres/backup.ts';
import { benchPostgresRestore } from './postgres/restore.ts';
import type { BenchOptions } from './rounds.ts';

export async function benchMemory(options: BenchOptions): Promise<Result> {
  const alone = { ...options, alone: true };
  const results: Result[] = [];
  for (const dataset of DATASETS) results.push(await benchDirectory(dataset, alone));
  results.push(await benchPostgresBackup(alone), await benchPostgresRestore(alone));
  return {
    name: 'memory',
    samples: results.flatMap(({ name, samples }) => samples.map((sample) => ({ ...sample, phase: `${name} ${sample.phase}` }))),
    notes: [...new Set(results.flatMap(({ notes }) => notes))],
  };
}
