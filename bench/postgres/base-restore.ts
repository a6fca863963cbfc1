/** Restores a whole server: the files of its base backup, and a server at a moment after it, once it answers. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { warm } from '../data/files.ts';
import { follow } from '../measure/follower.ts';
import { bash, measure, quietly, quoted, shell } from '../measure/measure.ts';
import type { Result } from '../measure/report.ts';
import type { Sample } from '../measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from '../rounds.ts';
import { holdfast } from '../tool/holdfast.ts';
import { setUp } from '../tool/setup.ts';
import { archivingServer, changeOnePercent, startRestored } from './base-backup.ts';
import { archiveWith, barman, NOWHERE, oursPhysical, pgbackrest, plainBasebackup, zstdBasebackup, type ClusterTool } from './cluster-tool.ts';
import { contentOf, mustBeEqual } from './content.ts';
import { pristineCluster } from './copy.ts';
import { DATABASE, type BenchServer } from './database.ts';
import { PSQL } from './peers.ts';
import { asServer, BINARIES, folderOfServer, freePort } from './server.ts';

/** Transactions of pgbench between the base backup and the moment; each leaves a few kB of log. */
const TRANSACTIONS = 40_000;
const CLIENTS = 4;

interface Made {
  /** ISO 8601. */
  readonly moment: string;
  readonly content: string;
  readonly logBytes: number;
}

export async function benchBaseRestore(options: BenchOptions): Promise<Result> {
  if (!setUp('cluster-peers')) throw new Error('pgbackrest and barman cannot be had');
  const { folder: pristine, notes } = await pristineCluster(options);
  using work = workFolder('base-restore', options);
  const { tools, withLog, made } = await makeBackups(pristine, work.folder, options.scale);
  const said = [`Tools: ${[...new Set(tools.map(({ version }) => version))].join('; ')}.`, `From the base backup to the moment: ${(made.logBytes / 1e6).toFixed(0)} MB of log.`];
  console.log(said.join('\n'));
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    for (const phase of ['base backup', 'moment'] as const) {
      for (const tool of orderOf(phase === 'moment' ? withLog : tools, round)) {
        const sample = await oneRun(tool, placeOf(work.folder, tool), phase === 'moment' ? made : undefined, options.patience);
        console.log(`${phase}, ${tool.name}: ${sample.wallSeconds.toFixed(2)} s`);
        samples.push({ ...sample, phase, round });
      }
    }
  }
  return { name: 'base-restore', samples, notes: [...notes, ...said] };
}

function placeOf(folder: string, { name }: ClusterTool): string {
  return join(folder, name.replaceAll(/\W+/g, '-'));
}

interface Backups {
  readonly tools: readonly ClusterTool[];
  /** Those that keep the log, too; and ourselves without the proof that others do not make. */
  readonly withLog: readonly ClusterTool[];
  readonly made: Made;
}

/** Base backups of all tools, and then log that all who can keep. The server has ended. */
async function makeBackups(pristine: string, folder: string, scale: number): Promise<Backups> {
  const reach = await archivingServer(pristine, folder);
  await using server = reach.server;
  const [ours, archiver, other] = [oursPhysical(reach), pgbackrest(reach), barman(reach)];
  const withLog = [ours, archiver, other];
  const tools = [...withLog, plainBasebackup(reach), zstdBasebackup(reach, 'server')];
  for (const tool of tools) tool.prepare(placeOf(folder, tool));
  archiveWith(server, withLog.map((tool) => tool.archive(placeOf(folder, tool))).filter((command) => command !== NOWHERE).join(' && '));
  await using follower = follow(holdfast(placeOf(folder, ours), 'wal', 'follow', 'cluster'));
  const arrived = async (holds: string): Promise<void> => {
    for (let tries = 0; server.sql('postgres', `SELECT ${holds}`) !== 't'; tries++) {
      if (tries > 600) throw new Error(`two minutes without: ${holds}`);
      follower.mustRun();
      await sleep(200);
    }
  };
  await arrived(`EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')`);
  for (const tool of tools) quietly(tool.backup(placeOf(folder, tool), 0));
  const made = load(server, scale);
  const end = server.sql('postgres', 'SELECT pg_current_wal_lsn()');
  const segment = server.sql('postgres', `SELECT pg_walfile_name('${end}')`);
  server.sql('postgres', 'SELECT pg_switch_wal()');
  await arrived(`(SELECT max(flush_lsn) FROM pg_stat_replication) >= '${end}'`);
  await arrived(`(SELECT last_archived_wal FROM pg_stat_archiver) >= '${segment}'`);
  quietly(asServer({ program: 'barman', args: ['-q', '-c', join(placeOf(folder, other), 'barman.conf'), 'archive-wal', 'bench'] }));
  return { tools, withLog: [...withLog, unproven(ours, placeOf(folder, ours))], made };
}

