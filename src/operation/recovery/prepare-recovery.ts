/**
 * A data directory from a base backup, with all the log that it needs in `pg_wal`, that a server of the same major version brings to its
 * target as soon as it is started: by us to prove it, or by the user's own. Nothing is fetched while it recovers, so that no session
 * that dies can end a recovery early; a gap was found before.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError } from '../../base/errors.ts';
import { writeDurably } from '../../base/file.ts';
import { give, ownerOf } from '../../client/postgres/cluster-server.ts';
import type { Identity } from '../../client/postgres/programs.ts';
import { withoutRecovery, withRecovery, type RecoveryTargetSetting } from '../../client/postgres/recovery-settings.ts';
import { formatLsn } from '../../client/postgres/replication/lsn.ts';
import { WalScanner } from '../../client/postgres/replication/wal-record.ts';
import type { TablespaceCreation } from '../../client/postgres/replication/wal-transaction.ts';
import type { RecoveryStop } from '../../policy/recovery-target.ts';
import type { Context } from '../context.ts';
import type { RecoveryPlan } from './recovery-plan.ts';

export interface PreparedCluster {
  /** The data directory. */
  readonly data: string;
  /** Who owns it, and so who the server must run as. */
  readonly identity: Identity;
}

const AUTO_CONF = 'postgresql.auto.conf';

/** Turns a data directory as it was backed up into one that a server will recover. */
export async function prepareRecovery(plan: RecoveryPlan, data: string, context: Context): Promise<PreparedCluster> {
  const identity = await ownerOf(data);
  // Links to tablespaces are there already, to where these lie now; this file would turn them back to where they were.
  await rm(path.join(data, 'tablespace_map'), { force: true });
  await rm(path.join(data, 'standby.signal'), { force: true });
  await placeLog(plan, data, identity, context);
  const auto = path.join(data, AUTO_CONF);
  const text = await readFile(auto, 'utf8').catch(() => '');
  await writeOwned(auto, withRecovery(text, { target: targetSetting(plan.target.stop), timeline: targetTimeline(plan) }), identity);
  await writeOwned(path.join(data, 'recovery.signal'), '', identity);
  return { data, identity };
}

function targetSetting(stop: RecoveryStop): RecoveryTargetSetting {
  return stop.kind === 'lsn' ? { kind: 'lsn', text: formatLsn(stop.lsn), inclusive: stop.inclusive } : stop;
}

/** The server wants the history of a timeline that it is told to follow; of the one of the backup itself it needs none. */
function targetTimeline({ cluster, target }: RecoveryPlan): number | undefined {
  const known = target.timeline === 1 || cluster.log.histories.some(({ timeline }) => timeline === target.timeline);
  return known ? target.timeline : undefined;
}

async function placeLog({ cluster, target, store }: RecoveryPlan, data: string, identity: Identity, { emit, signal }: Context): Promise<void> {
  const folder = path.join(data, 'pg_wal');
  await mkdir(path.join(folder, 'archive_status'), { recursive: true, mode: 0o700 });
  await give(folder, identity);
  await give(path.join(folder, 'archive_status'), identity);
  const tablespaces: TablespaceCreation[] = [];
  const scanner = new WalScanner(Number(cluster.log.segmentBytes), { tablespace: (creation) => void tablespaces.push(creation) });
  for (const [i, { segment, until }] of target.regions.entries()) {
    signal.throwIfAborted();
    emit({ type: 'step', store, sentence: `Writing the write-ahead log of ${store}: ${i + 1} of ${target.regions.length} files` });
    const bytes = await cluster.segment(segment);
    // A file that has not come to its end, or was left for another timeline, ends in zeros: the server knows these as the end of the log.
    const whole = Buffer.alloc(Number(cluster.log.segmentBytes));
    bytes.copy(whole, 0, 0, Number(until - segment.start));
    scanner.scan(segment.start, whole);
    await writeOwned(path.join(folder, segment.file), whole, identity);
    emit({ type: 'progress', store, bytes: bytes.length, files: 0 });
  }
  for (const creation of tablespaces) await refuseForeignPath(creation, store);
  // Those of branches that were left as well: their numbers are taken.
  for (const [name, bytes] of await cluster.histories()) await writeOwned(path.join(folder, name), bytes, identity);
}

/**
 * The log says where a tablespace was made, and a server that replays it goes there again: on the host of the original into the folder
 * that the original is using.
 */
async function refuseForeignPath({ path: place }: TablespaceCreation, store: string): Promise<void> {
  // Empty: it lies below the data directory.
  if (place === '') return;
  const inside = await readdir(place).catch(() => undefined);
  if (inside?.length === 0) return;
  const state = inside === undefined ? 'is no folder here' : 'is in use here: the recovered server would write into it';
  throw new HoldfastError('target-failed', `After the base backup of ${store} a tablespace was made in ${place}, which ${state}.`, {
    hint: `Recover where ${place} is an empty folder that the server may write to: on another host, or in a container. From the next base backup on, tablespaces can go anywhere.`,
  });
}

async function writeOwned(file: string, content: string | Uint8Array, identity: Identity): Promise<void> {
  await writeDurably(file, typeof content === 'string' ? Buffer.from(content) : content, { mode: 0o600 });
  await give(file, identity);
}

/** After the recovery its settings go. */
export async function handOver({ data, identity }: PreparedCluster): Promise<void> {
  const auto = path.join(data, AUTO_CONF);
  await writeOwned(auto, withoutRecovery(await readFile(auto, 'utf8').catch(() => '')), identity);
}
