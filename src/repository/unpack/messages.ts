/** What the main thread asks of the threads that open packs, and what they answer. */
import type { RawName } from '../../base/raw-name.ts';
import type { SealKey } from '../format/cipher.ts';
import type { PackedBlob } from '../format/pack-header.ts';
import type { Compression } from '../compress-blob.ts';
import type { Problem } from '../entry.ts';

export interface UnpackerData {
  readonly key: SealKey;
  /** The key of the repository that blobs are moved to, when it is another one. */
  readonly sealKey: SealKey | undefined;
}

/** A stretch of a pack: a file that the thread reads itself, or bytes that were loaded for it. */
export interface PackRange {
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
  readonly path?: string;
  readonly bytes?: Uint8Array;
}

/** What a restored path gets besides its content. */
export interface RestoredMetadata {
  readonly path: RawName;
  /** Permission bits with setuid, setgid and sticky; undefined for symlinks. */
  readonly mode: number | undefined;
  readonly uid: number;
  readonly gid: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly attributes: readonly { readonly name: string; readonly value: Uint8Array }[];
}

export interface RestoredFile extends RestoredMetadata {
  readonly size: number;
  readonly chunks: number;
}

/** Where the content of a blob goes: the number of a file in the request, and the position in it. */
export interface BlobTarget {
  readonly file: number;
  readonly position: number;
}

export interface ComparedFile {
  readonly path: RawName;
  readonly chunks: readonly { readonly id: string; readonly length: number }[];
}

/** A blob as it was sealed for its new pack; or why it could not be, and then it has no bytes. */
export interface MovedBlob {
  readonly length: number;
  readonly uncompressedLength: number;
  readonly problem?: string;
}

export type UnpackRequest =
  /** Write blobs into files. Files of one chunk are finished at once, the others by `finish`. */
  | {
      readonly kind: 'write';
      readonly ranges: readonly { readonly range: PackRange; readonly blobs: readonly PackedBlob[]; readonly targets: readonly (readonly BlobTarget[])[] }[];
      readonly files: readonly RestoredFile[];
    }
  /** Give files their length, owner, mode, attributes and times. */
  | { readonly kind: 'finish'; readonly files: readonly RestoredFile[] }
  /** Put the plaintext of blobs, one behind the other, into shared memory that is large enough. */
  | { readonly kind: 'open'; readonly range: PackRange; readonly blobs: readonly PackedBlob[]; readonly into: SharedArrayBuffer }
  /** Read files of this host and compare their contents with the hashes of their chunks. */
  | { readonly kind: 'compare'; readonly files: readonly ComparedFile[] }
  /** Read a whole pack and compare everything in it with its id, its header and the index; `lost` answers which blobs cannot be read. */
  | { readonly kind: 'verify'; readonly range: PackRange; readonly indexed: readonly PackedBlob[] }
  /** Know that blobs are whole; each that is not is a problem, whose subject is its id. */
  | { readonly kind: 'prove'; readonly range: PackRange; readonly blobs: readonly PackedBlob[] }
  /** Put blobs into shared memory from byte `at` on, sealed for another pack; see move-blobs.ts. */
  | { readonly kind: 'move'; readonly range: PackRange; readonly blobs: readonly PackedBlob[]; readonly into: SharedArrayBuffer; readonly at: number; readonly compression: Compression | undefined };

export type UnpackAnswer =
  | { readonly kind: 'done'; readonly bytes: number; readonly problems: readonly Problem[]; readonly moved?: readonly MovedBlob[]; readonly lost?: readonly number[] }
  | { readonly kind: 'error'; readonly code: string; readonly message: string; readonly hint?: string | undefined };
