/** Index files (restic design.rst, "Indexing"): which blob lies where in which pack. */
import { isId, isObject, parseObject } from './json-shape.ts';
import { blobFault, type PackedBlob } from './pack-header.ts';

export interface IndexedPack {
  readonly id: string;
  readonly blobs: readonly PackedBlob[];
}

function encodeBlob(blob: PackedBlob): string {
  const uncompressed = blob.uncompressedLength > 0 ? `,"uncompressed_length":${blob.uncompressedLength}` : '';
  return `{"id":"${blob.id}","type":"${blob.type}","offset":${blob.offset},"length":${blob.length}${uncompressed}}`;
}

/** One pack as it stands in an index file. */
export function encodeIndexedPack(pack: IndexedPack): string {
  return `{"id":"${pack.id}","blobs":[${pack.blobs.map(encodeBlob).join(',')}]}`;
}

/** An index file of packs that `encodeIndexedPack` has written. */
export function encodeIndex(packs: readonly string[]): string {
  return `{"packs":[${packs.join(',')}]}\n`;
}

/** The packs of an index file. Throws Error when the document is none, or names what no pack can hold. */
export function parseIndex(json: string): readonly IndexedPack[] {
  const { packs } = parseObject(json, 'an index');
  if (!Array.isArray(packs)) throw new Error('an index without packs');
  return packs.map((pack: unknown) => {
    if (!isObject(pack) || !isId(pack['id']) || !Array.isArray(pack['blobs'])) throw new Error('an index with a pack that is none');
    return { id: pack['id'], blobs: pack['blobs'].map(parseBlob) };
  });
}

function parseBlob(blob: unknown): PackedBlob {
  if (!isObject(blob)) throw new Error('an index with a blob that is none');
  const { id, type, offset, length, uncompressed_length: uncompressedLength = 0 } = blob;
  if (!isId(id) || (type !== 'data' && type !== 'tree')) throw new Error('an index with a blob that is none');
  if (typeof offset !== 'number' || typeof length !== 'number' || typeof uncompressedLength !== 'number') throw new Error(`an index without the place of blob ${id.slice(0, 10)}`);
  const parsed: PackedBlob = { id, type, offset, length, uncompressedLength };
  const fault = blobFault(parsed);
  if (fault !== undefined) throw new Error(fault);
  return parsed;
}
