/** Backs up a database with us, with `pg_dump | gzip`, and with the parallel `pg_dump` that knows zstd. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf, warm } from '../data/files.ts';
import { bash, measure, quoted, type Command } from '../measure/measure.ts';
import type { Result } from '../measure/report.ts';
import { OURS, type Sample } from '../measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from '../rounds.ts';
import { holdfast, holdfastVersion, initStack, repositoryOf } from '../tool/holdfast.ts';
import { benchServer, DATABASE, type BenchServer } from './database.ts';
import { PG_DUMP, versionOf, zstdPgDump } from './peers.ts';

interface Tool {
  readonly name: string;
  readonly version: string;
  prepare(place: string): void;
  backup(place: string): Command;
  stored(place: string): string;
}

export async function benchPostgresBackup(options: BenchOptions): Promise<Result> {
  await using server = await benchServer(options);
  const { tools, missing } = options.alone ? { tools: [ours(server)], missing: [] } : allTools(server);
  const notes = [`Tools: ${tools.map(({ version }) => version).join('; ')}.`, ...missing];
  console.log(notes.join('\n'));
  using work = workFolder('postgres-backup', options);
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    work.clear();
    for (const tool of orderOf(tools, round)) samples.push({ ...(await oneRun(server, tool, work.folder, options.patience)), round });
  }
  return { name: 'postgres-backup', samples, notes: [...server.notes, ...notes] };
}

async function oneRun(server: BenchServer, tool: Tool, folder: string, patience: number): Promise<Omit<Sample, 'round'>> {
  const place = join(folder, tool.name.replaceAll(/\W+/g, '-'));
  tool.prepare(place);
  warm(server.files);
  server.sql(DATABASE, 'CHECKPOINT');
  const measured = await measure(tool.backup(place), { patience, server: server.pid });
  console.log(`${tool.name}: ${measured.wallSeconds.toFixed(2)} s`);
  return { phase: 'backup', tool: tool.name, ...measured, storedBytes: bytesOf(tool.stored(place)) };
}

function allTools(server: BenchServer): { readonly tools: readonly Tool[]; readonly missing: readonly string[] } {
  const withZstd = zstdPgDump();
  const always = [ours(server), gzipped(server)];
  if (withZstd === undefined) return { tools: always, missing: ['Left out: `pg_dump -Fd -j2 -Z zstd`, for no pg_dump of 16 or newer can be had here.'] };
  return { tools: [...always, parallel(server, withZstd)], missing: [] };
}

function ours(server: BenchServer): Tool {
  return {
    name: OURS, version: holdfastVersion(),
    prepare: (place) => initStack(place, '--postgres', server.url(DATABASE)),
    backup: (place) => holdfast(place, 'backup'),
    stored: repositoryOf,
  };
}

function gzipped(server: BenchServer): Tool {
  return {
    name: 'pg_dump | gzip', version: versionOf(PG_DUMP),
    prepare: (place) => rmSync(place, { force: true }),
    backup: (place) => bash(`${PG_DUMP} -d ${quoted(server.url(DATABASE))} | gzip > ${quoted(place)}`),
    stored: (place) => place,
  };
}

function parallel(server: BenchServer, program: string): Tool {
  return {
    name: 'pg_dump -Fd -j2 -Z zstd', version: versionOf(program),
    prepare: (place) => rmSync(place, { recursive: true, force: true }),
    backup: (place) => ({ program, args: ['-Fd', '-j2', '-Z', 'zstd', '-f', place, '-d', server.url(DATABASE)] }),
    stored: (place) => place,
  };
}
