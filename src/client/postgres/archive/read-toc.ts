/** Reads the table of contents of a custom-format archive of pg_dump (`-Fc`). Pure: bytes in, objects out. */
import { HoldfastError } from '../../../base/errors.ts';
import { SECTIONS, type Toc, type TocEntry } from './toc.ts';

/** The first bytes of every archive. */
export const MAGIC = 'PGDMP';
/** The number of the custom format among the formats of pg_dump. */
export const CUSTOM = 1;
/** Minor numbers of the format 1.x that are known: of pg_dump 12 to 18. */
const [OLDEST, NEWEST] = [14, 16];
/** No entry is shorter than this: it holds the lengths of its strings. */
const SHORTEST_ENTRY = 60;

/** Integers are a sign and four bytes, the lowest first; strings their length and their bytes, of length -1 when there is none. */
class ArchiveBytes {
  readonly #bytes: Uint8Array;
  readonly #decoder = new TextDecoder('utf-8');
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  take(length: number): Uint8Array {
    if (length > this.rest) throw damaged(`it ends at byte ${this.#bytes.length}, in the middle of its table of contents`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  byte(): number {
    return this.take(1)[0] ?? 0;
  }

  int(): number {
    const sign = this.byte();
    const [a = 0, b = 0, c = 0, d = 0] = this.take(4);
    if (sign > 1 || d > 0x7f) throw damaged(`there is no number at byte ${this.#at}`);
    const value = a | (b << 8) | (c << 16) | (d << 24);
    return sign === 1 ? -value : value;
  }

  string(): string | undefined {
    const length = this.int();
    return length < 0 ? undefined : this.#decoder.decode(this.take(length));
  }
}

/**
 * The table of contents at the head of an archive; what follows it is not looked at.
 * Throws `repository-damaged` when it is cut or changed, `repository-format` when it is of another format than 1.14 to 1.16.
 */
export function readToc(archive: Uint8Array): Toc {
  const bytes = new ArchiveBytes(archive);
  const magic = new TextDecoder('latin1').decode(bytes.take(Math.min(MAGIC.length, bytes.rest)));
  if (magic !== MAGIC) throw damaged('it does not begin as an archive of pg_dump does');
  const [major, minor] = [bytes.byte(), bytes.byte()];
  bytes.byte();
  if (major !== 1 || minor < OLDEST || minor > NEWEST) {
    throw new HoldfastError('repository-format', `The archive of pg_dump has the format ${major}.${minor}; known are 1.${OLDEST} to 1.${NEWEST}, of PostgreSQL 12 to 18.`);
  }
  const [intSize, offsetSize, format] = [bytes.byte(), bytes.byte(), bytes.byte()];
  if (intSize !== 4 || offsetSize === 0 || offsetSize > 8) throw damaged(`its numbers have ${intSize} and ${offsetSize} bytes`);
  if (format !== CUSTOM) throw new HoldfastError('repository-format', 'The archive of pg_dump is not in the custom format (-Fc).');
  if (minor >= 15) bytes.byte();
  else bytes.int();
  const [second, minute, hour, day, month, year] = [bytes.int(), bytes.int(), bytes.int(), bytes.int(), bytes.int(), bytes.int()];
  bytes.int(); // whether it was summer time
  const [database = '', serverVersion = '', dumpVersion = ''] = [bytes.string(), bytes.string(), bytes.string()];
  const created = new Date(1900 + year, month, day, hour, minute, second);
  return { format: `${major}.${minor}`, database, serverVersion, dumpVersion, created, entries: readEntries(bytes, minor, offsetSize) };
}

function readEntries(bytes: ArchiveBytes, minor: number, offsetSize: number): TocEntry[] {
  const count = bytes.int();
  if (count < 0 || count * SHORTEST_ENTRY > bytes.rest) throw damaged(`it says that it has ${count} entries, which have no room in it`);
  const known = new Set<number>();
  return Array.from({ length: count }, () => {
    const entry = readEntry(bytes, minor, offsetSize);
    if (known.has(entry.dumpId)) throw damaged(`two of its entries have the number ${entry.dumpId}`);
    known.add(entry.dumpId);
    return entry;
  });
}

function readEntry(bytes: ArchiveBytes, minor: number, offsetSize: number): TocEntry {
  const dumpId = bytes.int();
  if (dumpId <= 0) throw damaged(`an entry has the number ${dumpId}`);
  const hadDumper = bytes.int() !== 0;
  const [catalogOid = '0', oid = '0', tag, kind] = [bytes.string(), bytes.string(), bytes.string(), bytes.string()];
  const section = SECTIONS[bytes.int() - 1];
  if (tag === undefined || kind === undefined || section === undefined || !isNumber(catalogOid) || !isNumber(oid)) throw damaged(`its entry ${dumpId} has no name, kind or section`);
  const [create = '', drop = '', copy = '', schema, tablespace, accessMethod] = [bytes.string(), bytes.string(), bytes.string(), bytes.string(), bytes.string(), bytes.string()];
  const relkind = minor >= 16 ? bytes.int() : 0;
  const owner = bytes.string() ?? '';
  bytes.string(); // whether it has oids, which no server has known since 12
  const dependencies: number[] = [];
  for (let id = bytes.string(); id !== undefined; id = bytes.string()) {
    if (!isNumber(id)) throw damaged(`its entry ${dumpId} needs something that is no number`);
    dependencies.push(Number(id));
  }
  bytes.take(1 + offsetSize); // where its data lies
  return {
    dumpId, catalogOid, oid, tag, kind, section, create, drop, copy, schema: schema === '' ? undefined : schema, tablespace, accessMethod,
    relkind: relkind === 0 ? undefined : String.fromCharCode(relkind), owner, dependencies, hadDumper,
  };
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text);
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('repository-damaged', `The archive of pg_dump is damaged: ${what}.`, { hint: 'If it comes from a snapshot, run `holdfast check`; if not, dump it again.' });
}
