/** Restores a database into a new one with us, proof included, with `psql`, and with the parallel `pg_restore`. */
import { join } from 'node:path';
import { warm } from '../data/files.ts';
import { bash, measure, quietly, quoted, type Command } from '../measure/measure.ts';
import type { Result } from '../measure/report.ts';
import { OURS, type Sample } from '../measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from '../rounds.ts';
import { holdfast, holdfastVersion, initStack, repositoryOf } from '../tool/holdfast.ts';
import { benchServer, DATABASE, type BenchServer } from './database.ts';
import { PG_DUMP, PG_RESTORE, PSQL, versionOf } from './peers.ts';

const TARGET = 'restored';

interface Tool {
  readonly name: string;
  readonly version: string;
  /** What is restored from. */
  readonly backup: string;
  /** Makes the backup; not measured. */
  prepare(): void;
  /** Whether it wants the new database to be there. */
  readonly wantsDatabase: boolean;
  readonly restore: Command;
}

export async function benchPostgresRestore(options: BenchOptions): Promise<Result> {
  await using server = await benchServer(options);
  using work = workFolder('postgres-restore', options);
  const tools = options.alone ? [ours(server, work.folder)] : [ours(server, work.folder), plain(server, work.folder), parallel(server, work.folder)];
  const notes = [`Tools: ${tools.map(({ version }) => version).join('; ')}.`];
  console.log(notes.join('\n'));
  for (const tool of tools) tool.prepare();
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    for (const tool of orderOf(tools, round)) samples.push({ ...(await oneRun(server, tool, options.patience)), round });
  }
  return { name: 'postgres-restore', samples, notes: [...server.notes, ...notes] };
}

async function oneRun(server: BenchServer, tool: Tool, patience: number): Promise<Omit<Sample, 'round'>> {
  const drop = `DROP DATABASE IF EXISTS ${TARGET} WITH (FORCE)`;
  server.sql('postgres', drop);
  if (tool.wantsDatabase) server.sql('postgres', `CREATE DATABASE ${TARGET} TEMPLATE template0`);
  warm(tool.backup);
  server.sql('postgres', 'CHECKPOINT');
  const measured = await measure(tool.restore, { patience, server: server.pid });
  console.log(`${tool.name}: ${measured.wallSeconds.toFixed(2)} s`);
  const storedBytes = Number(server.sql(TARGET, 'SELECT pg_database_size(current_database())'));
  server.sql('postgres', drop);
  return { phase: 'restore', tool: tool.name, ...measured, storedBytes };
}

function ours(server: BenchServer, folder: string): Tool {
  const place = join(folder, 'holdfast');
  return {
    name: OURS, version: holdfastVersion(), backup: repositoryOf(place), wantsDatabase: false,
    prepare: () => {
      initStack(place, '--postgres', server.url(DATABASE));
      quietly(holdfast(place, 'backup'));
    },
    restore: holdfast(place, 'restore', '--into', TARGET, '--yes'),
  };
}

function plain(server: BenchServer, folder: string): Tool {
  const file = join(folder, 'dump.sql.gz');
  return {
    name: 'gunzip | psql', version: versionOf(PSQL), backup: file, wantsDatabase: true,
    prepare: () => void quietly(bash(`${PG_DUMP} -d ${quoted(server.url(DATABASE))} | gzip > ${quoted(file)}`)),
    restore: bash(`gunzip -c ${quoted(file)} | ${PSQL} -qX -v ON_ERROR_STOP=1 -d ${quoted(server.url(TARGET))}`),
  };
}

function parallel(server: BenchServer, folder: string): Tool {
  const place = join(folder, 'dump');
  return {
    name: 'pg_restore -j2', version: versionOf(PG_RESTORE), backup: place, wantsDatabase: true,
    prepare: () => void quietly({ program: PG_DUMP, args: ['-Fd', '-j2', '-f', place, '-d', server.url(DATABASE)] }),
    restore: { program: PG_RESTORE, args: ['-j2', '-d', server.url(TARGET), place] },
  };
}
