/** The point in time that a person asks for with `--at`, and how such points are written for people. Pure. */
import { HoldfastError } from '../base/errors.ts';
import { formatLsn, parseLsn } from '../client/postgres/replication/lsn.ts';

export type RecoveryWish =
  /** Microseconds since 1970. */
  | { readonly kind: 'time'; readonly us: bigint }
  /** Everything that begins at or before this position of the write-ahead log. */
  | { readonly kind: 'lsn'; readonly lsn: bigint }
  /** Up to the end of this transaction; the low 32 bits, as they stand in the log. */
  | { readonly kind: 'xid'; readonly xid: number }
  /** The newest point that `pg_create_restore_point` gave this name. */
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'latest' };

const FORMS = "Write a time like '2026-11-20 14:03:07+01' (without a zone: local time), or lsn:16/B374D848, xid:1234, name:RESTORE_POINT, latest.";

/** Throws `usage`. */
export function parseWish(text: string): RecoveryWish {
  const wanted = text.trim();
  if (wanted === 'latest') return { kind: 'latest' };
  const [, kind, value = ''] = /^(lsn|xid|name|time):\s*(.*)$/is.exec(wanted) ?? [];
  const refuse = (means: string): HoldfastError => new HoldfastError('usage', `'${text}' is no ${means}`, { hint: FORMS });
  switch (kind?.toLowerCase()) {
    case 'lsn': {
      const lsn = parseLsn(value);
      if (lsn === undefined) throw refuse('position in the write-ahead log');
      return { kind: 'lsn', lsn };
    }
    case 'xid': {
      // pg_current_xact_id() counts on past 32 bits; the log holds the low ones.
      if (!/^\d{1,19}$/.test(value) || BigInt(value) < 3n) throw refuse('number of a transaction');
      return { kind: 'xid', xid: Number(BigInt(value) & 0xffff_ffffn) };
    }
    case 'name':
      if (value === '' || Buffer.byteLength(value) > 63) throw refuse('name of a restore point');
      return { kind: 'name', name: value };
    default:
      return { kind: 'time', us: parseInstant(kind === undefined ? wanted : value, refuse) };
  }
}

const INSTANT = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(?:(Z|UTC|GMT)|([+-])(\d\d):?(\d\d)?)?$/i;

/** A day alone means its end. Finer than a microsecond is cut off: Postgres knows no less. */
function parseInstant(text: string, refuse: (means: string) => HoldfastError): bigint {
  const found = INSTANT.exec(text);
  if (found === null) throw refuse('time');
  const [year = 0, month = 0, day = 0] = found.slice(1, 4).map(Number);
  const [, , , , hourText, minuteText, secondText, fraction, utc, sign, zoneHours, zoneMinutes] = found;
  const wholeDay = hourText === undefined;
  const [hour, minute, second] = wholeDay ? [23, 59, 59] : [Number(hourText), Number(minuteText), Number(secondText ?? 0)];
  const us = wholeDay ? 999_999n : BigInt((fraction ?? '').padEnd(6, '0').slice(0, 6));
  const utcMs = Date.UTC(year, month - 1, day, hour, minute, second);
  if (new Date(utcMs).getUTCDate() !== day || month > 12 || hour > 23 || minute > 59 || second > 60) throw refuse('time');
  if (utc === undefined && sign === undefined) return BigInt(new Date(year, month - 1, day, hour, minute, second).getTime()) * 1000n + us;
  const offset = (Number(zoneHours ?? 0) * 60 + Number(zoneMinutes ?? 0)) * (sign === '-' ? -1 : 1);
  if (Math.abs(offset) > 16 * 60) throw refuse('time');
  return (BigInt(utcMs) - BigInt(offset) * 60_000n) * 1000n + us;
}

/** `2026-11-20 14:03:06.998213+01`: local time with its offset; people paste it back as it is. */
export function formatInstant(us: bigint): string {
  const moment = new Date(Number(us / 1000n));
  const two = (n: number): string => String(n).padStart(2, '0');
  const minutes = -moment.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  const zone = `${minutes < 0 ? '-' : '+'}${two(hours)}${rest === 0 ? '' : `:${two(rest)}`}`;
  const fraction = (us % 1_000_000n).toString().padStart(6, '0').replace(/0+$/, '');
  const day = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  return `${day} ${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}${fraction === '' ? '' : `.${fraction}`}${zone}`;
}

/** What was asked for, in words. */
export function describeWish(wish: RecoveryWish): string {
  switch (wish.kind) {
    case 'time': return formatInstant(wish.us);
    case 'lsn': return `position ${formatLsn(wish.lsn)} of the write-ahead log`;
    case 'xid': return `the end of transaction ${wish.xid}`;
    case 'name': return `the restore point "${wish.name}"`;
    case 'latest': return 'the latest moment';
  }
}
