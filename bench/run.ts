/** `npm run bench -- NAME`: measures Holdfast side by side with what people use otherwise. It asserts nothing. */
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DATASETS } from './data/datasets.ts';
import { benchAged } from './aged.ts';
import { benchBlobs } from './blobs.ts';
import { benchDirectory } from './directory.ts';
import { report, type Result } from './measure/report.ts';
import { benchMemory } from './memory.ts';
import { benchBaseBackup } from './postgres/base-backup.ts';
import { benchBaseRestore } from './postgres/base-restore.ts';
import { benchPostgresBackup } from './postgres/backup.ts';
import { benchPostgresChanges } from './postgres/changes.ts';
import { benchPostgresRestore } from './postgres/restore.ts';
import { benchWal } from './postgres/wal.ts';
import { benchRemote } from './remote.ts';
import type { BenchOptions } from './rounds.ts';

type Bench = (options: BenchOptions) => Promise<Result>;

const BENCHES = new Map<string, Bench>([
  ...DATASETS.map((dataset): [string, Bench] => [dataset.name, (options) => benchDirectory(dataset, options)]),
  ['s3', (options) => benchRemote('s3', options)],
  ['sftp', (options) => benchRemote('sftp', options)],
  ['aged', benchAged],
  ['blobs', benchBlobs],
  ['postgres-backup', benchPostgresBackup],
  ['postgres-restore', benchPostgresRestore],
  ['postgres-changes', benchPostgresChanges],
  ['base-backup', benchBaseBackup],
  ['base-restore', benchBaseRestore],
  ['wal', benchWal],
  ['memory', benchMemory],
]);

const USAGE = `usage: npm run bench -- NAME... [--runs N] [--keep] [--wait SECONDS] [--folder PATH] [--scale X]
  NAME           ${[...BENCHES.keys()].join(', ')}, or all
  --runs N       rounds, in each of which every tool runs once; default 5, for memory 1
  --keep         leave the repositories and dumps of the last round, to look into them
  --folder PATH  where data (which stays, for the next run) and repositories are put; default: holdfast-bench in the temporary folder
  --wait SECONDS before each run, wait at most so long for others on the machine to be quiet; default 0
  --scale X      makes the data smaller, to try the harness; figures mean nothing then`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { runs: { type: 'string' }, keep: { type: 'boolean', default: false }, wait: { type: 'string', default: '0' }, folder: { type: 'string' }, scale: { type: 'string', default: '1' }, help: { type: 'boolean', default: false } },
  });
  const names = positionals.includes('all') ? [...BENCHES.keys()] : positionals;
  const [runs, scale, patience] = [Number(values.runs ?? 5), Number(values.scale), Number(values.wait)];
  if (values.help || names.length === 0 || !names.every((name) => BENCHES.has(name)) || !(Number.isInteger(runs) && runs > 0) || !(scale > 0 && scale <= 1) || !(patience >= 0)) {
    console.log(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const cache = resolve(values.folder ?? join(tmpdir(), 'holdfast-bench'));
  // The Postgres server is another user, who must get through.
  mkdirSync(cache, { recursive: true, mode: 0o755 });
  console.log(`Data is kept in ${cache}.`);
  for (const name of names) {
    const rounds = values.runs === undefined && name === 'memory' ? 1 : runs;
    const result = await BENCHES.get(name)?.({ runs: rounds, cache, scale, patience, keep: values.keep, alone: false });
    if (result !== undefined) report(result);
  }
}

await main();
