/** Names of tables as names of files: readable, unique, valid everywhere. */
import { createHash } from 'node:crypto';

const LONGEST = 200;

/** Percent-encodes all but letters and digits of any script, `_` and `-`. What gets longer than 200 bytes is cut and ends in a hash. */
export function encodeName(name: string): string {
  const encoded = name.replaceAll(/[^\p{L}\p{N}\p{M}_-]/gu, (c) => [...Buffer.from(c)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''));
  if (Buffer.byteLength(encoded) <= LONGEST) return encoded;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
  let cut = '';
  for (const c of encoded.match(/%[0-9A-F]{2}|./gsu) ?? []) {
    if (Buffer.byteLength(cut + c) > LONGEST - hash.length - 1) break;
    cut += c;
  }
  return `${cut}~${hash}`;
}

/** `data/public.orders.copy` */
export function tableFile(schema: string, name: string): string {
  return `${encodeName(schema)}.${encodeName(name)}.copy`;
}

/** `data/public.orders`: holds the pieces of a table that was split. */
export function tableFolder(schema: string, name: string): string {
  return `${encodeName(schema)}.${encodeName(name)}`;
}
