/** How much log a server keeps for our slot, and when that is too much. Pure. */
import { HoldfastError } from '../base/errors.ts';

export interface SlotFacts {
  readonly slot: string;
  /** Bytes of log that the server keeps for the slot. */
  readonly keptBytes: number;
  /** Of holdfast.yaml. */
  readonly limitBytes: number;
  /** `reserved`, `extended`, `unreserved` or `lost`; undefined before version 13. */
  readonly status: string | undefined;
  /** The server's own `max_slot_wal_keep_size` in bytes; undefined when it sets none. */
  readonly serverLimitBytes: number | undefined;
}

export type SlotLevel = 'well' | 'half' | 'most' | 'too-much' | 'lost';

export interface SlotVerdict {
  readonly level: SlotLevel;
  readonly sentence: string;
}

/** From half of the limit on a person should know; at the limit the slot is given up, since a full disk stops the server. */
export function judgeSlot({ slot, keptBytes, limitBytes, status, serverLimitBytes }: SlotFacts): SlotVerdict {
  if (status === 'lost') return { level: 'lost', sentence: `the server has given up the slot ${slot}: it no longer keeps the log that is needed next` };
  const limit = Math.min(limitBytes, serverLimitBytes ?? Infinity);
  const kept = `the server keeps ${amount(keptBytes)} of log for the slot ${slot}`;
  const of = limit < limitBytes ? `the ${amount(limit)} of its max_slot_wal_keep_size` : `the limit of ${amount(limit)}`;
  // Past its own limit the server decides for itself; ours ends the slot before its disk is full.
  if (keptBytes >= limitBytes) return { level: 'too-much', sentence: `${kept}, which is more than ${of}` };
  if (keptBytes >= limit * 0.8) return { level: 'most', sentence: `${kept}: more than 80 % of ${of}. At the limit ${limit < limitBytes ? 'the server gives the slot up' : 'the slot is given up'}, and restores to a point in time need a new base backup from then on` };
  if (keptBytes >= limit * 0.5) return { level: 'half', sentence: `${kept}: more than half of ${of}` };
  return { level: 'well', sentence: kept };
}

/** The slot is gone, or was given up. */
export function slotLost(why: string): HoldfastError {
  return new HoldfastError('slot-lost', why, {
    hint: 'Log that was written since then may be missing. Run `holdfast wal follow STORE --new-slot` to follow from now on, and `holdfast backup STORE` for a new base; the time in between cannot be restored.',
  });
}

function amount(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.round(bytes / 1e3)} KB`;
}
