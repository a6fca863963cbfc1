/**
 * `wal follow`: receives the write-ahead log of a server and stores it, for as long as it runs. Receiving and storing go on side by
 * side: a connection that is lost is made again, a repository that is out of reach is tried again, and the server hears of what is
 * durable and of nothing else.
 */
import { sleep } from '../base/clock.ts';
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import type { Connection } from '../client/postgres/connection.ts';
import { formatLsn, type Lsn } from '../client/postgres/replication/lsn.ts';
import { ReceivedLog } from '../client/postgres/replication/segment.ts';
import { connectReplication, createSlot, dropSlot, identify, readHistory, readSlot, type ServerIdentity } from '../client/postgres/replication/session.ts';
import type { PostgresTarget } from '../client/postgres/target.ts';
import { judgeSlot, slotLost, type SlotLevel } from '../policy/wal-slot.ts';
import { chooseStart, type StartDecision } from '../policy/wal-start.ts';
import { parseHistory, rangesOf, type StoredSegment } from '../policy/wal-map.ts';
import type { Repository } from '../repository/repository.ts';
import type { WalCoverage } from '../source/cluster/wal-archive.ts';
import type { ClusterStore } from '../stack/stack.ts';
import type { Context } from './context.ts';
import type { WalEvent } from './wal-event.ts';
import { readWal, type StoredWal } from './wal-read.ts';
import { WalReception } from './wal-receive.ts';
import { WalStore } from './wal-store.ts';
import { TransactionTimes } from './wal-times.ts';
import { ServerWatch, type ServerLook } from './wal-watch.ts';

const WATCH_MS = 30_000;
const STATUS_MS = 10_000;
/** So often a quiet server is written down as quiet. */
const COVER_MS = 60_000;
/** Log in memory at which it is stored before its time. */
const FULL_BYTES = 32 << 20;
const MOST_WAIT_MS = 30_000;
/** A server that wants to stop waits for us; when nothing can be stored for so long we let it go. */
const PATIENCE_MS = 20_000;

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

export interface FollowReport {
  readonly timeline: number;
  /** Up to here everything is durable; undefined when nothing came. */
  readonly stored: Lsn | undefined;
  readonly bytes: number;
  readonly added: number;
  readonly flushes: number;
  /** `reached`: what was asked for is stored. */
  readonly ended: 'reached' | 'stopped';
}

class Follower {
  readonly #options: FollowOptions;
  readonly #context: Context;
  readonly #watch: ServerWatch;
  #server: ServerIdentity | undefined;
  #archive: WalStore | undefined;
  #log: ReceivedLog | undefined;
  #times: TransactionTimes | undefined;
  #stored: Lsn = 0n;
  #reception: WalReception | undefined;
  #connection: Connection | undefined;
  readonly #histories = new Map<number, Buffer>();
  #goal: Lsn | undefined;
  #reached = false;
  /** When the oldest byte came that is not stored. */
  #oldestMs: number | undefined;
  #urgentMs: number | undefined;
  #covered: WalCoverage | undefined;
  #coveredMs = -Infinity;
  #proving: ServerLook | undefined;
  #synchronous = false;
  #level: SlotLevel = 'well';
  #lag: number | undefined;
  #failure: unknown;
  readonly #end = new AbortController();
  #wake: () => void = () => undefined;
  readonly #counts = { bytes: 0, added: 0, flushes: 0 };

  constructor(options: FollowOptions, context: Context) {
    this.#options = options;
    this.#context = context;
    this.#goal = options.until;
    this.#watch = new ServerWatch(options.target, options.store.wal.slot);
  }

