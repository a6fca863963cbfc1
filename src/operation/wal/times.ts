/** When the transactions of each segment ended, gathered while log comes in. */
import type { Lsn } from '../../client/postgres/replication/lsn.ts';
import { WalScanner } from '../../client/postgres/replication/wal-record.ts';
import type { WalSegment } from '../../source/cluster/wal-archive.ts';

interface Times {
  count: number;
  firstUs: bigint;
  lastUs: bigint;
  minUs: bigint;
  maxUs: bigint;
}

/** Of the log of one timeline, in order. */
export class TransactionTimes {
  readonly #scanner: WalScanner;
  readonly #segmentBytes: bigint;
  /** By the number of the segment that the last byte of the record lies in. */
  readonly #times = new Map<bigint, Times>();

  constructor(segmentBytes: number) {
    this.#segmentBytes = BigInt(segmentBytes);
    this.#scanner = new WalScanner(segmentBytes, { transaction: ({ end, timeUs }) => this.#add(end - 1n, timeUs) });
  }

  /** Reads on in the segment that begins at `start`, of which these bytes have come; answers what has ended in it. */
  read(start: Lsn, bytes: Buffer): WalSegment['ended'] {
    this.#scanner.scan(start, bytes);
    const number = start / this.#segmentBytes;
    // A record that is not whole yet began in an earlier segment at most: what lies before that is not asked for again.
    for (const other of this.#times.keys()) if (other + 4n < number) this.#times.delete(other);
    const times = this.#times.get(number);
    return times && { count: times.count, firstUs: `${times.firstUs}`, lastUs: `${times.lastUs}`, minUs: `${times.minUs}`, maxUs: `${times.maxUs}` };
  }

  #add(at: Lsn, timeUs: bigint): void {
    const number = at / this.#segmentBytes;
    const times = this.#times.get(number);
    if (times === undefined) {
      this.#times.set(number, { count: 1, firstUs: timeUs, lastUs: timeUs, minUs: timeUs, maxUs: timeUs });
      return;
    }
    times.count++;
    times.lastUs = timeUs;
    if (timeUs < times.minUs) times.minUs = timeUs;
    if (timeUs > times.maxUs) times.maxUs = timeUs;
  }
}
