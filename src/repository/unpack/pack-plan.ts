/** Plans which stretches of which packs to read: neighbouring blobs together, never far more than is needed. Pure. */
import { plainLength, type BlobIndex } from '../blob-index.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { PackedBlob } from '../format/pack-header.ts';
import type { BlobTarget } from './messages.ts';

/** Bytes that are read at once, and gaps that are cheaper to read over than to ask again for. */
const RANGE_BYTES = 4 << 20;
const GAP_BYTES = 64 * 1024;

export interface WantedBlob {
  readonly blob: PackedBlob;
  readonly targets: BlobTarget[];
}

export interface PlannedRange {
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
  readonly wanted: readonly WantedBlob[];
}

/** The blobs of these ids, located. Throws `repository-damaged` when the index has none of that id. */
export function locate(index: BlobIndex, id: string, subject: string): { readonly pack: string; readonly blob: PackedBlob } {
  const location = index.locate(id, 'data');
  if (!location) {
    throw new HoldfastError('repository-damaged', `${subject}: its data blob ${id.slice(0, 10)} is in no index, or in a pack that is missing`, {
      hint: 'Run `holdfast check` to see which snapshots are affected.',
    });
  }
  const { pack, offset, length, uncompressedLength } = location;
  return { pack, blob: { id, type: 'data', offset, length, uncompressedLength } };
}

export function blobBytes(blob: PackedBlob): number {
  return plainLength(blob);
}

/** Ranges that hold these blobs, pack by pack in the order in which the packs were first wanted. */
export function planRanges(wanted: ReadonlyMap<string, readonly WantedBlob[]>): readonly PlannedRange[] {
  const ranges: PlannedRange[] = [];
  for (const [pack, blobs] of wanted) {
    let range: { offset: number; end: number; wanted: WantedBlob[] } | undefined;
    for (const item of [...blobs].sort((a, b) => a.blob.offset - b.blob.offset)) {
      const { offset, length } = item.blob;
      const joins = range && offset - range.end <= GAP_BYTES && offset + length - range.offset <= RANGE_BYTES;
      if (range && joins) {
        range.end = offset + length;
        range.wanted.push(item);
        continue;
      }
      if (range) ranges.push({ pack, offset: range.offset, length: range.end - range.offset, wanted: range.wanted });
      range = { offset, end: offset + length, wanted: [item] };
    }
    if (range) ranges.push({ pack, offset: range.offset, length: range.end - range.offset, wanted: range.wanted });
  }
  return ranges;
}
