/** A session of a WAL sender: who the server is, its replication slots and the histories of its timelines. */
import { HoldfastError } from '../../../base/errors.ts';
import { Connection } from '../connection.ts';
import { commandFailed, sqlState } from '../failure.ts';
import type { PostgresTarget } from '../target.ts';
import { readLsn, type Lsn } from './lsn.ts';

/** Refused by pg_hba.conf. */
const NOT_LET_IN = '28000';
const NO_SUCH_OBJECT = '42704';
const NO_SUCH_FILE = '58P01';

export interface ServerIdentity {
  /** 64-bit number as text: it does not fit into a JavaScript number. */
  readonly systemId: string;
  readonly timeline: number;
  /** Up to where the log is on the server's disk. */
  readonly at: Lsn;
  readonly segmentBytes: number;
  /** `15.20` */
  readonly version: string;
  readonly major: number;
  /** After so long without a word from us the server gives the connection up; 0: never. */
  readonly senderTimeoutMs: number;
}

export interface PhysicalSlot {
  /** From here on the server keeps its log; undefined when it keeps none for this slot. */
  readonly restart: Lsn | undefined;
}

/**
 * A session for replication commands. Where pg_hba.conf has no line for `replication`, the way in is the one of ordinary sessions.
 * Throws `database-unreachable`, and `database-failed` when the user may not replicate.
 */
export async function connectReplication(target: PostgresTarget): Promise<Connection> {
  try {
    return await Connection.connect(target, 'physical');
  } catch (error) {
    if (sqlState(error) === NOT_LET_IN) return await Connection.connect(target, 'database').catch((again: unknown) => Promise.reject(refusedReplication(target, again)));
    throw refusedReplication(target, error);
  }
}

function refusedReplication(target: PostgresTarget, error: unknown): unknown {
  if (sqlState(error) !== '42501') return error;
  return new HoldfastError('database-failed', `the user ${target.user} may not read the write-ahead log`, {
    hint: `As a superuser: ALTER ROLE ${JSON.stringify(target.user)} REPLICATION;`, cause: error,
  });
}

export async function identify(connection: Connection): Promise<ServerIdentity> {
  const doing = 'asking the server who it is';
  const [system] = await connection.query<{ systemid: string; timeline: number | string; xlogpos: string }>('IDENTIFY_SYSTEM', doing);
  if (system === undefined) throw new HoldfastError('database-failed', 'the server did not say who it is (IDENTIFY_SYSTEM)');
  const version = await show(connection, 'server_version', doing);
  return {
    systemId: system.systemid, timeline: Number(system.timeline), at: readLsn(system.xlogpos), version: version.split(' ')[0] ?? version, major: Number.parseInt(version, 10),
    segmentBytes: parseAmount(await show(connection, 'wal_segment_size', doing)),
    senderTimeoutMs: parseAmount(await show(connection, 'wal_sender_timeout', doing)),
  };
}

async function show(connection: Connection, name: string, doing: string): Promise<string> {
  const [row] = await connection.query<Record<string, string>>(`SHOW ${name}`, doing);
  return row?.[name] ?? '';
}

const UNITS: Readonly<Record<string, number>> = { B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** A setting with a unit, as SHOW gives it: bytes of `16MB`, milliseconds of `1min`. */
export function parseAmount(text: string): number {
  const [, amount, unit] = /^(\d+)([A-Za-z]*)$/.exec(text) ?? [];
  const factor = unit === '' ? 1 : UNITS[unit ?? ''];
  if (amount === undefined || factor === undefined) throw new HoldfastError('database-failed', `the server answers '${text}' where an amount with a unit is expected`);
  return Number(amount) * factor;
}

/** The physical slot of this name; undefined when there is none. Throws `database-failed` when it is a logical one. */
export async function readSlot(connection: Connection, name: string, major: number): Promise<PhysicalSlot | undefined> {
  const doing = `reading the replication slot ${name}`;
  // Before 15 there is no command for it, and no SQL in this session: without it, the position in the repository decides.
  if (major < 15) return undefined;
  const [row] = await connection.query<{ slot_type: string | null; restart_lsn: string | null }>(`READ_REPLICATION_SLOT ${quoted(name)}`, doing);
  if (row === undefined || row.slot_type === null) return undefined;
  return { restart: row.restart_lsn === null ? undefined : readLsn(row.restart_lsn) };
}

/** Makes a physical slot that keeps the log from now on; false when there is one of this name. */
export async function createSlot(connection: Connection, name: string): Promise<boolean> {
  try {
    await connection.query(`CREATE_REPLICATION_SLOT ${quoted(name)} PHYSICAL RESERVE_WAL`, `making the replication slot ${name}`);
    return true;
  } catch (error) {
    if (sqlState(error) === '42710') return false;
    if (sqlState(error) === '53400') throw new HoldfastError('database-failed', `the server has no replication slot left for ${name}`, { hint: 'Raise max_replication_slots, or drop a slot that nobody uses (pg_replication_slots shows them).', cause: error });
    throw error;
  }
}

/** Removes a slot, and with it the server's promise to keep log for it; false when there is none. Waits for a session that uses it. */
export async function dropSlot(connection: Connection, name: string): Promise<boolean> {
  try {
    await connection.query(`DROP_REPLICATION_SLOT ${quoted(name)} WAIT`, `dropping the replication slot ${name}`);
    return true;
  } catch (error) {
    if (sqlState(error) === NO_SUCH_OBJECT) return false;
    throw error;
  }
}

/** The file of a timeline that says which timelines it comes from; undefined for the first one, which comes from none. */
export async function readHistory(connection: Connection, timeline: number): Promise<Buffer | undefined> {
  const doing = `reading the history of timeline ${timeline}`;
  try {
    const [row] = await connection.query<{ content: string | Buffer }>(`TIMELINE_HISTORY ${timeline}`, doing);
    return row === undefined ? undefined : Buffer.from(row.content);
  } catch (error) {
    if (sqlState(error) === NO_SUCH_FILE) return undefined;
    throw commandFailed(connection.target, doing, error);
  }
}

/** Replication commands know quoted identifiers only; names of slots have no quotes in them. */
function quoted(name: string): string {
  return `"${name}"`;
}
