/**
 * Reads write-ahead log as the server wrote it: pages, records over page and segment borders, and of the records those that end a
 * transaction, name a restore point or make a tablespace (src/include/access/xlog_internal.h, xlogrecord.h, xact.h; the same from 12 to 18). Pure.
 */
import type { Lsn } from './lsn.ts';
import { parseRestorePoint, parseTablespaceCreation, parseTransactionEnd, type RecordFacts, type RestorePoint, type TablespaceCreation, type TransactionEnd } from './wal-transaction.ts';

const PAGE_HEAD = 24;
const LONG_PAGE_HEAD = 40;
const RECORD_HEAD = 24;
/** Flags of a page. */
const CONTINUES = 1;
const LONG = 2;

const RM_XLOG = 0;
const RM_XACT = 1;
const RM_TBLSPC = 5;
const XLOG_SWITCH = 0x40;
const XLOG_RESTORE_POINT = 0x70;
const XLOG_TBLSPC_CREATE = 0x00;

/** The head of a record. */
export interface RecordHead {
  readonly lsn: Lsn;
  /** Where the record before it begins. */
  readonly prev: Lsn;
  readonly xid: number;
  readonly rmgr: number;
  readonly info: number;
}

export interface RecordListener {
  transaction?(end: TransactionEnd): void;
  restorePoint?(point: RestorePoint): void;
  tablespace?(creation: TablespaceCreation): void;
  record?(head: RecordHead): void;
}

/** Where reading cannot go on: the end of what was written, or something that is no log. */
export interface WalStop {
  readonly at: Lsn;
  /** `zero`: nothing was written there yet. */
  readonly why: 'zero' | 'page' | 'length' | 'chain';
}

interface Spanning {
  readonly lsn: Lsn;
  readonly length: number;
  got: number;
  kept: Buffer;
}

export class WalScanner {
  readonly #segmentBytes: number;
  readonly #listener: RecordListener;
  #start: Lsn = -1n;
  /** Offset in the segment of what is read next. */
  #at = 0;
  #pageBytes = 8192;
  #major = 0;
  /** Bytes of a record whose beginning was never seen. */
  #skip = 0;
  #spanning: Spanning | undefined;
  #last: Lsn | undefined;
  #stop: WalStop | undefined;

  constructor(segmentBytes: number, listener: RecordListener) {
    this.#segmentBytes = segmentBytes;
    this.#listener = listener;
  }

  /** Where and why reading has come to its end; undefined while it goes on. */
  get stopped(): WalStop | undefined {
    return this.#stop;
  }

  /** Up to where was read. */
  get position(): Lsn {
    return this.#start + BigInt(this.#at);
  }

  /** Where the last whole record begins. */
  get lastRecord(): Lsn | undefined {
    return this.#last;
  }

