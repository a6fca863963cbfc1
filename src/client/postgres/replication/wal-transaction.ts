/** Records that end transactions or name restore points (src/include/access/xact.h, xlog_internal.h). Pure. */
import { fromServerTime, type Lsn } from './lsn.ts';

/** What is known of a record before its data is looked at. */
export interface RecordFacts {
  readonly lsn: Lsn;
  readonly end: Lsn;
  readonly xid: number;
  readonly info: number;
  /** Major version of the server. */
  readonly major: number;
}

export interface TransactionEnd {
  readonly kind: 'commit' | 'abort';
  /** It was prepared before (two-phase commit). */
  readonly prepared: boolean;
  /** Of the transaction; 0 when it had none. */
  readonly xid: number;
  /** Where the record begins: what `recovery_target_lsn` is compared with. */
  readonly lsn: Lsn;
  /** Where the next record begins. */
  readonly end: Lsn;
  /** Microseconds since 1970, by the server's clock. */
  readonly timeUs: bigint;
}

export interface RestorePoint {
  readonly name: string;
  readonly lsn: Lsn;
  readonly end: Lsn;
  readonly timeUs: bigint;
}

/** CREATE TABLESPACE: replaying it uses the same path again. */
export interface TablespaceCreation {
  readonly oid: number;
  /** Empty: below the data directory. */
  readonly path: string;
  readonly lsn: Lsn;
}

const RECORD_HEAD = 24;
const HAS_INFO = 0x80;

/** Bits of xinfo, and what each part takes. */
const DATABASE = 1 << 0;
const CHILDREN = 1 << 1;
const FILES = 1 << 2;
const MESSAGES = 1 << 3;
const TWO_PHASE = 1 << 4;
const STATISTICS = 1 << 8;

/** What a record of the transaction manager says; undefined for those that end no transaction. */
export function parseTransactionEnd(record: Buffer, { info, xid, lsn, end, major }: RecordFacts): TransactionEnd | undefined {
  const operation = (info >> 4) & 7;
  const kind = operation === 0 || operation === 3 ? 'commit' : operation === 2 || operation === 4 ? 'abort' : undefined;
  if (kind === undefined) return undefined;
  const data = mainData(record);
  const prepared = operation >= 3;
  const timeUs = fromServerTime(data.readBigInt64LE(0));
  return { kind, prepared, xid: prepared ? preparedXid(data, info, kind, major) : xid, lsn, end, timeUs };
}

/** The record of COMMIT PREPARED belongs to no transaction: which one it ends stands behind parts of varying length. */
function preparedXid(data: Buffer, info: number, kind: TransactionEnd['kind'], major: number): number {
  if ((info & HAS_INFO) === 0) return 0;
  const parts = data.readUInt32LE(8);
  let at = 12;
  const list = (bytes: number): void => void (at += 4 + data.readInt32LE(at) * bytes);
  if ((parts & DATABASE) !== 0) at += 8;
  if ((parts & CHILDREN) !== 0) list(4);
  if ((parts & FILES) !== 0) list(12);
  if ((parts & STATISTICS) !== 0) list(major >= 18 ? 16 : 12);
  if ((parts & MESSAGES) !== 0 && kind === 'commit') list(16);
  return (parts & TWO_PHASE) === 0 ? 0 : data.readUInt32LE(at);
}

export function parseRestorePoint(record: Buffer, { lsn, end }: RecordFacts): RestorePoint {
  const data = mainData(record);
  const name = data.subarray(8, 72);
  const zero = name.indexOf(0);
  return { name: name.toString('utf8', 0, zero < 0 ? name.length : zero), lsn, end, timeUs: fromServerTime(data.readBigInt64LE(0)) };
}

export function parseTablespaceCreation(record: Buffer, { lsn }: RecordFacts): TablespaceCreation {
  const data = mainData(record);
  const zero = data.indexOf(0, 4);
  return { oid: data.readUInt32LE(0), path: data.toString('utf8', 4, zero < 0 ? data.length : zero), lsn };
}

/** The data of a record that touches no blocks: behind heads of one byte each with what they announce. */
function mainData(record: Buffer): Buffer {
  let at = RECORD_HEAD;
  for (;;) {
    const id = record[at];
    if (id === 0xff) return record.subarray(at + 2, at + 2 + (record[at + 1] ?? 0));
    if (id === 0xfe) return record.subarray(at + 5, at + 5 + record.readUInt32LE(at + 1));
    // Where the change came from in logical replication, and the transaction that a part belongs to.
    if (id === 0xfd) at += 3;
    else if (id === 0xfc) at += 5;
    else throw new RangeError('a record of the transaction manager that is not understood');
  }
}
