/** Loads the index files, and takes up packs that none of them names: what an interrupted backup left is used, not stored twice. */
import { createHash } from 'node:crypto';
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { collectWhenGrown } from '../base/garbage.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { ListedStoredFile } from '../storage/storage.ts';
import { BlobIndexBuilder, type BlobIndex } from './blob-index.ts';
import { listFiles, listIds, loadChecked, openDocument, saveDocument, type Core } from './core.ts';
import type { IndexContent } from './entry-table.ts';
import { encodeIndex, encodeIndexedPack, type IndexedPack, type PackMark } from './format/index-file.ts';
import { SEAL_OVERHEAD } from './format/cipher.ts';
import { LENGTH_FIELD, MAX_HEADER, parsePackHeader, type PackedBlob } from './format/pack-header.ts';

/** What is fetched first from the end of a pack: most headers are smaller. */
const TAIL_BYTES = 16 * 1024;
/** What is read at once of a pack that is taken up. */
const READ_BYTES = 4 << 20;
/** restic writes an index file when it has so many blobs. */
export const INDEX_BLOBS = 50_000;

/** Stored bytes of index files that are loaded ahead: about four times as much when they are unpacked, one at a time. */
const AHEAD_BYTES = 8 << 20;
/** A blob takes at least its hash, which does not compress. */
const LEAST_BYTES_PER_BLOB = 32;

/** An index file, and what it named that no file before it did. */
export interface IndexFile {
  readonly id: string;
  /** Bytes as stored. */
  readonly size: number;
  readonly content: IndexContent;
}

export interface IndexReading {
  readonly builder: BlobIndexBuilder;
  readonly files: readonly IndexFile[];
}

type Damaged = (error: HoldfastError, id: string) => void;

/** The index of everything that the repository's index files name. `damaged` hears of files that cannot be read, and may go on without them. */
export async function loadIndex(core: Core, damaged: Damaged = fail): Promise<BlobIndex> {
  return (await readIndexFiles(core, damaged)).builder.build();
}

function fail(error: HoldfastError): never {
  throw error;
}

/** The same without the blobs of packs that are not there: of a blob that lies in two packs, the one that can be read is found. */
export async function loadReaderIndex(core: Core): Promise<BlobIndex> {
  const { builder } = await readIndexFiles(core);
  const present = new Set(await listIds(core.storage, 'pack'));
  return builder.build(builder.packsBeside(present));
}

export interface WriterIndex {
  readonly index: BlobIndex;
  /** The index files that `index` was made from. */
  readonly files: Set<string>;
  /** Packs that the index files name and that are not there. Their blobs are not in `index`, so they are stored again when they are met. */
  readonly missingPacks: number;
}

/** What a writer has read of the repository before it writes. */
export interface WriterReading {
  readonly builder: BlobIndexBuilder;
  readonly files: readonly IndexFile[];
  readonly orphans: readonly IndexedPack[];
  readonly present: ReadonlySet<string>;
}

/**
 * Reads the index files, and the headers of packs that none of them names. Changes nothing; needs a lock that is written, not yet
 * settled. A pack that waits to be deleted is named nowhere on purpose and is not taken up.
 */
export async function readForWriting(core: Core): Promise<WriterReading> {
  const { builder, files } = await readIndexFiles(core);
  const unnamed: ListedStoredFile[] = [];
  const present = new Set<string>();
  for await (const pack of core.storage.list('pack')) {
    present.add(pack.id);
    if (!builder.hasPack(pack.id) && !builder.isMarked(pack.id)) unnamed.push(pack);
  }
  const parallel = new Semaphore(core.storage.parallel ?? 4);
  const headers = await Promise.all(unnamed.map(({ id, size }) => parallel.run(async () => ({ id, blobs: await tryReadHeader(core, id, size) }))));
  const orphans = headers.flatMap(({ id, blobs }) => (blobs ? [{ id, blobs }] : []));
  return { builder, files, orphans, present };
}

/** The index for a writer, under a lock: packs that are stored but named nowhere get an index file and are used. */
export async function writerIndex(core: Core, { builder, files, orphans, present }: WriterReading): Promise<WriterIndex> {
  const known = new Set(files.map(({ id }) => id));
  if (orphans.length > 0) {
    for (const id of await saveIndex(core, orphans)) known.add(id);
    builder.add(orphans);
  }
  const missing = builder.packsBeside(present);
  return { index: builder.build(missing), files: known, missingPacks: missing.length };
}

/**
 * Brings an index up to date that was loaded under an earlier lock, for one who writes little and often; false when it must be loaded
 * anew. It stays true as long as every index file that it was made from is there: whoever takes packs away or moves blobs (prune,
 * repair, restic) writes other index files and removes these first. Files that came since are read. Packs that no index file names are
 * left for the next one who loads everything. Needs a lock that is written.
 */
export async function refreshIndex(core: Core, { index, files }: WriterIndex): Promise<boolean> {
  const listed = new Set(await listIds(core.storage, 'index'));
  for (const id of files) if (!listed.has(id)) return false;
  for (const id of listed) {
    if (files.has(id)) continue;
    const { marks } = index.extend(openDocument(core, 'index', id, await loadChecked(core.storage, 'index', id)));
    if (marks.length > 0) return false;
    files.add(id);
  }
  return true;
}

