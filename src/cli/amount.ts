/** Times and sizes as options take them. */
import { HoldfastError } from '../base/errors.ts';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** Milliseconds of `90s`, `15m`, `1.5h`, `7d`, or `0`. Throws `usage`. */
export function parseTimeOption(option: string, text: string): number {
  if (text === '0') return 0;
  const [, count, unit = ''] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (UNIT_MS[unit] ?? Number.NaN);
  if (Number.isFinite(ms)) return ms;
  throw new HoldfastError('usage', `${option}: '${text}' is no time`, { hint: 'Write 90s, 15m, 2h or 7d.' });
}

/** Bytes of `500`, `20M`, `1.5G`. Throws `usage`. */
export function parseSizeOption(option: string, text: string): number {
  const [, count, unit = ''] = /^(\d+(?:\.\d+)?)([KMGT]?)B?$/i.exec(text) ?? [];
  const bytes = Math.round(Number(count) * (UNIT_BYTES[unit.toUpperCase()] ?? Number.NaN));
  if (Number.isFinite(bytes)) return bytes;
  throw new HoldfastError('usage', `${option}: '${text}' is no size`, { hint: 'Write bytes, or 500M, 20G, 1.5T.' });
}
