/** What it costs to follow the log of a server under a steady load: processor time, lag, and what is stored of it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf } from '../data/files.ts';
import { follow, type Running } from '../measure/follower.ts';
import { quietly, type Command } from '../measure/measure.ts';
import { endedSeconds, machineSeconds, treeSeconds } from '../measure/process-tree.ts';
import type { Result } from '../measure/report.ts';
import { OURS, type Sample } from '../measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from '../rounds.ts';
import { holdfast } from '../tool/holdfast.ts';
import { setUp } from '../tool/setup.ts';
import { archivingServer } from './base-backup.ts';
import { archiveWith, NOWHERE, oursPhysical, pgbackrest, type Reach } from './cluster-tool.ts';
import { pristineCluster } from './copy.ts';
import { DATABASE } from './database.ts';
import { versionOf } from './peers.ts';
import { asServer, BINARIES, folderOfServer, type Server } from './server.ts';

const CLIENTS = 4;
const TRANSACTIONS_PER_SECOND = 400;
const SECONDS = 60;
const SEGMENT = 16 * 2 ** 20;

interface Follower {
  readonly name: string;
  readonly version?: string;
  prepare(place: string): void;
  /** What runs beside the server; nothing for who archives. */
  follow?(place: string): Command;
  archive?(place: string): string;
  stored?(place: string): string;
}

export async function benchWal(options: BenchOptions): Promise<Result> {
  if (!setUp('cluster-peers')) throw new Error('pgbackrest cannot be had');
  const { folder: pristine, notes } = await pristineCluster(options);
  using work = workFolder('wal', options);
  const reach = await archivingServer(pristine, work.folder);
  await using server = reach.server;
  const followers = [ours(reach), receivewal(reach), archivePush(reach), NOBODY];
  const seconds = Math.max(10, Math.round(SECONDS * options.scale));
  const said = [`Tools: ${followers.flatMap(({ version }) => version ?? []).join('; ')}.`, `Load: pgbench, ${CLIENTS} clients, ${TRANSACTIONS_PER_SECOND} transactions a second for ${seconds} s, begun at a checkpoint.`];
  console.log(said.join('\n'));
  const samples: Sample[] = [];
  for (let round = 0; round < options.runs; round++) {
    for (const follower of orderOf(followers, round)) {
      const sample = await oneRun(server, follower, join(work.folder, `${round}-${follower.name.replaceAll(/\W+/g, '-')}`), seconds);
      console.log(`${follower.name}: ${sample.cpuSeconds.toFixed(2)} s of CPU for ${((sample.logBytes ?? 0) / 1e6).toFixed(0)} MB of log`);
      samples.push({ ...sample, round });
    }
  }
  return { name: 'wal', samples, notes: [...notes, ...said] };
}

/** The load alone, to compare the server with. */
const NOBODY: Follower = { name: 'nobody', prepare: () => undefined };

function ours(reach: Reach): Follower {
  const { version, prepare, stored } = oursPhysical(reach);
  return { name: OURS, version, prepare, stored, follow: (place) => holdfast(place, 'wal', 'follow', 'cluster') };
}

function receivewal({ server }: Reach): Follower {
  const program = join(BINARIES, 'pg_receivewal');
  const args = ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres', '--slot=bench'];
  return {
    name: 'pg_receivewal', version: versionOf(program), stored: (place) => place,
    prepare: (place) => {
      folderOfServer(place);
      quietly({ program, args: [...args, '--create-slot', '--if-not-exists'] });
    },
    follow: (place) => asServer({ program, args: [...args, '-D', place] }),
  };
}

function archivePush(reach: Reach): Follower {
  const { version, prepare, stored, archive } = pgbackrest(reach);
  return { name: 'pgbackrest archive-push', version: `pgbackrest: ${version}`, prepare, stored, archive };
}