/** Writes index files of these packs, none of more than 50,000 blobs but for a pack that has more; answers their ids. */
export async function saveIndex(core: Core, packs: Iterable<IndexedPack>, marks: readonly PackMark[] = []): Promise<readonly string[]> {
  const ids: string[] = [];
  let entries: string[] = [];
  let blobs = 0;
  let left = marks;
  const write = async (): Promise<void> => {
    ids.push(await saveDocument(core, 'index', encodeIndex(entries, left)));
    [entries, blobs, left] = [[], 0, []];
  };
  for (const pack of packs) {
    if (blobs > 0 && blobs + pack.blobs.length > INDEX_BLOBS) await write();
    entries.push(encodeIndexedPack(pack));
    blobs += pack.blobs.length;
  }
  if (entries.length > 0 || left.length > 0) await write();
  return ids;
}

/** Several files are on their way at once; they are taken in by the order of their ids, so that the result does not depend on who was first. */
export async function readIndexFiles(core: Core, damaged: Damaged = fail): Promise<IndexReading> {
  const listed = await listFiles(core.storage, 'index');
  const builder = new BlobIndexBuilder(listed.reduce((sum, { size }) => sum + size, 0) / LEAST_BYTES_PER_BLOB);
  const files: IndexFile[] = [];
  for await (const { id, size, sealed } of loadAhead(core, listed)) {
    try {
      files.push({ id, size, content: builder.read(openDocument(core, 'index', id, await sealed)) });
    } catch (error) {
      if (isHoldfastError(error) && error.code !== 'repository-damaged') throw error;
      damaged(isHoldfastError(error) ? error : new HoldfastError('repository-damaged', `index ${id.slice(0, 10)} in ${core.storage.location} is not understood: ${messageOf(error)}`, { cause: error }), id);
    }
  }
  return { builder, files };
}

interface Loading extends ListedStoredFile {
  readonly sealed: Promise<Buffer>;
}

async function* loadAhead(core: Core, files: readonly ListedStoredFile[]): AsyncGenerator<Loading> {
  const ahead: Loading[] = [];
  const most = Math.max(2, core.storage.parallel ?? 4);
  let bytes = 0;
  for (const file of files) {
    const sealed = loadChecked(core.storage, 'index', file.id);
    // One may fail while an earlier one is still being taken in.
    sealed.catch(() => undefined);
    ahead.push({ ...file, sealed });
    bytes += file.size;
    while (ahead.length >= most || bytes > AHEAD_BYTES) {
      const next = ahead.shift();
      if (!next) break;
      bytes -= next.size;
      yield next;
      collectWhenGrown();
    }
  }
  yield* ahead;
}

/**
 * A pack whose header does not open, or that is not whole, is left alone: who wrote it died before reading it back, or because it
 * read back different. What is read of it costs less than to store it again.
 */
async function tryReadHeader(core: Core, id: string, size: number): Promise<readonly PackedBlob[] | undefined> {
  try {
    const blobs = await readPackHeader(core, id, size);
    return (await isWhole(core, id, size)) ? blobs : undefined;
  } catch (error) {
    // One that vanished since it was listed was no pack of a backup: `storage validate` tries the storage out with such.
    if (isHoldfastError(error, 'repository-damaged', 'file-missing')) return undefined;
    throw error;
  }
}

/** Is the pack what its name says? It is read in pieces, since packs of other programs may be large. */
async function isWhole(core: Core, id: string, size: number): Promise<boolean> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < size; offset += READ_BYTES) hash.update(await core.storage.load({ kind: 'pack', id }, { offset, length: Math.min(READ_BYTES, size - offset) }));
  return hash.digest('hex') === id;
}

/** The blobs of a pack of `size` bytes, from its own header. Throws `repository-damaged`. */
export async function readPackHeader(core: Core, id: string, size: number): Promise<readonly PackedBlob[]> {
  const damaged = (why: string, cause?: unknown): HoldfastError =>
    new HoldfastError('repository-damaged', `pack ${id.slice(0, 10)} in ${core.storage.location}: ${why}`, { cause });
  const file = { kind: 'pack', id } as const;
  const first = Math.min(size, TAIL_BYTES);
  if (first < LENGTH_FIELD + SEAL_OVERHEAD) throw damaged(`${size} bytes are too few for a pack`);
  const tail = await core.storage.load(file, { offset: size - first, length: first });
  if (tail.length !== first) throw damaged(`${tail.length} bytes came where ${first} were asked for`);
  const length = tail.readUInt32LE(first - LENGTH_FIELD);
  if (length < SEAL_OVERHEAD || length + LENGTH_FIELD > size || length > MAX_HEADER) throw damaged(`a header of ${length} bytes is not possible`);
  const offset = size - LENGTH_FIELD - length;
  const sealed = length + LENGTH_FIELD <= first ? tail.subarray(first - LENGTH_FIELD - length, first - LENGTH_FIELD) : await core.storage.load(file, { offset, length });
  try {
    return parsePackHeader(core.cipher.open(sealed));
  } catch (error) {
    throw damaged(`the header cannot be read: ${messageOf(error)}`, error);
  }
}
