/** Restores a database into a new one with us, proof included, with `psql`, and with the parallel `pg_restore`. */
import { join } from 'node:path';
import { warm } from '../data/files.ts';
import { measure, quietly } from '../measure/measure.ts';
import type { Result } from '../measure/report.ts';
import type { Sample } from '../measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from '../rounds.ts';
import { contentOf, mustBeEqual } from './content.ts';
import { benchServer, DATABASE, type BenchServer } from './database.ts';
import { gzipped, ours, parallel, type DumpTool } from './dump-tool.ts';

const TARGET = 'restored';

export async function benchPostgresRestore(options: BenchOptions): Promise<Result> {
  await using server = await benchServer(options);
  using work = workFolder('postgres-restore', options);
  const tools = options.alone ? [ours()] : [ours(), gzipped(), parallel()];
  const notes = [`Tools: ${tools.map(({ version }) => version).join('; ')}.`];
  console.log(notes.join('\n'));
  const url = server.url(DATABASE);
  for (const tool of tools) {
    tool.prepare(placeOf(work.folder, tool), url);
    quietly(tool.backup(placeOf(work.folder, tool), url, 0));
  }
  const content = contentOf(server, DATABASE);
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    for (const tool of orderOf(tools, round)) samples.push({ ...(await oneRun({ server, content, patience: options.patience }, tool, placeOf(work.folder, tool))), round });
  }
  return { name: 'postgres-restore', samples, notes: [...server.notes, ...notes] };
}

function placeOf(folder: string, { name }: DumpTool): string {
  return join(folder, name.replaceAll(/\W+/g, '-'));
}

interface Circumstances {
  readonly server: BenchServer;
  readonly content: string;
  readonly patience: number;
}

async function oneRun({ server, content, patience }: Circumstances, tool: DumpTool, place: string): Promise<Omit<Sample, 'round'>> {
  const drop = `DROP DATABASE IF EXISTS ${TARGET} WITH (FORCE)`;
  server.sql('postgres', drop);
  if (tool.wantsDatabase) server.sql('postgres', `CREATE DATABASE ${TARGET} TEMPLATE template0`);
  warm(tool.stored(place));
  server.sql('postgres', 'CHECKPOINT');
  const measured = await measure(tool.restore(place, { url: server.url(TARGET), database: TARGET }, 0), { patience, server: server.pid });
  console.log(`${tool.restoreName}: ${measured.wallSeconds.toFixed(2)} s`);
  const storedBytes = Number(server.sql(TARGET, 'SELECT pg_database_size(current_database())'));
  mustBeEqual(content, contentOf(server, TARGET), tool.restoreName);
  server.sql('postgres', drop);
  return { phase: 'restore', tool: tool.restoreName, ...measured, storedBytes };
}
