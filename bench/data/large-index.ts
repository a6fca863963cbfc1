/**
 * Gives an existing repository the index of a large one: index files that name random blobs in random packs, written as our own are.
 * The packs themselves are holes as long as the packs would be, so that listings find them; nothing that a snapshot needs is in them.
 * Use: node bench/data/large-index.ts REPOSITORY PASSWORD-FILE BLOBS
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '../../src/base/secret.ts';
import { openCore, saveDocument } from '../../src/repository/core.ts';
import { encodeIndex, encodeIndexedPack } from '../../src/repository/format/index-file.ts';
import type { PackedBlob } from '../../src/repository/format/pack-header.ts';
import { openStorage } from '../../src/storage/open.ts';

/** Blobs of small files: a few dozen a pack, as many as make the list of packs count, too. */
const BLOBS_PER_PACK = 40;
const BLOBS_PER_INDEX = 50_000;

const [folder, passwordFile, count] = process.argv.slice(2);
if (folder === undefined || passwordFile === undefined || count === undefined) throw new Error('large-index.ts REPOSITORY PASSWORD-FILE BLOBS');
const storage = await openStorage({ kind: 'local', path: folder });
const core = await openCore(storage, new Secret(readFileSync(passwordFile, 'utf8').trimEnd()));

function randomPack(): string {
  const id = randomBytes(32).toString('hex');
  let offset = 0;
  const blobs = Array.from({ length: BLOBS_PER_PACK }, (_, i): PackedBlob => {
    const length = 200 + ((i * 7919) % 300_000);
    const blob: PackedBlob = { id: randomBytes(32).toString('hex'), type: 'data', offset, length, uncompressedLength: length * 2 };
    offset += length;
    return blob;
  });
  const path = join(folder ?? '', 'data', id.slice(0, 2), id);
  writeFileSync(path, '');
  truncateSync(path, offset + 4096);
  return encodeIndexedPack({ id, blobs });
}

for (let left = Number(count); left > 0; left -= BLOBS_PER_INDEX) {
  const packs = Array.from({ length: Math.ceil(Math.min(left, BLOBS_PER_INDEX) / BLOBS_PER_PACK) }, randomPack);
  await saveDocument(core, 'index', encodeIndex(packs));
}
