/** Looks at a server over SQL while its log is followed: its clock, the end of its log, the slot. */
import { Connection } from '../../client/postgres/connection.ts';
import { parseAmount } from '../../client/postgres/replication/session.ts';
import { readLsn, type Lsn } from '../../client/postgres/replication/lsn.ts';
import { literal } from '../../client/postgres/sql-quote.ts';
import type { PostgresTarget } from '../../client/postgres/target.ts';

export interface SlotState {
  readonly active: boolean;
  /** The process of the session that uses it. */
  readonly pid: number | undefined;
  readonly restart: Lsn | undefined;
  /** Undefined before version 13. */
  readonly status: string | undefined;
  readonly keptBytes: number;
}

export interface ServerLook {
  /** Microseconds since 1970 by the server's clock. */
  readonly atUs: bigint;
  /** No transaction that ended before `atUs` is behind this position. Undefined on a standby, which writes no log of its own. */
  readonly end: Lsn | undefined;
  readonly slot: SlotState | undefined;
  /** `max_slot_wal_keep_size`; undefined when there is none. */
  readonly serverLimitBytes: number | undefined;
  /** Commits wait until we have stored them. */
  readonly synchronous: boolean;
}

interface LookRow {
  readonly at_us: string;
  readonly inserted: string | null;
  readonly found: boolean | null;
  readonly active: boolean | null;
  readonly active_pid: number | null;
  readonly restart_lsn: string | null;
  readonly kept: string | null;
  readonly wal_status: string | null;
  readonly keep_size: string | null;
  readonly segment_size: string;
  readonly synchronous: string;
}

/** A commit takes its time a moment before it stands in the log: so much earlier than the clock is certain. */
const MARGIN_US = 100_000n;
const PAGE_BYTES = 8192n;
/** The head of a page, and of the first one of a segment. */
const PAGE_HEAD = 24n;
const FIRST_PAGE_HEAD = 40n;

export class ServerWatch implements AsyncDisposable {
  readonly #target: PostgresTarget;
  readonly #slot: string;
  #connection: Connection | undefined;

  constructor(target: PostgresTarget, slot: string) {
    this.#target = target;
    this.#slot = slot;
  }

  /** Throws `database-unreachable`, `database-failed`; the next look connects anew. */
  async look(): Promise<ServerLook> {
    try {
      this.#connection ??= await Connection.connect(this.#target);
      const { major } = await this.#version(this.#connection);
      const [row] = await this.#connection.query<LookRow>(lookSql(this.#slot, major), `looking at the replication slot ${this.#slot}`);
      if (row === undefined) throw new Error('a query without a row');
      return toLook(row);
    } catch (error) {
      this.#connection?.destroy();
      this.#connection = undefined;
      throw error;
    }
  }

  #major: number | undefined;

  async #version(connection: Connection): Promise<{ readonly major: number }> {
    const [row] = this.#major === undefined ? await connection.query<{ server_version_num: string }>('SHOW server_version_num', 'asking for the version of the server') : [];
    this.#major ??= Math.floor(Number(row?.server_version_num ?? 0) / 10_000);
    return { major: this.#major };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection?.close();
  }
}

/** The clock is read before the position. */
function lookSql(slot: string, major: number): string {
  const since13 = major >= 13;
  return `
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS at_us,
      CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_insert_lsn() END::text AS inserted,
      s.slot_name IS NOT NULL AS found, s.active, s.active_pid, s.restart_lsn::text, ${since13 ? 's.wal_status' : 'NULL'} AS wal_status,
      pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn)::bigint::text AS kept,
      ${since13 ? "current_setting('max_slot_wal_keep_size')" : 'NULL'} AS keep_size, current_setting('wal_segment_size') AS segment_size,
      current_setting('synchronous_standby_names') AS synchronous
    FROM (SELECT 1) one LEFT JOIN pg_replication_slots s ON s.slot_name = ${literal(slot)} AND s.slot_type = 'physical'`;
}

function toLook(row: LookRow): ServerLook {
  return {
    atUs: BigInt(row.at_us) - MARGIN_US,
    end: row.inserted === null ? undefined : endOfRecords(readLsn(row.inserted), BigInt(parseAmount(row.segment_size))),
    slot: row.found !== true ? undefined : {
      active: row.active === true, pid: row.active_pid ?? undefined, restart: row.restart_lsn === null ? undefined : readLsn(row.restart_lsn),
      status: row.wal_status ?? undefined, keptBytes: Number(row.kept ?? 0),
    },
    serverLimitBytes: row.keep_size === null || row.keep_size === '-1' ? undefined : parseAmount(row.keep_size),
    // The view of replication calls one of which nothing is stored yet asynchronous, though commits wait for just that.
    synchronous: /\bholdfast\b|\*/.test(row.synchronous),
  };
}

/** Behind a page that is full the position points behind the head of the next one, of which nothing is written yet. */
function endOfRecords(inserted: Lsn, segmentBytes: bigint): Lsn {
  if (inserted % segmentBytes === FIRST_PAGE_HEAD) return inserted - FIRST_PAGE_HEAD;
  return inserted % PAGE_BYTES === PAGE_HEAD ? inserted - PAGE_HEAD : inserted;
}