  /** Reads on. `bytes` are those of the segment that begins at `start`, from its beginning, as many as there are by now. */
  scan(start: Lsn, bytes: Buffer): void {
    if (start !== this.#start) this.#enter(start);
    while (this.#stop === undefined && this.#at < bytes.length && this.#step(bytes));
  }

  #enter(start: Lsn): void {
    const follows = this.#start >= 0n && start === this.#start + BigInt(this.#segmentBytes) && this.#at === this.#segmentBytes;
    this.#start = start;
    this.#at = 0;
    this.#stop = undefined;
    if (follows) return;
    this.#skip = 0;
    this.#spanning = undefined;
    this.#last = undefined;
  }

  /** One page head, record or part of one; false when more bytes are needed. */
  #step(bytes: Buffer): boolean {
    if (this.#at % this.#pageBytes === 0) return this.#page(bytes);
    const left = Math.min(bytes.length - this.#at, this.#pageBytes - (this.#at % this.#pageBytes));
    if (this.#skip > 0) {
      const count = Math.min(this.#skip, left);
      this.#skip -= count;
      this.#at += count;
      return true;
    }
    if (this.#spanning !== undefined) return this.#collect(bytes, this.#spanning, left);
    const aligned = (this.#at + 7) & ~7;
    if (aligned !== this.#at) {
      this.#at = Math.min(aligned, this.#segmentBytes);
      return true;
    }
    return this.#record(bytes, left);
  }

  #page(bytes: Buffer): boolean {
    const at = this.#at;
    if (bytes.length - at < PAGE_HEAD) return false;
    const info = bytes.readUInt16LE(at + 2);
    const head = (info & LONG) === 0 ? PAGE_HEAD : LONG_PAGE_HEAD;
    if (bytes.length - at < head) return false;
    const magic = bytes.readUInt16LE(at);
    if (magic >> 8 !== 0xd1 || bytes.readBigUInt64LE(at + 8) !== this.position) return this.#end(magic === 0 ? 'zero' : 'page');
    if (head === LONG_PAGE_HEAD) this.#pageBytes = bytes.readUInt32LE(at + 36);
    this.#major = majorOf(magic);
    const remains = (info & CONTINUES) === 0 ? 0 : bytes.readUInt32LE(at + 16);
    const { length, got } = this.#spanning ?? { length: 0, got: 0 };
    // A record that the server could not finish before it crashed is passed over by the page that follows it.
    if (remains !== length - got) {
      this.#spanning = undefined;
      this.#skip = remains;
      this.#last = undefined;
    }
    this.#at += head;
    return true;
  }

  #record(bytes: Buffer, left: number): boolean {
    if (left < 8) return left < this.#pageRest() ? false : this.#end('length');
    const at = this.#at;
    const length = bytes.readUInt32LE(at);
    if (length < RECORD_HEAD) return this.#end(length === 0 ? 'zero' : 'length');
    const lsn = this.position;
    if (length > this.#pageRest()) {
      this.#spanning = { lsn, length, got: 0, kept: Buffer.alloc(0) };
      return true;
    }
    if (length > left) return false;
    this.#at += length;
    this.#whole(lsn, bytes.subarray(at, at + length), length);
    return true;
  }

  #pageRest(): number {
    return this.#pageBytes - (this.#at % this.#pageBytes);
  }

  #collect(bytes: Buffer, spanning: Spanning, left: number): boolean {
    const count = Math.min(spanning.length - spanning.got, left);
    // Of what is of no interest only the head is kept: a record may have hundreds of megabytes.
    const wanted = spanning.kept.length < RECORD_HEAD || isOfInterest(spanning.kept);
    if (wanted) spanning.kept = Buffer.concat([spanning.kept, bytes.subarray(this.#at, this.#at + count)]);
    spanning.got += count;
    this.#at += count;
    if (spanning.got < spanning.length) return true;
    this.#spanning = undefined;
    this.#whole(spanning.lsn, spanning.kept, spanning.length);
    return true;
  }

  /** A whole record has been read. */
  #whole(lsn: Lsn, record: Buffer, length: number): void {
    const prev = record.readBigUInt64LE(8);
    if (this.#last !== undefined && prev !== this.#last) {
      this.#end('chain', lsn);
      return;
    }
    this.#last = lsn;
    const [xid, info, rmgr] = [record.readUInt32LE(4), record[16] ?? 0, record[17] ?? 0];
    this.#listener.record?.({ lsn, prev, xid, rmgr, info });
    if (rmgr === RM_XLOG && (info & 0xf0) === XLOG_SWITCH) {
      // The rest of the segment is padding.
      this.#at = this.#segmentBytes;
      return;
    }
    if (record.length !== length || !isOfInterest(record)) return;
    this.#tell(rmgr, record, { lsn, end: this.#start + BigInt((this.#at + 7) & ~7), xid, info, major: this.#major });
  }

  #tell(rmgr: number, record: Buffer, facts: RecordFacts): void {
    try {
      const end = rmgr === RM_XACT ? parseTransactionEnd(record, facts) : undefined;
      if (end !== undefined) this.#listener.transaction?.(end);
      if (rmgr === RM_XLOG) this.#listener.restorePoint?.(parseRestorePoint(record, facts));
      if (rmgr === RM_TBLSPC) this.#listener.tablespace?.(parseTablespaceCreation(record, facts));
    } catch (error) {
      // Bytes that only look like a record, as in a file that was used before.
      if (!(error instanceof RangeError)) throw error;
      this.#end('length', facts.lsn);
    }
  }

  #end(why: WalStop['why'], at = this.position): false {
    this.#stop = { at, why };
    return false;
  }
}

function isOfInterest(record: Buffer): boolean {
  const [info, rmgr] = [record[16] ?? 0, record[17] ?? 0];
  return rmgr === RM_XACT || (rmgr === RM_XLOG && (info & 0xf0) === XLOG_RESTORE_POINT) || (rmgr === RM_TBLSPC && (info & 0xf0) === XLOG_TBLSPC_CREATE);
}

/** XLOG_PAGE_MAGIC of each major version; what is newer is read like the newest known. */
function majorOf(magic: number): number {
  const known: readonly (readonly [number, number])[] = [[0xd118, 18], [0xd116, 17], [0xd113, 16], [0xd110, 15], [0xd10d, 14], [0xd106, 13]];
  return known.find(([first]) => magic >= first)?.[1] ?? 12;
}
