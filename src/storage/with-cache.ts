/**
 * Keeps on this host what is read again and again: indexes, snapshots, and the packs of trees. The storage stays the truth: what
 * there is comes from its listings, everything is stored there first, and `keep: false` asks it itself.
 */
import { hash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { abilitiesOf } from './abilities.ts';
import { CacheFolder, type CacheBounds } from './cache-folder.ts';
import type { Call, FileKind, ListedStoredFile, Range, Storage, StoredFile } from './storage.ts';

const KEPT: readonly FileKind[] = ['index', 'snapshot'];
/** Packs above this are read in ranges, as they are asked for: the whole would not fit into memory well. */
const MOST_PACK_BYTES = 32 * 1024 ** 2;

/** The packs of a part of this folder are dropped again by `bounds`; indexes and snapshots only when the storage has them no more. */
export function withCache(storage: Storage, folder: string, clock: Clock, bounds?: Partial<CacheBounds>): Storage {
  const cache = new Cache(storage, new CacheFolder(folder, clock, bounds));
  return {
    ...abilitiesOf(storage),
    location: storage.location,
    save: (file, bytes, call) => cache.save(file, bytes, call),
    load: (file, range, call) => cache.load(file, range, call),
    list: (kind, call) => cache.list(kind, call),
    size: (file, call) => cache.size(file, call),
    remove: (file, call) => cache.remove(file, call),
  };
}

class Cache {
  readonly #storage: Storage;
  readonly #folder: CacheFolder;
  /** Packs on their way: all who need one wait for the same. */
  readonly #fetching = new Map<string, Promise<Buffer>>();
  /** Packs that could not be kept: damaged ones, or there is no room. They are not fetched whole for every range. */
  readonly #unkept = new Set<string>();

  constructor(storage: Storage, folder: CacheFolder) {
    this.#storage = storage;
    this.#folder = folder;
  }

  async save(file: StoredFile, bytes: Uint8Array, call: Call | undefined): Promise<void> {
    await this.#storage.save(file, bytes, call);
    if (isKept(file, call)) await this.#folder.write(file, bytes);
  }

  async load(file: StoredFile, range: Range | undefined, call: Call | undefined): Promise<Buffer> {
    if (!isKept(file, call)) return await this.#storage.load(file, range, call);
    const here = await this.#folder.read(file, range);
    if (here) return here;
    return file.kind === 'pack' ? await this.#loadPack(file, range, call) : await this.#loadDocument(file, range, call);
  }

  async #loadDocument(file: StoredFile, range: Range | undefined, call: Call | undefined): Promise<Buffer> {
    const bytes = await this.#storage.load(file, range, call);
    if (!range) await this.#keep(file, bytes);
    return bytes;
  }

  async #loadPack(file: StoredFile, range: Range | undefined, call: Call | undefined): Promise<Buffer> {
    const bytes = await this.#wholePack(file, call);
    if (!bytes || (range && range.offset + range.length > bytes.length)) return await this.#storage.load(file, range, call);
    return range ? bytes.subarray(range.offset, range.offset + range.length) : bytes;
  }

  /** Fetched once for all who ask at the same time; undefined when it cannot be kept, or when another who fetched it failed or gave up. */
  async #wholePack(file: StoredFile, call: Call | undefined): Promise<Buffer | undefined> {
    if (this.#unkept.has(file.id) || !(await this.#folder.canWrite())) return undefined;
    const size = this.#fetching.has(file.id) ? undefined : await this.#storage.size(file, call);
    // Somebody may have begun while the size was asked for.
    const under = this.#fetching.get(file.id);
    if (under) return await under.catch(() => undefined);
    if (size === undefined || size > MOST_PACK_BYTES) return undefined;
    return await this.#fetch(file, call);
  }

  async #fetch(file: StoredFile, call: Call | undefined): Promise<Buffer> {
    const fetching = this.#storage.load(file, undefined, call);
    this.#fetching.set(file.id, fetching);
    try {
      const bytes = await fetching;
      await this.#keep(file, bytes);
      if (this.#folder.sizeOf(file) === undefined) this.#unkept.add(file.id);
      return bytes;
    } finally {
      this.#fetching.delete(file.id);
    }
  }

  /** What is damaged in the storage is given to those who asked, who will notice, and is not kept. */
  async #keep(file: StoredFile, bytes: Buffer): Promise<void> {
    if (hash('sha256', bytes, 'hex') === file.id) await this.#folder.write(file, bytes);
  }

  async *list(kind: FileKind, call: Call | undefined): AsyncIterable<ListedStoredFile> {
    if (!KEPT.includes(kind) && kind !== 'pack') return yield* this.#storage.list(kind, call);
    // Looked at before the listing: what another process stores and keeps meanwhile is not taken for gone.
    const here = await this.#folder.ids(kind);
    for await (const file of this.#storage.list(kind, call)) {
      here.delete(file.id);
      yield file;
    }
    // Only a listing that has come to its end says what is gone.
    for (const id of here) await this.#folder.drop({ kind, id });
  }

  async size(file: StoredFile, call: Call | undefined): Promise<number | undefined> {
    if (call?.keep === true && file.kind === 'pack') {
      // Who asks so is about to read it; a pack that is here is looked through now and not then.
      const size = this.#folder.sizeOf(file) ?? (await this.#folder.read(file))?.length;
      if (size !== undefined) return size;
    }
    return await this.#storage.size(file, call);
  }

  async remove(file: StoredFile, call: Call | undefined): Promise<void> {
    await this.#storage.remove(file, call);
    if (KEPT.includes(file.kind) || file.kind === 'pack') await this.#folder.drop(file);
  }
}

function isKept(file: StoredFile, call: Call | undefined): boolean {
  if (call?.keep === false) return false;
  return KEPT.includes(file.kind) || (file.kind === 'pack' && call?.keep === true);
}
