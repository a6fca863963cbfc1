/** How a follower begins: the slot, what the repository has, and from where on. */
import type { Connection } from '../../client/postgres/connection.ts';
import type { Lsn } from '../../client/postgres/replication/lsn.ts';
import { ReceivedLog } from '../../client/postgres/replication/segment.ts';
import { createSlot, dropSlot, readSlot, type ServerIdentity } from '../../client/postgres/replication/session.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';
import { parseHistory, rangesOf, type StoredSegment } from '../../policy/wal-map.ts';
import { slotLost } from '../../policy/wal-slot.ts';
import { chooseStart, type StartDecision } from '../../policy/wal-start.ts';
import type { Repository } from '../../repository/repository.ts';
import type { ClusterStore } from '../../stack/stack.ts';
import type { Context } from '../context.ts';
import type { WalEvent } from './event.ts';
import { readWal, type StoredWal } from './read.ts';
import { WalStore } from './store.ts';
import { TransactionTimes } from './times.ts';
import type { ServerLook } from './watch.ts';

export interface FollowOptions {
  readonly stack: string;
  readonly store: ClusterStore;
  readonly target: PostgresTarget;
  readonly repository: Repository;
  /** End when all is stored that the server had at the beginning. */
  readonly once: boolean;
  /** End when all up to here is stored. */
  readonly until: Lsn | undefined;
  /** Begin anew where log is missing. */
  readonly newSlot: boolean;
}

export interface BeginOptions extends FollowOptions {
  readonly connection: Connection;
  readonly server: ServerIdentity;
  /** Of the server's timeline. */
  readonly history: Buffer | undefined;
  /** What the server says over SQL; undefined when it cannot be asked. */
  look(): Promise<ServerLook | undefined>;
  tell(event: WalEvent): void;
}

export interface Beginning {
  readonly log: ReceivedLog;
  readonly archive: WalStore;
  readonly times: TransactionTimes;
  /** Up to here everything is durable; 0 when nothing is. */
  readonly stored: Lsn;
  readonly start: StartDecision;
  /** The slot was made just now: if nothing comes of it, it must not stay. */
  readonly madeSlot: boolean;
}

/** Throws `foreign-server` and `slot-lost`, before anything was changed on the server. */
export async function beginFollowing(options: BeginOptions, context: Context): Promise<Beginning> {
  const { repository, stack, store, server, history, newSlot } = options;
  const wal = await readWal(repository, stack, store.name);
  const end = newestEnd(wal);
  const entries = parseHistory(history?.toString('utf8') ?? '');
  const stored = end && { systemId: end.systemId, timeline: end.segment.timeline, end: end.segment.endLsn };
  const facts = { store: store.name, server, history: entries, stored, anew: newSlot };
  // A server that is refused gets no slot.
  chooseStart({ ...facts, restart: undefined });
  const { restart, made } = await openSlot(options);
  const start = chooseStart({ ...facts, restart });
  return { ...(await takeUp(options, wal, end?.segment, start, context)), start, madeSlot: made };
}

/** The end of the newest stored log: on the highest timeline of the cluster that was stored last. */
function newestEnd(wal: StoredWal): { readonly systemId: string; readonly segment: StoredSegment } | undefined {
  const map = wal.newest;
  const segment = map && rangesOf(map).at(-1)?.segments.at(-1);
  return map && segment && { systemId: map.systemId, segment };
}

/** Makes the slot where there is none. Answers from where on the server keeps log for it. */
async function openSlot({ store, connection, server, newSlot, look, tell }: BeginOptions): Promise<{ readonly restart: Lsn | undefined; readonly made: boolean }> {
  const { slot } = store.wal;
  const seen = await look();
  const lost = seen?.slot?.status === 'lost';
  if (lost && !newSlot) throw slotLost(`the server has given up the replication slot ${slot}: it no longer keeps the log that is needed next`);
  if (lost) await dropSlot(connection, slot);
  const made = await createSlot(connection, slot);
  if (made) tell({ kind: 'note', sentence: `made the replication slot ${slot}: from now on the server keeps its log until it is stored here` });
  const restart = (lost ? undefined : seen?.slot?.restart) ?? (await look())?.slot?.restart;
  return { restart: restart ?? (await readSlot(connection, slot, server.major))?.restart, made };
}

/** Takes up what the repository has: the unfinished segment is sent once more and compared, the one before it is read for its times. */
async function takeUp(options: BeginOptions, wal: StoredWal, last: StoredSegment | undefined, start: StartDecision, context: Context): Promise<Pick<Beginning, 'log' | 'archive' | 'times' | 'stored'>> {
  const { repository, stack, store, server } = options;
  const archive = new WalStore({ repository, stack, store: store.name, tier: store.tier, server }, context);
  archive.tidyLater(await repository.snapshots());
  const newest = wal.sources.findLast(({ stored }) => !stored.tags?.some((tag) => /^window:.*-push$/.test(tag)));
  if (newest !== undefined) archive.resume(newest.stored, newest.manifest);
  const log = new ReceivedLog(server.segmentBytes, start.timeline, start.start);
  const times = new TransactionTimes(server.segmentBytes);
  const segments = wal.clusters.get(server.systemId)?.segments ?? [];
  const before = segments.find(({ timeline, endLsn, whole }) => timeline === start.timeline && whole && endLsn === start.start);
  if (before !== undefined) times.read(before.startLsn, await wal.segment(before));
  const open = last !== undefined && !last.whole && last.timeline === start.timeline && last.startLsn === start.start ? last : undefined;
  if (open !== undefined) log.preload(await wal.segment(open));
  const stored = open?.endLsn ?? (last !== undefined && last.endLsn === start.start ? last.endLsn : 0n);
  return { archive, log, times, stored };
}
