/**
 * Text as Go writes it, byte for byte, because the hash of a tree is the hash of its text: strings of encoding/json,
 * names of strconv.Quote, times of time.RFC3339Nano (restic internal/data/node.go).
 */
import { isUtf8 } from 'node:buffer';
import type { RawName } from '../../base/raw-name.ts';

/** Text that both Go's quoting and Go's JSON leave as it is. */
const PLAIN = /^[A-Za-z0-9._\-+@=,~()[\]{}#$!%^:;'* /|?`]*$/;
const ESCAPES: Readonly<Record<number, string>> = {
  0x07: '\\a', 0x08: '\\b', 0x0c: '\\f', 0x0a: '\\n', 0x0d: '\\r', 0x09: '\\t', 0x0b: '\\v', 0x22: '\\"', 0x5c: '\\\\',
};
/** Go's unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** A string of encoding/json, with its escapes for HTML and line separators. */
export function goString(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The `name` of a node: strconv.Quote without its quotes, then a JSON string. */
export function goName(name: RawName): string {
  return PLAIN.test(name) ? `"${name}"` : goString(quote(Buffer.from(name, 'latin1')));
}

/** strconv.Quote without the outer quotes; bytes that are no UTF-8 become `\xNN`. */
function quote(bytes: Buffer): string {
  let quoted = '';
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    quoted += length === 0 ? hexEscape(bytes[at] ?? 0) : quoteCharacter(bytes.toString('utf8', at, at + length));
    at += Math.max(1, length);
  }
  return quoted;
}

/** Bytes of the UTF-8 character that starts here, or 0 when none does. */
function characterLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  return length > 0 && isUtf8(bytes.subarray(at, at + length)) && at + length <= bytes.length ? length : 0;
}

function quoteCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const escape = ESCAPES[code];
  if (escape !== undefined) return escape;
  if (PRINTABLE.test(character)) return character;
  if (code < 0x20 || code === 0x7f) return hexEscape(code);
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

function hexEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

const UNQUOTED: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 };
/** `\u` takes four digits and `\U` eight, so case counts. */
const ESCAPE = /\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs;

/** The raw name that was quoted; the inverse of strconv.Quote. Throws Error on an escape of what is no character, and no byte. */
export function parseGoName(quoted: string): RawName {
  if (PLAIN.test(quoted)) return quoted;
  const parts: Buffer[] = [];
  let end = 0;
  for (const match of quoted.matchAll(ESCAPE)) {
    parts.push(Buffer.from(quoted.slice(end, match.index)), unescape(match[1] ?? ''));
    end = match.index + match[0].length;
  }
  parts.push(Buffer.from(quoted.slice(end)));
  return Buffer.concat(parts).toString('latin1');
}

function unescape(escape: string): Buffer {
  const kind = escape.charAt(0);
  if (kind === 'x' && escape.length === 3) return Buffer.from([Number.parseInt(escape.slice(1), 16)]);
  if ((kind === 'u' || kind === 'U') && escape.length > 1) return Buffer.from(character(Number.parseInt(escape.slice(1), 16)));
  if (escape.length === 3) return octal(Number.parseInt(escape, 8));
  const control = UNQUOTED[kind];
  return control === undefined ? Buffer.from(escape) : Buffer.from([control]);
}

function character(code: number): string {
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw new Error(`a name with the escape of ${code.toString(16)}, which is no character`);
  return String.fromCodePoint(code);
}

function octal(byte: number): Buffer {
  if (byte > 0xff) throw new Error(`a name with the escape of ${byte.toString(8)}, which is no byte`);
  return Buffer.from([byte]);
}
