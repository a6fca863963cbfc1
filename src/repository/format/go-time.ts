/** Times as Go prints them (RFC 3339 with up to nine decimals, in the local zone), from and to nanoseconds since 1970. */

const NANO = 1_000_000_000n;

// Neighbouring files were often written in the same minute: its text is kept.
let lastMinute = Number.NaN;
let lastText = '';
let lastZone = '';

const two = (n: number): string => (n < 10 ? `0${n}` : `${n}`);

export function formatTime(ns: bigint): string {
  let seconds = ns / NANO;
  let rest = ns % NANO;
  if (rest < 0n) {
    rest += NANO;
    seconds -= 1n;
  }
  const whole = Number(seconds);
  const minute = Math.floor(whole / 60);
  if (minute !== lastMinute) rememberMinute(minute);
  const fraction = rest === 0n ? '' : `.${rest.toString().padStart(9, '0').replace(/0+$/, '')}`;
  return `${lastText}${two(whole - minute * 60)}${fraction}${lastZone}`;
}

function rememberMinute(minute: number): void {
  const offset = -new Date(minute * 60_000).getTimezoneOffset();
  const local = new Date((minute + offset) * 60_000);
  const year = Math.min(9999, Math.max(0, local.getUTCFullYear()));
  const day = `${String(year).padStart(4, '0')}-${two(local.getUTCMonth() + 1)}-${two(local.getUTCDate())}`;
  lastMinute = minute;
  lastText = `${day}T${two(local.getUTCHours())}:${two(local.getUTCMinutes())}:`;
  const size = Math.abs(offset);
  lastZone = offset === 0 ? 'Z' : `${offset < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

const TIME = /^(-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** Nanoseconds since 1970; throws on text that is no RFC 3339 time. */
export function parseTime(text: string): bigint {
  const match = TIME.exec(text);
  const seconds = match ? Date.parse(`${match[1]}${match[3]}`) / 1000 : Number.NaN;
  if (!match || Number.isNaN(seconds)) throw new Error(`'${text.slice(0, 40)}' is not a time`);
  return BigInt(seconds) * NANO + BigInt((match[2] ?? '').padEnd(9, '0'));
}

/** The time of a `Date`. */
export function formatDate(date: Date): string {
  return formatTime(BigInt(date.getTime()) * 1_000_000n);
}