  async run(): Promise<FollowReport> {
    const { signal } = this.#context;
    await using _watch = this.#watch;
    const stop = (): void => this.#finish();
    signal.addEventListener('abort', stop, { once: true });
    const status = setInterval(() => this.#tick(), STATUS_MS / 10);
    const storing = this.#storing();
    const watching = this.#watching();
    try {
      if (signal.aborted) this.#finish();
      await this.#receiving();
    } catch (error) {
      this.#failure ??= error;
    } finally {
      this.#finish();
      await Promise.all([storing, watching]);
      clearInterval(status);
      signal.removeEventListener('abort', stop);
    }
    if (this.#failure !== undefined) throw this.#failure;
    return { timeline: this.#log?.timeline ?? 0, stored: this.#stored === 0n ? undefined : this.#stored, ...this.#counts, ended: this.#reached ? 'reached' : 'stopped' };
  }

  #finish(): void {
    this.#end.abort();
    this.#reception?.stop();
    this.#wake();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#connection?.destroy();
    this.#finish();
  }

  #tell(wal: WalEvent): void {
    this.#context.emit({ type: 'wal', store: this.#options.store.name, wal });
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, this.#end.signal).catch(() => undefined);
  }

  // ── receiving ──

  /** Connects again and again, until the end or an error that does not pass. */
  async #receiving(): Promise<void> {
    for (let wait = 1000; !this.#end.signal.aborted; wait = Math.min(wait * 2, MOST_WAIT_MS)) {
      const began = this.#context.clock.elapsedMs();
      try {
        await this.#session();
        return;
      } catch (error) {
        if (this.#failure !== undefined || this.#end.signal.aborted) return;
        if (!passes(error) || this.#server === undefined && !isHoldfastError(error, 'storage-failed', 'repository-locked') && this.#options.once) throw error;
        // One that lived for a while begins anew with short pauses.
        if (this.#context.clock.elapsedMs() - began > MOST_WAIT_MS) wait = 1000;
        this.#tell({ kind: 'retry', code: error.code, sentence: error.message, waitMs: wait });
        this.#wake();
        await this.#pause(wait);
      }
    }
  }

  async #session(): Promise<void> {
    const { store, target } = this.#options;
    await using connection = await connectReplication(target);
    const server = await identify(connection);
    const { log, start } = await this.#begin(connection, server);
    this.#goal ??= this.#options.once ? server.at : undefined;
    this.#tell({ kind: 'connected', server: server.version, timeline: log.timeline, from: formatLsn(log.end), because: start.because });
    const nowUs = (): bigint => BigInt(this.#context.clock.now().getTime()) * 1000n;
    const reception = new WalReception({
      connection, log, slot: store.wal.slot, segmentBytes: server.segmentBytes, nowUs,
      stored: () => this.#stored,
      received: () => {
        if (log.waitingBytes > 0) this.#oldestMs ??= this.#context.clock.elapsedMs();
        if (this.#isDue()) this.#wake();
      },
      asked: () => {
        if (log.waitingBytes === 0) return;
        this.#urgentMs ??= this.#context.clock.elapsedMs();
        this.#wake();
      },
      timeline: (from, to, at, history) => {
        this.#histories.set(to, history);
        this.#times = undefined;
        // What the old primary wrote behind the border is not on the new timeline.
        if (this.#stored > at) this.#stored = at;
        this.#tell({ kind: 'timeline', from, to, at: formatLsn(at) });
        this.#wake();
      },
    });
    this.#reception = reception;
    this.#connection = connection;
    try {
      if (this.#end.signal.aborted) return;
      this.#wake();
      await reception.run();
    } finally {
      this.#reception = undefined;
      this.#connection = undefined;
    }
  }

  /** Slot and starting point; the first time also what the repository has. */
  async #begin(connection: Connection, server: ServerIdentity): Promise<{ readonly log: ReceivedLog; readonly start: StartDecision }> {
    const known = this.#server;
    const log = this.#log;
    const { store } = this.#options;
    const history = await readHistory(connection, server.timeline);
    const entries = parseHistory(history?.toString('utf8') ?? '');
    if (known !== undefined && log !== undefined) {
      const stored = { systemId: known.systemId, timeline: log.timeline, end: log.end };
      const start = chooseStart({ store: store.name, server, history: entries, stored, restart: undefined, anew: false });
      if (start.timeline !== log.timeline) this.#enter(log, start, history, server.timeline);
      return { log, start };
    }
    const wal = await readWal(this.#options.repository, this.#options.stack, store.name);
    const end = newestEnd(wal);
    const slot = await this.#slot(connection, server);
    const facts = { store: store.name, server, history: entries, restart: slot.restart };
    const start = chooseStart({ ...facts, stored: end && { systemId: end.systemId, timeline: end.segment.timeline, end: end.segment.endLsn }, anew: this.#options.newSlot });
    await this.#open(wal, end?.segment, start, server);
    if (history !== undefined && !wal.clusters.get(server.systemId)?.histories.some(({ timeline }) => timeline === server.timeline)) this.#histories.set(server.timeline, history);
    this.#server = server;
    if (this.#log === undefined) throw new Error('a follower without a log');
    return { log: this.#log, start };
  }

  #enter(log: ReceivedLog, { timeline, start }: StartDecision, history: Buffer | undefined, serverTimeline: number): void {
    this.#tell({ kind: 'timeline', from: log.timeline, to: timeline, at: formatLsn(start) });
    log.enter(timeline, start);
    this.#times = undefined;
    if (this.#stored > start) this.#stored = start;
    if (history !== undefined) this.#histories.set(serverTimeline, history);
  }

  /** Takes up what the repository has: the unfinished segment is sent once more and compared, the one before it is read for its times. */
  async #open(wal: StoredWal, last: StoredSegment | undefined, start: StartDecision, server: ServerIdentity): Promise<void> {
    const { repository, stack, store } = this.#options;
    const archive = new WalStore({ repository, stack, store: store.name, tier: store.tier, server }, this.#context);
    archive.tidyLater(await repository.snapshots());
    const log = new ReceivedLog(server.segmentBytes, start.timeline, start.start);
    const times = new TransactionTimes(server.segmentBytes);
    const map = wal.clusters.get(server.systemId);
    const newest = wal.sources.at(-1);
    if (newest !== undefined) archive.resume(newest.stored, newest.manifest);
    const before = map?.segments.find(({ timeline, endLsn, whole }) => timeline === start.timeline && whole && endLsn === start.start);
    if (before !== undefined) times.read(before.startLsn, await wal.segment(before));
    const open = last !== undefined && !last.whole && last.timeline === start.timeline && last.startLsn === start.start ? last : undefined;
    if (open !== undefined) log.preload(await wal.segment(open));
    this.#stored = open?.endLsn ?? (last !== undefined && last.endLsn === start.start ? last.endLsn : 0n);
    this.#archive = archive;
    this.#log = log;
    this.#times = times;
  }

  async #slot(connection: Connection, server: ServerIdentity): Promise<{ readonly restart: Lsn | undefined }> {
    const { slot } = this.#options.store.wal;
    const look = await this.#watch.look().catch(() => undefined);
    if (look?.slot?.status === 'lost') {
      if (!this.#options.newSlot) throw slotLost(`the server has given up the replication slot ${slot}: it no longer keeps the log that is needed next`);
      await dropSlot(connection, slot);
    }
    if (await createSlot(connection, slot)) this.#tell({ kind: 'note', sentence: `made the replication slot ${slot}: from now on the server keeps its log until it is stored here` });
    const made = look?.slot?.restart ?? (await this.#watch.look().catch(() => undefined))?.slot?.restart;
    return { restart: made ?? (await readSlot(connection, slot, server.major))?.restart };
  }

  // ── storing ──

  #isDue(): boolean {
    const log = this.#log;
    if (log === undefined) return false;
    const now = this.#context.clock.elapsedMs();
    if (log.waitingBytes > 0) {
      if (this.#end.signal.aborted || this.#urgentMs !== undefined || this.#synchronous || log.heldBytes >= FULL_BYTES) return true;
      if (this.#goal !== undefined && log.end >= this.#goal) return true;
      return this.#oldestMs !== undefined && now - this.#oldestMs >= this.#options.store.wal.flushMs;
    }
    return this.#histories.size > 0 || (this.#provenPoint() !== undefined && now - this.#coveredMs >= COVER_MS);
  }

  /** Stores again and again, until the end; then what is left. */
  async #storing(): Promise<void> {
    for (let wait = 1000; ; ) {
      if (this.#checkGoal()) return;
      if (!this.#isDue()) {
        if (this.#end.signal.aborted) return;
        await this.#woken();
        continue;
      }
      try {
        await this.#flush();
        wait = 1000;
      } catch (error) {
        // Told that it should end, it does not wait for a repository that is out of reach: what is not stored the server still has.
        if (!passes(error) || this.#end.signal.aborted) return this.#fail(error);
        this.#tell({ kind: 'retry', code: error.code, sentence: error.message, waitMs: wait });
        if (this.#urgentMs !== undefined && this.#context.clock.elapsedMs() - this.#urgentMs > PATIENCE_MS) this.#letGo();
        await this.#pause(wait);
        wait = Math.min(wait * 2, MOST_WAIT_MS);
      }
    }
  }

  #letGo(): void {
    this.#urgentMs = undefined;
    this.#tell({ kind: 'warning', sentence: 'the server waits for log to be stored, probably to stop; it is let go, and sends the log again when it is back' });
    this.#connection?.destroy();
  }

  async #woken(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 100);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#end.signal.aborted) this.#wake();
    });
  }

  async #flush(): Promise<void> {
    const [log, archive, server] = [this.#log, this.#archive, this.#server];
    if (log === undefined || archive === undefined || server === undefined) return;
    const [segments, end, timeline, urgent] = [log.waiting(), log.end, log.timeline, this.#urgentMs];
    const histories = new Map(this.#histories);
    const point = this.#provenPoint();
    this.#times ??= new TransactionTimes(server.segmentBytes);
    const times = this.#times;
    const described = segments.map((received) => ({ received, ended: received.timeline === timeline ? times.read(received.start, received.bytes) : new TransactionTimes(server.segmentBytes).read(received.start, received.bytes) }));
    const flushed = await archive.flush({ segments: described, histories, covered: point ?? this.#covered });
    log.stored(segments);
    for (const done of histories.keys()) this.#histories.delete(done);
    if (timeline === log.timeline && (segments.length > 0 || this.#stored === 0n)) this.#stored = end;
    this.#oldestMs = log.waitingBytes > 0 ? this.#context.clock.elapsedMs() : undefined;
    if (this.#urgentMs === urgent) this.#urgentMs = undefined;
    if (point !== undefined) this.#covered = point;
    this.#coveredMs = this.#context.clock.elapsedMs();
    this.#counts.bytes += flushed.bytes;
    this.#counts.added += flushed.added;
    this.#counts.flushes++;
    this.#reception?.eased();
    if (flushed.warning !== undefined) this.#tell({ kind: 'warning', sentence: flushed.warning });
    const coveredAt = point === undefined ? undefined : new Date(Number(BigInt(point.atUs) / 1000n)).toISOString();
    this.#tell({ kind: 'stored', until: formatLsn(end), bytes: flushed.bytes, added: flushed.added, ms: Math.round(flushed.ms), snapshot: flushed.snapshot, coveredAt });
  }

  #checkGoal(): boolean {
    if (this.#goal === undefined || this.#log === undefined || this.#stored < this.#goal) return false;
    this.#reached = true;
    this.#finish();
    return true;
  }

  /** The latest moment of which we have everything; undefined when it is no news. */
  #provenPoint(): WalCoverage | undefined {
    const [log, look] = [this.#log, this.#proving];
    if (log === undefined || look?.end === undefined || log.end < look.end || this.#reception === undefined) return undefined;
    const atUs = String(look.atUs);
    return this.#covered?.atUs === atUs ? undefined : { timeline: log.timeline, lsn: formatLsn(log.end), atUs };
  }

  // ── watching ──

  #tick(): void {
    const log = this.#log;
    if (this.#isDue()) this.#wake();
    const now = this.#context.clock.elapsedMs();
    if (now - this.#toldMs < Math.min(STATUS_MS, (this.#server?.senderTimeoutMs || Infinity) / 4)) return;
    this.#toldMs = now;
    this.#reception?.status();
    if (log !== undefined) this.#tell({ kind: 'position', received: formatLsn(log.end), stored: this.#stored === 0n ? undefined : formatLsn(this.#stored), lagBytes: this.#lag });
  }

  #toldMs = 0;

  async #watching(): Promise<void> {
    let unseen = false;
    while (!this.#end.signal.aborted) {
      if (this.#server !== undefined) {
        try {
          await this.#look();
          unseen = false;
        } catch (error) {
          if (!unseen && !this.#end.signal.aborted) this.#tell({ kind: 'note', sentence: `the slot cannot be watched now: ${messageOf(error)}` });
          unseen = true;
        }
      }
      await this.#pause(this.#server === undefined ? 100 : WATCH_MS);
    }
  }

  async #look(): Promise<void> {
    const look = await this.#watch.look();
    const { wal } = this.#options.store;
    this.#proving = look;
    this.#synchronous = look.synchronous;
    if (look.slot === undefined) return;
    this.#lag = look.slot.keptBytes;
    const verdict = judgeSlot({ slot: wal.slot, keptBytes: look.slot.keptBytes, limitBytes: wal.limitBytes, status: look.slot.status, serverLimitBytes: look.serverLimitBytes });
    if (verdict.level !== this.#level && verdict.level !== 'well') this.#tell({ kind: 'warning', sentence: verdict.sentence });
    this.#level = verdict.level;
    if (verdict.level === 'lost') return this.#fail(slotLost(verdict.sentence));
    if (verdict.level === 'too-much') await this.#giveUp(verdict.sentence);
  }

  /** Drops the slot rather than fill the server's disk. What is in memory is stored first, if it can be. */
  async #giveUp(sentence: string): Promise<void> {
    this.#connection?.destroy();
    await using connection = await connectReplication(this.#options.target);
    await dropSlot(connection, this.#options.store.wal.slot);
    this.#fail(slotLost(`${sentence}. The slot was given up, so that the server's disk does not fill`));
  }
}

/** Worth another try: what is lost or out of reach may come back. */
function passes(error: unknown): error is HoldfastError {
  if (!isHoldfastError(error)) return false;
  return error.transient || isHoldfastError(error, 'database-unreachable', 'storage-failed', 'storage-full', 'storage-denied', 'repository-locked', 'lock-lost');
}

/** The end of the newest stored log: on the highest timeline of the cluster that was stored last. */
function newestEnd(wal: StoredWal): { readonly systemId: string; readonly segment: StoredSegment } | undefined {
  const map = wal.newest;
  const segment = map && rangesOf(map).at(-1)?.segments.at(-1);
  return map && segment && { systemId: map.systemId, segment };
}

/** Follows until the signal fires or what was asked for is reached. Throws `foreign-server`, `wal-gap`, `slot-lost` at the first byte. */
export async function followWal(options: FollowOptions, context: Context): Promise<FollowReport> {
  return await new Follower(options, context).run();
}