async function oneRun(server: Server, follower: Follower, place: string, seconds: number): Promise<Omit<Sample, 'round'>> {
  follower.prepare(place);
  archiveWith(server, follower.archive?.(place) ?? NOWHERE);
  const command = follower.follow?.(place);
  await using running = command && follow(command);
  if (running !== undefined) await until(running, () => server.sql('postgres', `SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'`) !== '0');
  for (const text of ['CHECKPOINT', 'SELECT pg_switch_wal()']) server.sql('postgres', text);
  await until(running, () => follower === NOBODY || lagOf(server, running !== undefined).bytes <= SEGMENT);
  const measured = await underLoad(server, follower, running, seconds);
  const storedBytes = follower.stored && bytesOf(follower.stored(place));
  await running?.[Symbol.asyncDispose]();
  server.sql('postgres', 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
  return { phase: 'following', tool: follower.name, ...measured, ...(storedBytes === undefined ? {} : { storedBytes }) };
}

async function underLoad(server: Server, follower: Follower, running: Running | undefined, seconds: number): Promise<Omit<Sample, 'round' | 'phase' | 'tool'>> {
  const streams = running !== undefined;
  const position = positionOf(server);
  const before = { own: running?.seconds() ?? 0, server: treeSeconds(server.pid), machine: machineSeconds(), ended: endedSeconds(), at: performance.now() };
  const pgbench = spawn(join(BINARIES, 'pgbench'), ['-n', '-c', String(CLIENTS), '-j', '2', '-T', String(seconds), '-R', String(TRANSACTIONS_PER_SECOND), server.url(DATABASE)], { stdio: 'ignore' });
  let under = true;
  const ended = once(pgbench, 'exit').finally(() => (under = false));
  const lags = new Lags();
  while (under) {
    if (follower !== NOBODY) lags.saw(lagOf(server, streams));
    running?.mustRun();
    await sleep(500);
  }
  const [code]: unknown[] = await ended;
  if (code !== 0) throw new Error('pgbench failed');
  const end = positionOf(server);
  // Without it, who takes whole segments would wait for ever.
  server.sql('postgres', 'SELECT pg_switch_wal()');
  await until(running, () => follower === NOBODY || lagOf(server, streams).stored >= end);
  const wallSeconds = (performance.now() - before.at) / 1000;
  const cpuSeconds = (running?.seconds() ?? 0) - before.own;
  const serverSeconds = treeSeconds(server.pid) - before.server;
  const others = machineSeconds() - before.machine - cpuSeconds - serverSeconds - (endedSeconds() - before.ended);
  return {
    wallSeconds, cpuSeconds, serverSeconds, peakBytes: running?.peakBytes() ?? 0, othersShare: Math.max(0, others / (wallSeconds * availableParallelism())),
    logBytes: end - position, ...(follower === NOBODY ? {} : { lagBytes: lags.bytes, lagSeconds: lags.seconds }),
  };
}

function positionOf(server: Server): number {
  return Number(server.sql('postgres', `SELECT pg_current_wal_lsn() - '0/0'::pg_lsn`));
}

interface Lag {
  readonly written: number;
  readonly stored: number;
  readonly bytes: number;
}

const SEGMENTS_ARCHIVED = `('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * 256 + ('x' || substr(last_archived_wal, 17, 8))::bit(32)::bigint + 1`;

/** What is not acknowledged as stored, or not in the archive. */
function lagOf(server: Server, streams: boolean): Lag {
  const stored = streams ? `SELECT min(flush_lsn) - '0/0'::pg_lsn FROM pg_stat_replication` : `SELECT (${SEGMENTS_ARCHIVED}) * ${SEGMENT} FROM pg_stat_archiver`;
  const [written = 0, reached = 0] = server.sql('postgres', `SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, coalesce((${stored}), 0)`).split('|').map(Number);
  return { written, stored: reached, bytes: Math.max(0, written - reached) };
}

/** The largest lag of a run, in bytes and in seconds: how long ago the log ended where it is stored now. */
class Lags {
  readonly #seen: { readonly at: number; readonly written: number }[] = [];
  bytes = 0;
  seconds = 0;

  saw({ written, stored, bytes }: Lag): void {
    const at = performance.now();
    const behind = this.#seen.find((each) => each.written > stored);
    if (behind !== undefined) this.seconds = Math.max(this.seconds, (at - behind.at) / 1000);
    this.#seen.push({ at, written });
    this.bytes = Math.max(this.bytes, bytes);
  }
}

async function until(running: Running | undefined, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 600) throw new Error('it did not come so far within two minutes');
    running?.mustRun();
    await sleep(200);
  }
}
