/** Backs up a database with us, with `pg_dump | gzip`, and with the parallel `pg_dump` that knows zstd. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf, warm } from '../data/files.ts';
import { measure } from '../measure/measure.ts';
import type { Result } from '../measure/report.ts';
import type { Sample } from '../measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from '../rounds.ts';
import { benchServer, DATABASE, type BenchServer } from './database.ts';
import { gzipped, ours, parallelZstd, type DumpTool } from './dump-tool.ts';

export const WITHOUT_ZSTD = 'Left out: `pg_dump -Fd -j2 -Z zstd`, for no pg_dump of 16 or newer can be had here.';

export async function benchPostgresBackup(options: BenchOptions): Promise<Result> {
  await using server = await benchServer(options);
  const withZstd = options.alone ? undefined : parallelZstd();
  const tools = options.alone ? [ours()] : [ours(), gzipped(), ...(withZstd === undefined ? [] : [withZstd])];
  const notes = [`Tools: ${tools.map(({ version }) => version).join('; ')}.`, ...(options.alone || withZstd !== undefined ? [] : [WITHOUT_ZSTD])];
  console.log(notes.join('\n'));
  using work = workFolder('postgres-backup', options);
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    work.clear();
    for (const tool of orderOf(tools, round)) samples.push({ ...(await oneRun(server, tool, work.folder, options.patience)), round });
  }
  return { name: 'postgres-backup', samples, notes: [...server.notes, ...notes] };
}

async function oneRun(server: BenchServer, tool: DumpTool, folder: string, patience: number): Promise<Omit<Sample, 'round'>> {
  const place = join(folder, tool.name.replaceAll(/\W+/g, '-'));
  const url = server.url(DATABASE);
  rmSync(place, { recursive: true, force: true });
  tool.prepare(place, url);
  warm(server.files);
  server.sql(DATABASE, 'CHECKPOINT');
  const measured = await measure(tool.backup(place, url, 0), { patience, server: server.pid });
  console.log(`${tool.name}: ${measured.wallSeconds.toFixed(2)} s`);
  return { phase: 'backup', tool: tool.name, ...measured, storedBytes: bytesOf(tool.stored(place)) };
}
