/** Index files (restic design.rst, "Indexing"): which blob lies where in which pack. Written as text, read by index-scan.ts. */
import type { PackedBlob } from './pack-header.ts';

export interface IndexedPack {
  readonly id: string;
  readonly blobs: readonly PackedBlob[];
}

/**
 * A pack that is to be deleted: no index names it any more, and it waits for its time. As rustic writes it
 * (`packs_to_delete`); restic passes over keys that it does not know and sees the pack as unreferenced.
 */
export interface PackMark {
  readonly id: string;
  /** When it was marked, RFC 3339. */
  readonly time: string;
  /** Bytes. */
  readonly size: number;
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
export function encodeIndex(packs: readonly string[], marks: readonly PackMark[] = []): string {
  // rustic cannot read a mark without `blobs`.
  const marked = marks.map(({ id, time, size }) => `{"id":"${id}","blobs":[],"time":"${time}","size":${size}}`);
  return `{"packs":[${packs.join(',')}]${marked.length > 0 ? `,"packs_to_delete":[${marked.join(',')}]` : ''}}\n`;
}
