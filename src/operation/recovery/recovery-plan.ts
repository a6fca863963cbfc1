/** Decides how a physical store is brought to a point in time: from which base backup, with which log, and what will be in it. Changes nothing. */
import { statfs } from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, isHoldfastError } from '../../base/errors.ts';
import { formatLsn, historyName } from '../../client/postgres/replication/lsn.ts';
import { resolveTarget, type RecoveryTarget } from '../../policy/recovery-target.ts';
import { describeWish, formatInstant, type RecoveryWish } from '../../policy/recovery-wish.ts';
import type { SegmentRecords } from '../../policy/stored-log.ts';
import type { Repository } from '../../repository/repository.ts';
import { readStoredClusters, type StoredBase, type StoredCluster } from './stored-cluster.ts';

export interface RecoveryPlan {
  readonly store: string;
  readonly wish: RecoveryWish;
  readonly cluster: StoredCluster;
  readonly base: StoredBase;
  readonly target: RecoveryTarget;
  /** What is written before the server starts. */
  readonly baseBytes: number;
  readonly logBytes: number;
  readonly warnings: readonly string[];
}

export interface RecoveryChoice {
  readonly stack: string;
  readonly store: string;
  readonly wish: RecoveryWish;
  /** Undefined: the newest. */
  readonly timeline?: number | undefined;
}

/** Throws `moment-uncovered`, `wal-gap`, `snapshot-missing`, and `foreign-server` when the newest log comes from a server of which there is no base backup. */
export async function planRecovery(choice: RecoveryChoice, repository: Repository, step: (sentence: string) => void): Promise<RecoveryPlan> {
  const { stack, store, wish } = choice;
  const { clusters, foreign } = await readStoredClusters(repository, stack, store);
  const warnings = foreign === undefined ? [] : [`The newest write-ahead log of ${store} comes from another server (system id ${foreign.systemId}), of which there is no base backup.`];
  if (foreign !== undefined && wish.kind === 'latest') {
    throw new HoldfastError('foreign-server', `the newest write-ahead log of ${store} comes from another server (system id ${foreign.systemId}) than its base backups (${clusters[0]?.systemId ?? ''}): the latest moment cannot be reached`, {
      hint: `Make a base backup of the server that runs now with \`holdfast backup ${store}\`; moments of the earlier one are reached with a time.`,
    });
  }
  let refusal: unknown;
  for (const cluster of clusters) {
    try {
      const target = await resolve(cluster, choice, step);
      const base = cluster.bases.get(target.base.snapshot);
      if (base === undefined) throw new Error('a base backup that is not known');
      const other = cluster === clusters[0] ? [] : [`${describeWish(wish)} lies in the time of an earlier server of ${store} (system id ${cluster.systemId}).`];
      return { store, wish, cluster, base, target, baseBytes: base.bytes, logBytes: target.regions.length * Number(cluster.log.segmentBytes), warnings: [...warnings, ...other] };
    } catch (error) {
      if (!isHoldfastError(error, 'moment-uncovered', 'wal-gap')) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

/** Gives the decision the records that it asks for. */
async function resolve(cluster: StoredCluster, { wish, timeline }: RecoveryChoice, step: (sentence: string) => void): Promise<RecoveryTarget> {
  const known = new Map<string, SegmentRecords>();
  for (;;) {
    const resolution = resolveTarget({ log: cluster.log, wish, timeline, known });
    if (resolution.state === 'resolved') return resolution.target;
    for (const segment of resolution.segments) {
      step(`Reading the write-ahead log ${segment.file}`);
      known.set(segment.file, await cluster.records(segment));
    }
  }
}

/** The timeline that the server will choose for itself when it leaves recovery: the first above the target's that has no history yet. */
export function nextTimeline({ cluster, target }: Pick<RecoveryPlan, 'cluster' | 'target'>): number {
  const taken = new Set(cluster.log.histories.map(({ timeline }) => historyName(timeline)));
  let newest = target.timeline;
  while (taken.has(historyName(newest + 1))) newest++;
  return newest + 1;
}

/** Bytes that are free where `folder` is or will be. */
export async function freeBytes(folder: string): Promise<number> {
  for (let place = path.resolve(folder); ; place = path.dirname(place)) {
    const found = await statfs(place).catch(() => undefined);
    if (found !== undefined) return found.bavail * found.bsize;
    if (place === path.dirname(place)) return 0;
  }
}

/** What people are told before they agree: what it starts from, what will be the last that is in it, and the first that will not. */
export function describeRecovery({ base, target, cluster, logBytes, baseBytes }: RecoveryPlan): readonly string[] {
  const { last, next, regions, timeline, stop, notes } = target;
  const { detail, snapshot } = base;
  const transaction = ({ xid, kind, timeUs, lsn }: NonNullable<typeof last>): string => `xid ${xid}, ${kind === 'commit' ? 'committed' : 'rolled back'} ${formatInstant(timeUs)} (LSN ${formatLsn(lsn)})`;
  const until = regions.at(-1)?.until ?? 0n;
  const size = (bytes: number): string => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`);
  return [
    `base backup: snapshot ${snapshot.id.slice(0, 8)}, complete ${formatInstant(target.base.endedUs)} at ${detail.endLsn} on timeline ${target.base.timeline} (${size(baseBytes)}, PostgreSQL ${detail.server})`,
    `write-ahead log: ${regions.length} ${regions.length === 1 ? 'file' : 'files'} (${size(logBytes)}), from ${formatLsn(regions[0]?.from ?? 0n)} to ${formatLsn(until)}, timeline ${timeline}`,
    `last transaction: ${last === undefined ? 'none since the base backup began' : transaction(last)}`,
    `first that will not be in it: ${next === undefined ? 'none that is stored' : transaction(next)}`,
    `the server stops ${describeStop(stop)}, and goes on as timeline ${nextTimeline({ cluster, target })}`,
    ...notes,
  ];
}

function describeStop(stop: RecoveryTarget['stop']): string {
  switch (stop.kind) {
    case 'time': return `before the first transaction that ended later than ${formatInstant(stop.us)}`;
    case 'lsn': return `${stop.inclusive ? 'after' : 'before'} position ${formatLsn(stop.lsn)}`;
    case 'xid': return `after the end of transaction ${stop.xid}`;
    case 'end': return 'at the end of this log';
  }
}
