/** Backs up a whole server: as it is, unchanged, and with one percent changed. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bash, quietly, quoted } from '../measure/measure.ts';
import type { Result } from '../measure/report.ts';
import type { BenchOptions } from '../rounds.ts';
import { setUp } from '../tool/setup.ts';
import { archiveWith, barman, NOWHERE, oursPhysical, pgbackrest, plainBasebackup, zstdBasebackup, type ClusterTool, type Reach } from './cluster-tool.ts';
import { contentOf, mustBeEqual } from './content.ts';
import { copiedServer, pristineCluster } from './copy.ts';
import { DATABASE, type BenchServer } from './database.ts';
import { measurePhases, type Lap, type PhaseTool } from './phases.ts';
import { folderOfServer, identity, startServer, type Server } from './server.ts';

export async function benchBaseBackup(options: BenchOptions): Promise<Result> {
  if (!setUp('cluster-peers')) throw new Error('pgbackrest and barman cannot be had');
  const { folder: pristine, notes } = await pristineCluster(options);
  const said: string[] = [];
  const samples = await measurePhases('base-backup', options, async (folder) => {
    const reach = await archivingServer(pristine, folder);
    if (said.length === 0) said.push(`Tools: ${[...new Set(toolsOf(reach).map(({ version }) => version))].join('; ')}.`);
    return lapOf(reach);
  });
  return { name: 'base-backup', samples, notes: [...notes, ...said] };
}

/** A copy of the cluster that archives, nowhere at first. */
export async function archivingServer(pristine: string, folder: string): Promise<Reach & { readonly server: BenchServer }> {
  const sockets = join(folder, 'sockets');
  folderOfServer(sockets);
  const server = await copiedServer(pristine, join(folder, 'server'), { unix_socket_directories: sockets, archive_mode: 'on' });
  archiveWith(server, NOWHERE);
  // The log of the time before belongs to nobody.
  server.sql('postgres', 'CHECKPOINT');
  server.sql('postgres', 'SELECT pg_switch_wal()');
  return { server, port: server.port, sockets };
}

function toolsOf(reach: Reach): readonly ClusterTool[] {
  return [oursPhysical(reach), plainBasebackup(reach), zstdBasebackup(reach, 'server'), zstdBasebackup(reach, 'client'), pgbackrest(reach), barman(reach)];
}

function lapOf(reach: Reach & { readonly server: BenchServer }): Lap {
  const { server } = reach;
  return {
    server,
    phases: [{ name: 'first', change: () => undefined }, { name: 'unchanged', change: () => undefined }, { name: '1 % changed', change: () => changeOnePercent(server) }],
    tools: (port) => toolsOf({ ...reach, port }).map((tool) => onServer(tool, server)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** One percent of the rows of the two large tables, in one place of each. */
export function changeOnePercent(server: Server): void {
  for (const [table, key, set] of [['pgbench_accounts', 'aid', 'abalance = abalance + 1'], ['docs', 'id', `title = title || '!'`]] as const) {
    server.sql(DATABASE, `UPDATE ${table} SET ${set} WHERE ${key} BETWEEN (SELECT max(${key}) * 40 / 100 FROM ${table}) AND (SELECT max(${key}) * 41 / 100 - 1 FROM ${table})`);
  }
}

function onServer(tool: ClusterTool, server: Server): PhaseTool {
  return {
    ...tool,
    ready: (place) => archiveWith(server, tool.archive(place)),
    async prove(place, number) {
      const scratch = join(place, 'restored');
      folderOfServer(scratch);
      quietly(tool.restore(place, number, join(scratch, 'data')));
      await using restored = await startRestored(scratch);
      mustBeEqual(contentOf(server, DATABASE), contentOf(restored, DATABASE), tool.name);
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

/** A server on the data directory `folder/data`, out of its recovery. It archives nothing. */
export async function startRestored(folder: string): Promise<Server> {
  const { uid, gid } = identity();
  if (uid !== undefined && gid !== undefined) quietly(bash(`chown -R ${uid}:${gid} ${quoted(folder)} && chmod 700 ${quoted(join(folder, 'data'))}`));
  const server = await startServer(folder, { archive_mode: 'off' });
  for (let tries = 0; server.sql('postgres', 'SELECT pg_is_in_recovery()') === 't'; tries++) {
    if (tries > 600) throw new Error(`the server in ${folder} does not end its recovery`);
    await sleep(100);
  }
  return server;
}
