/** Loads the index files, and takes up packs that none of them names: what an interrupted backup left is used, not stored twice. */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { BlobIndexBuilder, type BlobIndex } from './blob-index.ts';
import { listIds, loadDocument, saveDocument, type Core } from './core.ts';
import { encodeIndex, encodeIndexedPack, parseIndex, type IndexedPack } from './format/index-file.ts';
import { SEAL_OVERHEAD } from './format/cipher.ts';
import { LENGTH_FIELD, MAX_HEADER, parsePackHeader, type PackedBlob } from './format/pack-header.ts';

/** What is fetched first from the end of a pack: most headers are smaller. */
const TAIL_BYTES = 16 * 1024;

/** The index of everything that the repository's index files name. `damaged` hears of files that cannot be read, and may go on without them. */
export async function loadIndex(core: Core, damaged: (error: HoldfastError) => void = fail): Promise<BlobIndex> {
  return (await readIndexFiles(core, damaged)).build();
}

function fail(error: HoldfastError): never {
  throw error;
}

/** The same without the blobs of packs that are not there: of a blob that lies in two packs, the one that can be read is found. */
export async function loadReaderIndex(core: Core): Promise<BlobIndex> {
  const builder = await readIndexFiles(core, fail);
  const present = new Set(await listIds(core.storage, 'pack'));
  return builder.build(new Set(builder.packsBeside(present)));
}

export interface WriterIndex {
  readonly index: BlobIndex;
  /** Packs that the index files name and that are not there. Their blobs are not in `index`, so they are stored again when they are met. */
  readonly missingPacks: number;
}

/** What a writer has read of the repository before it writes. */
export interface WriterReading {
  readonly builder: BlobIndexBuilder;
  readonly orphans: readonly IndexedPack[];
  readonly present: ReadonlySet<string>;
}

/** Reads the index files, and the headers of packs that none of them names. Changes nothing; needs a lock that is written, not yet settled. */
export async function readForWriting(core: Core): Promise<WriterReading> {
  const builder = await readIndexFiles(core, fail);
  const orphans: IndexedPack[] = [];
  const present = new Set<string>();
  for await (const { id, size } of core.storage.list('pack')) {
    present.add(id);
    if (builder.hasPack(id)) continue;
    const blobs = await tryReadHeader(core, id, size);
    if (blobs) orphans.push({ id, blobs });
  }
  return { builder, orphans, present };
}

/** The index for a writer, under a lock: packs that are stored but named nowhere get an index file and are used. */
export async function writerIndex(core: Core, { builder, orphans, present }: WriterReading): Promise<WriterIndex> {
  if (orphans.length > 0) {
    await saveDocument(core, 'index', encodeIndex(orphans.map(encodeIndexedPack)));
    builder.add(orphans);
  }
  const missing = builder.packsBeside(present);
  return { index: builder.build(new Set(missing)), missingPacks: missing.length };
}

async function readIndexFiles(core: Core, damaged: (error: HoldfastError) => void): Promise<BlobIndexBuilder> {
  const builder = new BlobIndexBuilder();
  for (const id of await listIds(core.storage, 'index')) {
    try {
      builder.add(parseIndex(await loadDocument(core, 'index', id)));
    } catch (error) {
      if (isHoldfastError(error, 'storage-failed', 'file-missing')) throw error;
      damaged(isHoldfastError(error) ? error : new HoldfastError('repository-damaged', `index ${id.slice(0, 10)} in ${core.storage.location} is not understood: ${messageOf(error)}`, { cause: error }));
    }
  }
  return builder;
}

/** A pack whose header does not open is left alone; `check` names it. */
async function tryReadHeader(core: Core, id: string, size: number): Promise<readonly PackedBlob[] | undefined> {
  try {
    return await readPackHeader(core, id, size);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'repository-damaged') return undefined;
    throw error;
  }
}

/** The blobs of a pack of `size` bytes, from its own header. Throws `repository-damaged`. */
export async function readPackHeader(core: Core, id: string, size: number): Promise<readonly PackedBlob[]> {
  const damaged = (why: string, cause?: unknown): HoldfastError =>
    new HoldfastError('repository-damaged', `pack ${id.slice(0, 10)} in ${core.storage.location}: ${why}`, { cause });
  const file = { kind: 'pack', id } as const;
  const first = Math.min(size, TAIL_BYTES);
  if (first < LENGTH_FIELD + SEAL_OVERHEAD) throw damaged(`${size} bytes are too few for a pack`);
  const tail = await core.storage.load(file, { offset: size - first, length: first });
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
