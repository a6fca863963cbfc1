/** Amounts of bytes as people write them: `500K`, `50M`, `4G`. */
import { z } from 'zod';

const SIZE = /^(\d+(?:\.\d+)?)([KMGT]?)$/;
const FACTORS: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

export const size = z.string().regex(SIZE, { error: 'must be a size like 500M or 4G' });
export const rate = z.string().regex(SIZE, { error: 'must be bytes a second like 500K or 10M' });

/** Bytes; NaN for what is no size. */
export function parseSize(text: string): number {
  const [, amount, unit] = SIZE.exec(text) ?? [];
  return Number(amount) * (FACTORS[unit ?? ''] ?? Number.NaN);
}

/** The shortest text that `parseSize` reads as so many bytes. */
export function formatSize(bytes: number): string {
  const unit = ['T', 'G', 'M', 'K'].find((one) => bytes >= (FACTORS[one] ?? 1) && bytes % (FACTORS[one] ?? 1) === 0) ?? '';
  return `${bytes / (FACTORS[unit] ?? 1)}${unit}`;
}
