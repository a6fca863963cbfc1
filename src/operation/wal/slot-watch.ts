/** Watches the slot while its log is followed, and gives it up before it fills the server's disk. */
import { sleep, type Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { connectReplication, dropSlot } from '../../client/postgres/replication/session.ts';
import { judgeSlot, slotLost, type SlotLevel } from '../../policy/wal-slot.ts';
import type { FollowOptions } from './begin.ts';
import type { WalEvent } from './event.ts';
import { ServerWatch, type ServerLook } from './watch.ts';

/** So often the server is asked, or every so many flushes: what it says then proves quiet times. */
const WATCH_MS = { most: 30_000, least: 1000, flushes: 3 } as const;
/** After a connection was made: then it stands in the server's views. */
const FIRST_WATCH_MS = 1000;

export interface WatchListener {
  tell(event: WalEvent): void;
  /** Ends the session that uses the slot, which cannot be dropped before, and makes no other. */
  cut(): void;
  fail(error: unknown): void;
}

export class SlotWatcher implements AsyncDisposable {
  readonly #options: FollowOptions;
  readonly #listener: WatchListener;
  readonly #clock: Clock;
  readonly #watch: ServerWatch;
  #connectedMs = -Infinity;
  #everConnected = false;
  #level: SlotLevel = 'well';
  #seen: ServerLook | undefined;

  constructor(options: FollowOptions, listener: WatchListener, clock: Clock) {
    this.#options = options;
    this.#listener = listener;
    this.#clock = clock;
    this.#watch = new ServerWatch(options.target, options.store.wal.slot);
  }

  /** The last look. */
  get seen(): ServerLook | undefined {
    return this.#seen;
  }

  /** Commits wait until we have stored them. */
  get synchronous(): boolean {
    return this.#seen?.synchronous === true;
  }

  /** A session has begun to stream. */
  connected(): void {
    this.#connectedMs = this.#clock.elapsedMs();
    this.#everConnected = true;
  }

  /** One look; undefined when the server cannot be asked over SQL. */
  async view(): Promise<ServerLook | undefined> {
    const look = await this.#watch.look().catch(() => undefined);
    this.#seen = look ?? this.#seen;
    return look;
  }

  async run(end: AbortSignal): Promise<void> {
    let unseen = false;
    while (!end.aborted) {
      if (this.#everConnected) {
        try {
          await this.#look();
          unseen = false;
        } catch (error) {
          if (!unseen && !end.aborted) this.#listener.tell({ kind: 'note', sentence: `the slot cannot be watched now: ${messageOf(error)}` });
          unseen = true;
        }
      }
      await this.#pause(end);
    }
  }

  async #pause(end: AbortSignal): Promise<void> {
    const began = this.#clock.elapsedMs();
    const watchMs = Math.min(WATCH_MS.most, Math.max(WATCH_MS.least, WATCH_MS.flushes * this.#options.store.wal.flushMs));
    for (let now = began; !end.aborted; now = this.#clock.elapsedMs()) {
      const fresh = this.#connectedMs > began - FIRST_WATCH_MS && now - this.#connectedMs >= FIRST_WATCH_MS;
      if (now - began >= watchMs || fresh) return;
      await sleep(FIRST_WATCH_MS / 4, end).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    const look = await this.#watch.look();
    const { wal } = this.#options.store;
    this.#seen = look;
    if (look.slot === undefined) return;
    const verdict = judgeSlot({ slot: wal.slot, keptBytes: look.slot.keptBytes, limitBytes: wal.limitBytes, status: look.slot.status, serverLimitBytes: look.serverLimitBytes });
    if (verdict.level !== this.#level && verdict.level !== 'well') this.#listener.tell({ kind: 'warning', sentence: verdict.sentence });
    this.#level = verdict.level;
    if (verdict.level === 'lost') this.#listener.fail(slotLost(verdict.sentence));
    if (verdict.level === 'too-much') await this.#giveUp(verdict.sentence);
  }

  /** Drops the slot rather than fill the server's disk. */
  async #giveUp(sentence: string): Promise<void> {
    this.#listener.cut();
    try {
      await using connection = await connectReplication(this.#options.target);
      await dropSlot(connection, this.#options.store.wal.slot);
      this.#listener.fail(slotLost(`${sentence}. The slot was given up, so that the server's disk does not fill`));
    } catch (error) {
      this.#listener.fail(slotLost(`${sentence}. The slot is to be given up, but could not be dropped: ${messageOf(error)}`));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch[Symbol.asyncDispose]();
  }
}
