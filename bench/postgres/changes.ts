/** Backs up a database again and again: as it is, unchanged, with one table in a hundred changed, and with one percent of a large table changed. */
import type { Result } from '../measure/report.ts';
import type { BenchOptions } from '../rounds.ts';
import { WITHOUT_ZSTD } from './backup.ts';
import { contentOf, mustBeEqual } from './content.ts';
import { copiedServer, pristineCluster } from './copy.ts';
import { DATABASE, type BenchServer } from './database.ts';
import { custom, gzipped, intoRestic, ours, parallelZstd, type DumpTool } from './dump-tool.ts';
import { measurePhases, type Lap, type Phase, type PhaseTool } from './phases.ts';
import { quietly } from '../measure/measure.ts';

const TARGET = 'restored';
const TABLES = 100;

export async function benchPostgresChanges(options: BenchOptions): Promise<Result> {
  const { folder: pristine, notes } = await pristineCluster(options);
  const zstd = parallelZstd();
  const tools = [ours(), ours('--frugal'), gzipped(), custom(), ...(zstd === undefined ? [] : [zstd]), intoRestic()];
  const said = [
    ...notes, `Its documents lie in ${TABLES} tables.`, `Tools: ${[...new Set(tools.map(({ version }) => version))].join('; ')}.`, ...(zstd === undefined ? [WITHOUT_ZSTD] : []),
  ];
  console.log(said.slice(notes.length).join('\n'));
  const samples = await measurePhases('postgres-changes', options, async (folder) => {
    const server = await copiedServer(pristine, `${folder}/server`, {});
    split(server);
    return lapOf(server, tools);
  });
  return { name: 'postgres-changes', samples, notes: said };
}

/** The documents in a hundred tables. */
function split(server: BenchServer): void {
  const parts = Array.from({ length: TABLES }, (_, number) => `CREATE TABLE docs_${number} AS SELECT * FROM docs WHERE id % ${TABLES} = ${number}; ALTER TABLE docs_${number} ADD PRIMARY KEY (id);`);
  server.sql(DATABASE, `${parts.join('\n')} DROP TABLE docs;`);
  for (const text of ['VACUUM (FREEZE, ANALYZE)', 'CHECKPOINT']) server.sql(DATABASE, text);
}

function lapOf(server: BenchServer, tools: readonly DumpTool[]): Lap {
  const percent = Number(server.sql(DATABASE, 'SELECT count(*) / 100 FROM pgbench_accounts'));
  const change = (name: string, text: string): Phase => ({ name, change: () => void server.sql(DATABASE, text) });
  return {
    server,
    phases: [
      { name: 'first', change: () => undefined }, { name: 'unchanged', change: () => undefined },
      change('1 table of 100', `UPDATE docs_42 SET title = title || '!' WHERE id % 10 = 2`),
      change('1 % of a table, in one place', `UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid BETWEEN ${percent * 40} AND ${percent * 41 - 1}`),
      change('1 % of a table, all over it', 'UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 100 = 7'),
    ],
    tools: (port) => tools.map((tool) => onServer(tool, server, port)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function onServer({ name, version, prepare, backup, stored, wantsDatabase, restore }: DumpTool, server: BenchServer, port: number): PhaseTool {
  const url = server.url(DATABASE, port);
  return {
    name, version, stored,
    prepare: (place) => prepare(place, url),
    backup: (place, number) => backup(place, url, number),
    prove: (place, number) => {
      if (wantsDatabase) server.sql('postgres', `CREATE DATABASE ${TARGET} TEMPLATE template0`);
      quietly(restore(place, { url: server.url(TARGET), database: TARGET }, number));
      mustBeEqual(contentOf(server, DATABASE), contentOf(server, TARGET), name);
      server.sql('postgres', `DROP DATABASE ${TARGET} WITH (FORCE)`);
    },
  };
}
