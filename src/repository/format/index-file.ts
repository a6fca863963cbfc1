/** Index files (restic design.rst, "Indexing"): which blob lies where in which pack. */
import type { BlobType, PackedBlob } from './pack-header.ts';

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

interface IndexDocument {
  readonly packs: readonly {
    readonly id: string;
    readonly blobs: readonly { id: string; type: BlobType; offset: number; length: number; uncompressed_length?: number }[];
  }[];
}

/** The packs of an index file. Throws when the document is none. */
export function parseIndex(json: string): readonly IndexedPack[] {
  const document = JSON.parse(json) as Partial<IndexDocument>;
  if (!Array.isArray(document.packs)) throw new Error('an index without packs');
  return (document as IndexDocument).packs.map((pack) => ({
    id: pack.id,
    blobs: pack.blobs.map((blob) => ({
      id: blob.id,
      type: blob.type,
      offset: blob.offset,
      length: blob.length,
      uncompressedLength: blob.uncompressed_length ?? 0,
    })),
  }));
}
