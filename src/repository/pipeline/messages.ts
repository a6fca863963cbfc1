/** What the threads of the archive pipeline say to each other. */
import type { RawName } from '../../base/raw-name.ts';
import type { SealKey } from '../format/cipher.ts';
import type { Compression } from '../packer.ts';
import type { SharedBlobIndex } from '../blob-index.ts';
import type { SharedClaims } from './claim-set.ts';
import type { SharedSlots } from './slots.ts';

/** Pack buffers that savers fill and the main thread stores and gives back. */
export interface SharedPackBuffers {
  readonly buffers: readonly SharedArrayBuffer[];
  readonly control: SharedArrayBuffer;
}

export interface SaverData {
  readonly slots: SharedSlots;
  readonly claims: SharedClaims;
  readonly index: SharedBlobIndex;
  readonly packBuffers: SharedPackBuffers;
  readonly key: SealKey;
  readonly compression: Compression;
}

export type SaverMessage =
  /** Records of RESULT_BYTES: file, chunk, length (int32 each) and the blob's id. */
  | { readonly kind: 'pieces'; readonly records: Uint8Array }
  | {
      readonly kind: 'pack';
      readonly id: string;
      readonly buffer: number;
      readonly length: number;
      /** The pack as it stands in an index file. */
      readonly indexEntry: string;
      readonly blobs: number;
      readonly plainBytes: number;
    }
  | { readonly kind: 'ended' };

export const RECORD_BYTES = 44;

export interface ReaderData {
  readonly slots: SharedSlots;
}

/** Files for the reader, by number. `mtimes` and `sizes` are what the file system said when the file was found. */
export type ReaderRequest =
  | {
      readonly kind: 'files';
      readonly numbers: readonly number[];
      readonly paths: readonly RawName[];
      readonly sizes: Float64Array;
      readonly mtimes: BigInt64Array;
    }
  /** Hand over what has been gathered. */
  | { readonly kind: 'flush' }
  | { readonly kind: 'end' };

export type ReaderMessage =
  | { readonly kind: 'failed'; readonly file: number; readonly code: string; readonly message: string; readonly started: boolean }
  | { readonly kind: 'changed'; readonly path: RawName; readonly message: string }
  | { readonly kind: 'ended' };
