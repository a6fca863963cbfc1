/**
 * Gives an empty repository the index of a large one: index files that name random blobs in random packs. The packs are holes of
 * the right length, so that listings find them; nothing that a snapshot needs is in them.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '../../src/base/secret.ts';
import { openCore, saveDocument } from '../../src/repository/core.ts';
import { encodeIndex, encodeIndexedPack, type IndexedPack } from '../../src/repository/format/index-file.ts';
import { LENGTH_FIELD, type BlobType } from '../../src/repository/format/pack-header.ts';
import { openStorage } from '../../src/storage/open.ts';

/** Blobs of small files: as many packs as make the list of packs count, too. */
const BLOBS_PER_PACK = 100;
const PACKS_PER_INDEX = 500;
/** One pack in so many holds trees. */
const OF_TREES = 20;

export async function writeLargeIndex(repository: string, password: string, blobs: number): Promise<void> {
  const core = await openCore(await openStorage({ kind: 'local', path: repository }), new Secret(password));
  const entries: string[] = [];
  for (let number = 0; number * BLOBS_PER_PACK < blobs; number++) {
    const pack = randomPack(number % OF_TREES === 0 ? 'tree' : 'data');
    const file = openSync(join(repository, 'data', pack.id.slice(0, 2), pack.id), 'wx', 0o400);
    ftruncateSync(file, lengthOf(pack));
    closeSync(file);
    entries.push(encodeIndexedPack(pack));
    if (entries.length === PACKS_PER_INDEX) await saveDocument(core, 'index', encodeIndex(entries.splice(0)));
  }
  if (entries.length > 0) await saveDocument(core, 'index', encodeIndex(entries));
}

function randomPack(type: BlobType): IndexedPack {
  let offset = 0;
  const blobs = Array.from({ length: BLOBS_PER_PACK }, () => {
    const length = 20_000 + randomBytes(2).readUInt16LE();
    const blob = { id: randomBytes(32).toString('hex'), type, offset, length, uncompressedLength: length * 2 };
    offset += length;
    return blob;
  });
  return { id: randomBytes(32).toString('hex'), blobs };
}

/** With a header of the length that restic expects. */
function lengthOf({ blobs }: IndexedPack): number {
  const last = blobs.at(-1);
  return (last ? last.offset + last.length : 0) + blobs.length * 41 + 32 + LENGTH_FIELD;
}
