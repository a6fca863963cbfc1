/**
 * `wal follow`: receives the write-ahead log of a server and stores it, for as long as it runs. Receiving and storing go on side by
 * side: a connection that is lost is made again, a repository that is out of reach is tried again, and the server hears of what is
 * durable and of nothing else.
 */
import { sleep } from '../../base/clock.ts';
import { isHoldfastError, type HoldfastError } from '../../base/errors.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { formatLsn, type Lsn } from '../../client/postgres/replication/lsn.ts';
import type { ReceivedLog } from '../../client/postgres/replication/segment.ts';
import { connectReplication, dropSlot, identify, readHistory, type ServerIdentity } from '../../client/postgres/replication/session.ts';
import { parseHistory } from '../../policy/wal-map.ts';
import { chooseStart, type StartDecision } from '../../policy/wal-start.ts';
import type { WalCoverage } from '../../source/cluster/wal-archive.ts';
import type { Context } from '../context.ts';
import { beginFollowing, type FollowOptions } from './begin.ts';
import type { WalEvent } from './event.ts';
import { WalReception } from './receive.ts';
import { SlotWatcher } from './slot-watch.ts';
import type { WalStore } from './store.ts';
import { TransactionTimes } from './times.ts';

const STATUS_MS = 10_000;
/** So often, or every so many flushes, a quiet server is written down as quiet. */
const COVER_MS = { most: 60_000, least: 2000, flushes: 6 } as const;
/** Log in memory at which it is stored before its time. */
const FULL_BYTES = 32 << 20;
const MOST_WAIT_MS = 30_000;
/** A server that wants to stop waits for us; when nothing can be stored for so long we let it go. */
const PATIENCE_MS = 20_000;

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
  readonly #watcher: SlotWatcher;
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
  #failure: unknown;
  #givenUp = false;
  #madeSlot = false;
  readonly #end = new AbortController();
  #wake: () => void = () => undefined;
  readonly #counts = { bytes: 0, added: 0, flushes: 0 };

  constructor(options: FollowOptions, context: Context) {
    this.#options = options;
    this.#context = context;
    this.#goal = options.until;
    this.#watcher = new SlotWatcher(options, {
      tell: (event) => this.#tell(event),
      cut: () => {
        this.#givenUp = true;
        this.#connection?.destroy();
      },
      fail: (error) => this.#fail(error),
    }, context.clock);
  }

  async run(): Promise<FollowReport> {
    const { signal } = this.#context;
    await using _watcher = this.#watcher;
    const stop = (): void => this.#finish();
    signal.addEventListener('abort', stop, { once: true });
    const status = setInterval(() => this.#tick(), STATUS_MS / 10);
    const storing = this.#storing();
    const watching = this.#watcher.run(this.#end.signal);
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
      const before = this.#counts.flushes;
      try {
        await this.#session();
        return;
      } catch (error) {
        if (this.#failure !== undefined || this.#givenUp || this.#end.signal.aborted) return;
        // Who asks for what is there now does not want to wait for a server that is not.
        if (!passes(error) || (this.#options.once && this.#server === undefined)) throw error;
        // One that got somewhere begins anew with short pauses.
        if (this.#counts.flushes > before) wait = 1000;
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
    this.#watcher.connected();
    try {
      if (this.#end.signal.aborted) return;
      this.#wake();
      await reception.run();
    } catch (error) {
      // A slot that was made for log that is not to be had would only fill the server's disk.
      if (this.#madeSlot && isHoldfastError(error, 'wal-gap', 'slot-lost') && log.waitingBytes === 0) await dropSlot(connection, store.wal.slot).catch(() => undefined);
      throw error;
    } finally {
      this.#reception = undefined;
      this.#connection = undefined;
    }
  }

  /** Slot and starting point; the first time also what the repository has. */
  async #begin(connection: Connection, server: ServerIdentity): Promise<{ readonly log: ReceivedLog; readonly start: StartDecision }> {
    const known = this.#server;
    const log = this.#log;
    const history = await readHistory(connection, server.timeline);
    const entries = parseHistory(history?.toString('utf8') ?? '');
    if (known !== undefined && log !== undefined) {
      const stored = { systemId: known.systemId, timeline: log.timeline, end: log.end };
      const start = chooseStart({ store: this.#options.store.name, server, history: entries, stored, restart: undefined, anew: false });
      if (start.timeline !== log.timeline) this.#enter(log, start, history, server.timeline);
      return { log, start };
    }
    const begun = await beginFollowing({ ...this.#options, connection, server, look: () => this.#watcher.view(), history, tell: (event) => this.#tell(event) }, this.#context);
    this.#log = begun.log;
    this.#archive = begun.archive;
    this.#times = begun.times;
    this.#stored = begun.stored;
    if (history !== undefined) this.#histories.set(server.timeline, history);
    this.#server = server;
    this.#madeSlot = begun.madeSlot;
    return begun;
  }

  #enter(log: ReceivedLog, { timeline, start }: StartDecision, history: Buffer | undefined, serverTimeline: number): void {
    this.#tell({ kind: 'timeline', from: log.timeline, to: timeline, at: formatLsn(start) });
    log.enter(timeline, start);
    this.#times = undefined;
    if (this.#stored > start) this.#stored = start;
    if (history !== undefined) this.#histories.set(serverTimeline, history);
  }

  // ── storing ──

  /** Who wants to lose little wants to know soon that nothing happened. */
  get #coverMs(): number {
    const { most, least, flushes } = COVER_MS;
    return Math.min(most, Math.max(least, flushes * this.#options.store.wal.flushMs));
  }

  #isDue(): boolean {
    const log = this.#log;
    if (log === undefined) return false;
    const now = this.#context.clock.elapsedMs();
    if (log.waitingBytes > 0) {
      if (this.#end.signal.aborted || this.#urgentMs !== undefined || this.#watcher.synchronous || log.heldBytes >= FULL_BYTES) return true;
      if (this.#goal !== undefined && log.end >= this.#goal) return true;
      return this.#oldestMs !== undefined && now - this.#oldestMs >= this.#options.store.wal.flushMs;
    }
    return this.#histories.size > 0 || (this.#provenPoint() !== undefined && now - this.#coveredMs >= this.#coverMs);
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
    const [segments, bytes, end, timeline, urgent] = [log.waiting(), log.waitingBytes, log.end, log.timeline, this.#urgentMs];
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
    this.#counts.bytes += bytes;
    this.#counts.added += flushed.added;
    this.#counts.flushes++;
    this.#reception?.eased();
    if (flushed.warning !== undefined) this.#tell({ kind: 'warning', sentence: flushed.warning });
    const coveredAt = point === undefined ? undefined : new Date(Number(BigInt(point.atUs) / 1000n)).toISOString();
    this.#tell({ kind: 'stored', until: formatLsn(end), bytes, added: flushed.added, ms: Math.round(flushed.ms), snapshot: flushed.snapshot, coveredAt });
  }

  #checkGoal(): boolean {
    if (this.#goal === undefined || this.#log === undefined || this.#stored < this.#goal) return false;
    this.#reached = true;
    this.#finish();
    return true;
  }

  /** The latest moment of which we have everything; undefined when it is no news. */
  #provenPoint(): WalCoverage | undefined {
    const [log, look] = [this.#log, this.#watcher.seen];
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
    if (log !== undefined) this.#tell({ kind: 'position', received: formatLsn(log.end), stored: this.#stored === 0n ? undefined : formatLsn(this.#stored), lagBytes: this.#watcher.seen?.slot?.keptBytes });
  }

  #toldMs = 0;
}

/** Worth another try: what is lost or out of reach may come back. */
function passes(error: unknown): error is HoldfastError {
  if (!isHoldfastError(error)) return false;
  return error.transient || isHoldfastError(error, 'database-unreachable', 'storage-failed', 'storage-full', 'storage-denied', 'repository-locked', 'lock-lost');
}

/** Follows until the signal fires or what was asked for is reached. Throws `foreign-server`, `wal-gap`, `slot-lost` at the first byte. */
export async function followWal(options: FollowOptions, context: Context): Promise<FollowReport> {
  return await new Follower(options, context).run();
}
