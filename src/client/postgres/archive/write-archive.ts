/**
 * Writes a custom-format archive of pg_dump (`-Fc`), which pg_restore 12 and newer open: format 1.14, because all that 1.15 (zstd, lz4) and
 * 1.16 (large objects in groups, kinds of relations) add can be said in it. Format: pg_backup_archiver.c and pg_backup_custom.c of PostgreSQL.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createDeflate } from 'node:zlib';
import type { Patch } from '../../../base/file.ts';
import type { Archive, Block } from './archive.ts';
import { CUSTOM, MAGIC } from './read-toc.ts';
import { qualifiedAsNeeded } from './name.ts';
import { SECTIONS, type Toc, type TocEntry } from './toc.ts';

export interface ArchiveOptions {
  readonly compression: 'none' | 'zlib';
}

/** What stands before an offset in an archive. */
const [NOT_SET, SET, NO_DATA] = [1, 2, 3];
/** What begins a block of data. */
const [ROWS, LARGE_OBJECTS] = [1, 3];
/** Bytes of rows in one piece of a block; pg_restore holds a piece in memory. */
const PIECE = 64 * 1024;

/**
 * The archive as a stream, in which no entry says yet where its data lies, as when pg_dump writes to a pipe: pg_restore then looks for it.
 * Returns what to write over its head, so that it is found at once and parallel workers begin anywhere. Errors are those of the data.
 *
 *     const archive = withData(readToc(stored), { tables: [{ schema: 'app', name: 'orders', columns: ['id'], rows: () => files.read(path) }], sequences: [], largeObjects: [] });
 *     await pipeline(Readable.from(writeArchive(archive, { compression: 'zlib' })), createWriteStream('shop.dump'));
 */
export async function* writeArchive({ toc, blocks }: Archive, { compression }: ArchiveOptions): AsyncGenerator<Uint8Array, readonly Patch[]> {
  const { head, offsets } = writeHead(toc, compression);
  const patches: Patch[] = [];
  let at = head.length;
  yield head;
  for (const block of blocks) {
    const place = offsets.get(block.dumpId);
    if (place !== undefined) patches.push({ at: place, bytes: offset(SET, at) });
    for await (const piece of writeBlock(block, compression)) {
      at += piece.length;
      yield piece;
    }
  }
  return patches;
}

function writeHead({ database, serverVersion, dumpVersion, created, entries }: Toc, compression: ArchiveOptions['compression']): { head: Buffer; offsets: Map<number, number> } {
  const pieces = [
    Buffer.from(MAGIC, 'latin1'), Buffer.from([1, 14, 0, 4, 8, CUSTOM]), int(compression === 'zlib' ? -1 : 0),
    int(created.getSeconds()), int(created.getMinutes()), int(created.getHours()), int(created.getDate()), int(created.getMonth()), int(created.getFullYear() - 1900), int(0),
    string(database), string(serverVersion), string(dumpVersion), int(entries.length),
  ];
  const offsets = new Map<number, number>();
  let length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  for (const entry of entries) {
    const bytes = writeEntry(entry);
    offsets.set(entry.dumpId, length + bytes.length);
    pieces.push(bytes, offset(entry.hadDumper ? NOT_SET : NO_DATA, 0));
    length += bytes.length + OFFSET;
  }
  return { head: Buffer.concat(pieces, length), offsets };
}

function writeEntry(entry: TocEntry): Buffer {
  // Without room of its own, a partitioned table gets its access method by a statement; 1.14 does not know which tables these are.
  const partitioned = entry.relkind === 'p' && entry.accessMethod !== undefined;
  const create = partitioned ? `${entry.create}${accessMethodSql(entry)}` : entry.create;
  return Buffer.concat([
    int(entry.dumpId), int(entry.hadDumper ? 1 : 0), string(entry.catalogOid), string(entry.oid), string(entry.tag), string(entry.kind), int(SECTIONS.indexOf(entry.section) + 1),
    string(create), string(entry.drop), string(entry.copy), string(entry.schema), string(entry.tablespace), string(partitioned ? undefined : entry.accessMethod), string(entry.owner), string('false'),
    ...entry.dependencies.map((id) => string(String(id))), string(undefined),
  ]);
}

/** For a partitioned table, once it is there. */
export function accessMethodSql({ schema, tag, accessMethod }: TocEntry): string {
  return `ALTER TABLE ${qualifiedAsNeeded(schema, tag)} SET ACCESS METHOD ${qualifiedAsNeeded(undefined, accessMethod ?? '')};\n`;
}

async function* writeBlock(block: Block, compression: ArchiveOptions['compression']): AsyncGenerator<Buffer> {
  yield Buffer.concat([Buffer.from([block.kind === 'rows' ? ROWS : LARGE_OBJECTS]), int(block.dumpId)]);
  if (block.kind === 'rows') {
    yield* writePieces(block.rows(), compression);
    return;
  }
  for await (const { oid, content } of block.objects()) {
    yield int(Number(oid) | 0);
    yield* writePieces(content, compression);
  }
  yield int(0);
}

/** Each piece after its length; a piece of no bytes ends them. */
async function* writePieces(content: AsyncIterable<Uint8Array>, compression: ArchiveOptions['compression']): AsyncGenerator<Buffer> {
  const pieces = compression === 'zlib' ? deflated(content) : content;
  for await (const piece of pieces) {
    if (piece.length > 0) yield Buffer.concat([int(piece.length), piece]);
  }
  yield int(0);
}

async function* deflated(content: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const deflate = createDeflate({ chunkSize: PIECE });
  const fed = pipeline(Readable.from(copied(content), { objectMode: false }), deflate);
  fed.catch(() => undefined); // it is the iteration that throws it
  for await (const piece of deflate) yield piece as Buffer;
  await fed;
}

/** Of each piece a copy of its own: its memory may be used again as soon as the next one is asked for, which the stream does early. */
async function* copied(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of content) yield new Uint8Array(piece);
}

const OFFSET = 9;

function offset(state: number, position: number): Buffer {
  const bytes = Buffer.alloc(OFFSET);
  bytes.writeUInt8(state, 0);
  bytes.writeBigUInt64LE(BigInt(position), 1);
  return bytes;
}

/** A sign and four bytes, the lowest first. */
function int(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(value < 0 ? 1 : 0, 0);
  bytes.writeUInt32LE(Math.abs(value), 1);
  return bytes;
}

function string(text: string | undefined): Buffer {
  if (text === undefined) return int(-1);
  const bytes = Buffer.from(text);
  return Buffer.concat([int(bytes.length), bytes]);
}
