/** One connection of a follower: from the first question to the end of the stream, over ends of timelines. */
import { HoldfastError } from '../../base/errors.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { sqlState } from '../../client/postgres/failure.ts';
import { formatLsn, type Lsn } from '../../client/postgres/replication/lsn.ts';
import type { ReceivedLog } from '../../client/postgres/replication/segment.ts';
import { readHistory } from '../../client/postgres/replication/session.ts';
import { WalStream } from '../../client/postgres/replication/wal-stream.ts';
import { slotLost } from '../../policy/wal-slot.ts';

/** Above so much log in memory the server has to wait, until it is below so much. */
const MOST_HELD = 32 << 20;
const FEW_HELD = 16 << 20;

export interface ReceiveOptions {
  readonly connection: Connection;
  readonly slot: string;
  readonly log: ReceivedLog;
  readonly segmentBytes: number;
  /** What is durable. */
  stored(): Lsn;
  nowUs(): bigint;
  /** Log has come. */
  received(): void;
  /** The server waits for a status, as when it wants to stop. */
  asked(): void;
  /** A timeline has ended; log of the next one follows from `start` on. */
  timeline(from: number, to: number, at: Lsn, history: Buffer): void;
}

export class WalReception {
  readonly #options: ReceiveOptions;
  #stream: WalStream | undefined;
  #paused = false;
  #stopping = false;

  constructor(options: ReceiveOptions) {
    this.#options = options;
  }

  /** Receives until `stop`. Rejects when the connection is lost, with `wal-gap` when the server no longer has what comes next. */
  async run(): Promise<void> {
    const { log } = this.#options;
    for (;;) {
      const next = await this.#timeline(log.timeline, log.rewind());
      if (this.#stopping) return;
      // A stream ends by our wish or at the end of a timeline; one that ends otherwise is begun anew, and is never taken for the end of the work.
      if (next === undefined) throw new HoldfastError('database-failed', 'the server has ended the stream of write-ahead log', { transient: true });
      await this.#enter(next);
    }
  }

  async #timeline(timeline: number, start: Lsn): Promise<{ readonly timeline: number; readonly start: Lsn } | undefined> {
    const { connection, slot, log } = this.#options;
    let failed: unknown;
    const stream = new WalStream(connection, { slot, start, timeline }, {
      data: (at, bytes) => {
        if (failed !== undefined) return;
        try {
          log.add(at, bytes);
          this.#options.received();
          this.#hold(stream);
        } catch (error) {
          failed = error;
          connection.destroy();
        }
      },
      heard: (_end, _atUs, answer) => {
        if (!answer) return;
        this.status();
        this.#options.asked();
      },
    });
    this.#stream = stream;
    this.#paused = false;
    try {
      this.status();
      return (await stream.ended).next;
    } catch (error) {
      throw failed ?? this.#explained(error, start);
    } finally {
      this.#stream = undefined;
    }
  }

  async #enter({ timeline, start }: { readonly timeline: number; readonly start: Lsn }): Promise<void> {
    const { connection, log, segmentBytes } = this.#options;
    const history = await readHistory(connection, timeline);
    if (history === undefined) throw new HoldfastError('foreign-server', `the server has no history of its timeline ${timeline}`);
    const from = log.timeline;
    log.enter(timeline, start - (start % BigInt(segmentBytes)));
    this.#options.timeline(from, timeline, start, history);
  }

  /** The server waits while too much log is in memory. */
  #hold(stream: WalStream): void {
    if (this.#paused || this.#options.log.heldBytes <= Math.max(MOST_HELD, 2 * this.#options.segmentBytes)) return;
    this.#paused = true;
    stream.pause();
  }

  /** Called when something was stored. */
  eased(): void {
    this.status();
    if (!this.#paused || this.#options.log.heldBytes > Math.max(FEW_HELD, this.#options.segmentBytes)) return;
    this.#paused = false;
    this.#stream?.resume();
  }

  /** Tells the server what is durable; also that we are alive. */
  status(): void {
    this.#stream?.sendStatus(this.#options.stored(), this.#options.nowUs());
  }

  /** Ends the stream: `run` returns. */
  stop(): void {
    this.#stopping = true;
    this.#stream?.stop();
  }

  #explained(error: unknown, start: Lsn): unknown {
    const { slot } = this.#options;
    const state = sqlState(error);
    if (state === '58P01') {
      return new HoldfastError('wal-gap', `the server no longer has the log from ${formatLsn(start)} on, which is needed next`, { hint: 'Run `holdfast wal follow STORE --new-slot` to follow from now on, and `holdfast backup STORE` for a new base; the time in between cannot be restored.', cause: error });
    }
    // 55000: the slot was invalidated; 42704: it is gone.
    if (state === '55000' || state === '42704') return slotLost(`the replication slot ${slot} is ${state === '42704' ? 'gone' : 'invalid'}: the server no longer keeps the log that is needed next`);
    if (state === '55006') return new HoldfastError('database-failed', `the replication slot ${slot} is used by another session`, { hint: 'Is another `holdfast wal follow` of the same store running? After a lost connection the server notices within wal_sender_timeout.', cause: error, transient: true });
    return error;
  }
}
