/** `wal status`: what log is stored, what is missing, which base backups it carries how far, and what the server keeps. Reads manifests only, unless told. */
import { isHoldfastError, messageOf, type HoldfastError } from '../../base/errors.ts';
import { formatLsn, readLsn } from '../../client/postgres/replication/lsn.ts';
import { connectReplication, dropSlot } from '../../client/postgres/replication/session.ts';
import { WalScanner, type WalStop } from '../../client/postgres/replication/wal-record.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import { parseHistory, rangesOf, type HistoryEntry, type WalMap, type WalRange } from '../../policy/wal-map.ts';
import { reachOf, type BasePoint, type BaseReach } from '../../policy/wal-reach.ts';
import { judgeSlot, type SlotVerdict } from '../../policy/wal-slot.ts';
import type { Repository, Snapshot } from '../../repository/repository.ts';
import { readClusterDetail } from '../../source/cluster/manifest.ts';
import type { ClusterStore } from '../../stack/stack.ts';
import type { Context } from '../context.ts';
import { readManifest } from '../manifest.ts';
import { snapshotsOf } from '../select.ts';
import { readWal, type StoredWal } from './read.ts';
import { ServerWatch, type ServerLook } from './watch.ts';

export interface StatusOptions {
  readonly repository: Repository;
  readonly stack: string;
  readonly store: ClusterStore;
  /** Undefined: the server is not asked. */
  readonly target: PostgresTarget | undefined;
  /** Read every segment, and follow its records. */
  readonly verify: boolean;
}

/** Log that is missing between two ranges of one timeline. */
export interface WalHole {
  readonly systemId: string;
  readonly timeline: number;
  readonly from: string;
  readonly to: string;
}

export interface ClusterStatus {
  readonly map: WalMap;
  readonly ranges: readonly WalRange[];
  readonly holes: readonly WalHole[];
}

export interface WalStatus {
  readonly clusters: readonly ClusterStatus[];
  readonly bases: readonly BaseReach[];
  readonly server: { readonly look: ServerLook; readonly verdict: SlotVerdict | undefined } | { readonly error: HoldfastError } | undefined;
  /** What `verify` has found to be wrong; undefined when it was not asked for. */
  readonly problems: readonly string[] | undefined;
}

export async function walStatus(options: StatusOptions, context: Context): Promise<WalStatus> {
  const { repository, stack, store } = options;
  await using _lock = await repository.lockForReading('files');
  const snapshots = await repository.snapshots();
  const wal = await readWal(repository, stack, store.name, snapshots);
  const clusters = [...wal.clusters.values()].map((map) => ({ map, ranges: rangesOf(map), holes: holesOf(map) }));
  const bases: BaseReach[] = [];
  for (const snapshot of snapshotsOf(snapshots, { stack, store: store.name })) {
    const point = await basePoint(repository, snapshot);
    const map = point && wal.clusters.get(point.systemId);
    if (point !== undefined) bases.push(map === undefined ? { base: point, timelines: [], until: undefined, untilUs: undefined } : reachOf(map, await historiesOf(wal, map), point));
  }
  const problems = options.verify ? await verifyAll(wal, context) : undefined;
  return { clusters, bases, server: await askServer(options), problems };
}

function holesOf(map: WalMap): readonly WalHole[] {
  const ranges = rangesOf(map);
  return ranges.flatMap((range, i) => {
    const next = ranges[i + 1];
    return next?.timeline === range.timeline ? [{ systemId: map.systemId, timeline: range.timeline, from: formatLsn(range.end), to: formatLsn(next.start) }] : [];
  });
}

async function historiesOf(wal: StoredWal, map: WalMap): Promise<ReadonlyMap<number, readonly HistoryEntry[]>> {
  const entries = map.histories.map(async ({ timeline }) => [timeline, parseHistory((await wal.history(map.systemId, timeline))?.toString('utf8') ?? '')] as const);
  return new Map(await Promise.all(entries));
}

async function basePoint(repository: Repository, snapshot: Snapshot): Promise<BasePoint | undefined> {
  try {
    await using opened = await repository.files(snapshot);
    const { systemId, startLsn, endLsn, endTimeline } = readClusterDetail((await readManifest(opened.files)).content);
    return { id: snapshot.id, time: new Date(snapshot.time), systemId, timeline: endTimeline, start: readLsn(startLsn), end: readLsn(endLsn) };
  } catch (error) {
    if (!isHoldfastError(error, 'path-missing', 'repository-format', 'restore-unproven')) throw error;
    return undefined;
  }
}

async function askServer({ target, store }: StatusOptions): Promise<WalStatus['server']> {
  if (target === undefined) return undefined;
  await using watch = new ServerWatch(target, store.wal.slot);
  try {
    const look = await watch.look();
    const { slot, serverLimitBytes } = look;
    return { look, verdict: slot && judgeSlot({ slot: store.wal.slot, keptBytes: slot.keptBytes, limitBytes: store.wal.limitBytes, status: slot.status, serverLimitBytes }) };
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return { error };
  }
}

/** Reads every segment; each record must begin where the one before it says that it ends. */
async function verifyAll(wal: StoredWal, { emit, signal }: Context): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const map of wal.clusters.values()) {
    problems.push(...map.conflicts.map(({ file, snapshot }) => `${file} in snapshot ${snapshot.slice(0, 8)} differs from the same segment in another snapshot`));
    for (const range of rangesOf(map)) {
      const scanner = new WalScanner(map.segmentBytes, {});
      for (const segment of range.segments) {
        signal.throwIfAborted();
        emit({ type: 'step', store: undefined, sentence: `reading ${segment.file}` });
        try {
          scanner.scan(segment.startLsn, await wal.segment(segment));
        } catch (error) {
          if (!isHoldfastError(error, 'repository-damaged', 'file-missing')) throw error;
          problems.push(messageOf(error));
        }
        if (scanner.stopped !== undefined) problems.push(`${segment.file}: ${stopText(scanner.stopped)}`);
      }
    }
  }
  return problems;
}

function stopText({ at, why }: WalStop): string {
  const texts = { zero: 'nothing is written', page: 'there is no page of a log', length: 'there is no record', chain: 'a record does not follow the one before it' } as const;
  return `${texts[why]} at ${formatLsn(at)}`;
}

/** Removes the slot of a store from its server. False when there is none. */
export async function dropStoreSlot(target: PostgresTarget, slot: string): Promise<boolean> {
  await using connection = await connectReplication(target);
  return await dropSlot(connection, slot);
}