/** Restores from the place of the other. */
function unproven(ours: ClusterTool, place: string): ClusterTool {
  return {
    ...ours, name: `${ours.name} --unproven`, stored: () => ours.stored(place),
    restore: (_, number, into, at) => {
      const proven = ours.restore(place, number, into, at);
      return { ...proven, args: [...proven.args, '--unproven'] };
    },
  };
}

/** Work of four clients; then the moment; then more, that must not come back. */
function load(server: BenchServer, scale: number): Made {
  const begin = server.sql('postgres', 'SELECT pg_current_wal_lsn()');
  quietly({ program: join(BINARIES, 'pgbench'), args: ['-n', '-c', String(CLIENTS), '-j', '2', '-t', String(Math.ceil((TRANSACTIONS * scale) / CLIENTS)), server.url(DATABASE)] });
  changeOnePercent(server);
  const content = contentOf(server, DATABASE);
  const moment = server.sql('postgres', `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00"')`);
  const logBytes = Number(server.sql('postgres', `SELECT pg_current_wal_lsn() - '${begin}'::pg_lsn`));
  changeOnePercent(server);
  return { moment, content, logBytes };
}

async function oneRun(tool: ClusterTool, place: string, made: Made | undefined, patience: number): Promise<Omit<Sample, 'round' | 'phase'>> {
  const scratch = join(place, 'restored');
  // The server must get through.
  mkdirSync(place, { recursive: true });
  folderOfServer(scratch);
  const into = join(scratch, 'data');
  const restore = tool.restore(place, 0, into, made?.moment);
  warm(tool.stored(place));
  const measured = await measure(made === undefined ? restore : { ...restore, ...bash(`set -e\n${shell(restore)}\n${untilItAnswers(into, await freePort())}`) }, { patience });
  if (made !== undefined) {
    await using server = await startRestored(scratch);
    mustBeEqual(made.content, contentOf(server, DATABASE), tool.name);
  }
  rmSync(scratch, { recursive: true, force: true });
  return { tool: tool.name, ...measured };
}

/** Starts a server on the data, waits for the end of its recovery, and ends it at once. */
function untilItAnswers(data: string, port: number): string {
  const options = [`port=${port}`, 'archive_mode=off', 'listen_addresses=127.0.0.1', 'unix_socket_directories='].flatMap((setting) => ['-c', setting]);
  const start = shell(asServer({ program: join(BINARIES, 'postgres'), args: ['-D', data, ...options] }));
  const ask = `${PSQL} -qAtX -d postgres://postgres@127.0.0.1:${port}/postgres -c 'SELECT pg_is_in_recovery()'`;
  return `chown -R --reference=${quoted(join(data, '..'))} ${quoted(data)}
${start} >&2 & server=$!
until [ "$(${ask} 2>/dev/null)" = f ]; do kill -0 $server; sleep 0.05; done
kill -QUIT $server; wait $server || true`;
}
