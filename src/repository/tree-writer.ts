/** Stores trees: packs tree blobs on the main thread, since they are few and small next to the data. */
import type { Core } from './core.ts';
import { sha256 } from './core.ts';
import type { BlobIndex } from './blob-index.ts';
import { encodeIndexedPack } from './format/index-file.ts';
import { encodeTree } from './format/tree.ts';
import { PACK_BUFFER_BYTES, Packer } from './packer.ts';
import type { FilledPack } from './pipeline/pipeline.ts';

export class TreeWriter {
  readonly #index: BlobIndex;
  readonly #packer: Packer;
  readonly #store: (pack: FilledPack) => Promise<void>;
  readonly #saved = new Set<string>();
  /** New tree blobs, and their bytes before compression. */
  count = 0;
  bytes = 0;

  constructor(core: Core, index: BlobIndex, store: (pack: FilledPack) => Promise<void>) {
    this.#index = index;
    this.#store = store;
    this.#packer = new Packer('tree', core.cipher, 'auto', Buffer.allocUnsafeSlow(PACK_BUFFER_BYTES), 'grow');
  }

  /** Stores the tree of these nodes, in byte order of their names, unless the repository has it; answers its id. */
  async save(nodes: readonly string[]): Promise<string> {
    const blob = encodeTree(nodes);
    const id = sha256(blob);
    if (this.#saved.has(id) || this.#index.has(id, 'tree')) return id;
    this.#saved.add(id);
    this.count++;
    this.bytes += blob.length;
    if (this.#packer.add(id, blob)) await this.flush();
    return id;
  }

  /** Stores what has been gathered. */
  async flush(): Promise<void> {
    if (this.#packer.isEmpty) return;
    const pack = this.#packer.finish(Buffer.allocUnsafeSlow(PACK_BUFFER_BYTES));
    await this.#store({
      id: pack.id, bytes: pack.bytes, indexEntry: encodeIndexedPack(pack), blobs: pack.blobs.length, plainBytes: pack.plainBytes, keep: true,
    });
  }
}
