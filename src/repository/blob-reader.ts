/** Reads single blobs on the main thread: trees, and small things for people. Every blob is authenticated and its hash compared. */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import type { BlobIndex, BlobLocation } from './blob-index.ts';
import { sha256, type Core } from './core.ts';
import type { BlobType } from './format/pack-header.ts';
import { parseTree, type TreeNode } from './format/tree.ts';
import { Decompressor } from './format/zstd.ts';
import type { Call, Range } from '../storage/storage.ts';
import type { Cipher } from './format/cipher.ts';

/** The plaintext of a sealed blob; throws `repository-damaged` naming blob and pack. The result may be a view that the next call overwrites. */
export function openBlob(cipher: Cipher, decompressor: Decompressor, id: string, location: BlobLocation, sealed: Uint8Array): Buffer {
  try {
    const body = cipher.open(sealed);
    const plain = location.uncompressedLength > 0 ? decompressor.decompress(body, location.uncompressedLength) : body;
    if (sha256(plain) !== id) throw new Error('its hash differs');
    return plain;
  } catch (error) {
    throw new HoldfastError('repository-damaged', `blob ${id.slice(0, 10)} in pack ${location.pack.slice(0, 10)} is damaged: ${messageOf(error)}`, {
      hint: 'Run `holdfast check --read-data` to see how far the damage goes; other snapshots may be whole.', cause: error,
    });
  }
}

/** Bytes that are fetched around a blob: trees that are read one after the other lie side by side in their packs. */
const WINDOW = 1 << 20;
const WINDOWS = 4;

interface Window {
  readonly pack: string;
  readonly offset: number;
  readonly bytes: Buffer;
}

export class BlobReader {
  readonly #windows: Window[] = [];
  readonly #core: Core;
  readonly #index: BlobIndex;
  readonly #decompressor = new Decompressor();

  constructor(core: Core, index: BlobIndex) {
    this.#core = core;
    this.#index = index;
  }

  /** The content of a blob, in memory of its own. */
  async read(id: string, type: BlobType): Promise<Buffer> {
    const location = this.#index.locate(id, type);
    if (!location) {
      throw new HoldfastError('repository-damaged', `${type} blob ${id.slice(0, 10)} is in no index of ${this.#core.storage.location}, or in a pack that is missing`, {
        hint: 'Run `holdfast check` to see which snapshots need it.',
      });
    }
    const sealed = await this.#sealed(location, type);
    try {
      return this.#open(id, location, sealed);
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged')) throw error;
      // Read once more, past windows and cache: it may have been changed on its way only.
      this.#windows.length = 0;
      return this.#open(id, location, await this.#core.storage.load({ kind: 'pack', id: location.pack }, { offset: location.offset, length: location.length }, { keep: false }));
    }
  }

  #open(id: string, location: BlobLocation, sealed: Uint8Array): Buffer {
    return Buffer.from(openBlob(this.#core.cipher, this.#decompressor, id, location, sealed));
  }

  async #sealed({ pack, offset, length }: BlobLocation, type: BlobType): Promise<Buffer> {
    const holds = (window: Window): boolean =>
      window.pack === pack && window.offset <= offset && window.offset + window.bytes.length >= offset + length;
    const window = this.#windows.find(holds) ?? (await this.#fetch(pack, { offset, length }, { keep: type === 'tree' }));
    return window.bytes.subarray(offset - window.offset, offset - window.offset + length);
  }

  async #fetch(pack: string, { offset, length }: Range, call: Call): Promise<Window> {
    const file = { kind: 'pack', id: pack } as const;
    const size = await this.#core.storage.size(file, call);
    if (size === undefined) throw new HoldfastError('repository-damaged', `pack ${pack.slice(0, 10)} is missing in ${this.#core.storage.location}`, { hint: 'Run `holdfast check` to see which snapshots are affected; others may be whole.' });
    const wanted = Math.max(length, Math.min(WINDOW, size - offset));
    const window = { pack, offset, bytes: await this.#core.storage.load(file, { offset, length: wanted }, call) };
    this.#windows.unshift(window);
    this.#windows.splice(WINDOWS);
    return window;
  }

  async tree(id: string): Promise<readonly TreeNode[]> {
    const bytes = await this.read(id, 'tree');
    try {
      return parseTree(bytes);
    } catch (error) {
      throw new HoldfastError('repository-damaged', `tree ${id.slice(0, 10)} is not understood: ${messageOf(error)}`, { cause: error });
    }
  }
}
