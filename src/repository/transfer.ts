/**
 * Moves chosen blobs into new packs of the same or of another repository. Packs are read in stretches of a few megabytes, in
 * order; every blob is decrypted, unpacked and hashed in a thread before it is trusted, then sealed for its new pack (copied as it
 * is when the key is the same). Trees and data never share a pack. New packs are read back and then named in an index file
 * (pack-store.ts), so dying anywhere leaves whole packs, which the next writer takes up; nothing old is touched here.
 *
 * Memory: four stretches of about 4 MiB and at most four packs of about 25 MiB, whatever is moved; a blob that is larger gets its own room.
 */
import type { Clock } from '../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { collectWhenGrown } from '../base/garbage.ts';
import type { BlobIndex } from './blob-index.ts';
import type { Compression } from './compress-blob.ts';
import type { Core } from './core.ts';
import type { SealKey } from './format/cipher.ts';
import { encodeIndexedPack, type IndexedPack } from './format/index-file.ts';
import type { BlobType, PackedBlob } from './format/pack-header.ts';
import { PACK_BUFFER_BYTES, Packer } from './packer.ts';
import { PackStore } from './pack-store.ts';
import { loadRange } from './unpack/load-range.ts';
import type { MovedBlob } from './unpack/messages.ts';
import { movedBound } from './unpack/move-blobs.ts';
import { UnpackerPool } from './unpack/unpacker-pool.ts';

/** Bytes of a pack that are read at once, and gaps between blobs that are cheaper to read over than to ask again for. */
const STRETCH_BYTES = 4 << 20;
const GAP_BYTES = 64 * 1024;
/** Stretches that are read or worked on while one is being packed. */
const AHEAD = 4;
/** Packs that are on their way to the storage while others fill. */
const STORING = 2;

/** A blob that could not be read as it was written. */
export interface UnreadableBlob {
  readonly pack: string;
  readonly blob: PackedBlob;
  /** `repository-damaged` when the stored bytes are wrong, `file-missing` when there is no such pack, `storage-failed` when the place did not give them. */
  readonly error: HoldfastError;
}

export interface TransferOptions {
  readonly from: Core;
  /** The same core, or that of another repository. Needs a lock there. */
  readonly to: Core;
  /** Which blobs of which packs, in this order; may be made lazily (`chosenPacks`). Nothing is looked up: what is there already is moved again. */
  readonly packs: Iterable<IndexedPack>;
  /** Compress anew; undefined keeps every blob as it is compressed. */
  readonly compression?: Compression | undefined;
  /** The index of `to`, when it should learn of what was moved. */
  readonly known?: BlobIndex | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Bytes (as sealed in the old packs) and blobs that are done since the last call. */
  progress(bytes: number, blobs: number): void;
  /** Hears of every blob that is lost, and the rest is moved. Without it the first one is thrown. */
  unreadable?(lost: UnreadableBlob): void;
}

export interface TransferReport {
  /** New packs, and blobs in them. */
  readonly packs: number;
  readonly blobs: number;
  /** Bytes of the new packs, and of their blobs before compression. */
  readonly packedBytes: number;
  readonly plainBytes: number;
  readonly unreadable: number;
}

interface Stretch {
  readonly pack: string;
  readonly blobs: readonly PackedBlob[];
  readonly into: SharedArrayBuffer;
}

interface Outcome extends Stretch {
  readonly moved: readonly (MovedBlob & { readonly error?: HoldfastError })[];
}

class TransferRun {
  readonly #options: TransferOptions;
  readonly #pool: UnpackerPool;
  readonly #packs: PackStore;
  readonly #packers: Readonly<Record<BlobType, Packer>>;
  readonly #free: SharedArrayBuffer[] = [];
  readonly #freePacks: Buffer[] = [];
  readonly #storing = new Set<Promise<void>>();
  #failure: unknown;
  #unreadable = 0;

  constructor(options: TransferOptions, pool: UnpackerPool) {
    this.#options = options;
    this.#pool = pool;
    this.#packs = new PackStore(options.to, options.clock, options.known);
    const { cipher } = options.to;
    // Room for trees is made when the first one comes.
    this.#packers = { data: new Packer('data', cipher, 'off', Buffer.alloc(0), 'grow'), tree: new Packer('tree', cipher, 'off', Buffer.alloc(0), 'grow') };
  }

  async run(): Promise<TransferReport> {
    const ahead: Promise<Outcome>[] = [];
    try {
      for (const { id, blobs } of this.#options.packs) {
        for (const stretch of stretchesOf(blobs, this.#options.compression)) {
          const next = ahead.length >= AHEAD ? ahead.shift() : undefined;
          if (next) await this.#pack(await next);
          const work = this.#read({ pack: id, blobs: stretch, into: this.#room(stretch) });
          // A later stretch may fail while an earlier one is still being waited for.
          work.catch(() => undefined);
          ahead.push(work);
        }
      }
      for (const work of ahead) await this.#pack(await work);
      for (const type of ['data', 'tree'] as const) await this.#finish(type);
      await Promise.all(this.#storing);
      this.#check();
      await this.#packs.writeIndex();
    } finally {
      await Promise.allSettled([...ahead, ...this.#storing]);
    }
    const { packs, blobs, packedBytes, plainBytes } = this.#packs;
    return { packs, blobs, packedBytes, plainBytes, unreadable: this.#unreadable };
  }

  #check(): void {
    this.#options.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
  }

  #room(blobs: readonly PackedBlob[]): SharedArrayBuffer {
    const needed = blobs.reduce((sum, blob) => sum + movedBound(blob, this.#options.compression), 0);
    return needed > STRETCH_BYTES ? new SharedArrayBuffer(needed) : (this.#free.pop() ?? new SharedArrayBuffer(STRETCH_BYTES));
  }

  /** Reads a stretch; when it cannot be read as a whole (a pack that was cut, a bad sector), each of its blobs alone. */
  async #read(stretch: Stretch): Promise<Outcome> {
    try {
      return { ...stretch, moved: await this.#request(stretch, stretch.blobs, 0) };
    } catch (error) {
      if (!isHoldfastError(error, 'repository-damaged', 'file-missing', 'storage-failed')) throw error;
    }
    const moved: Outcome['moved'][number][] = [];
    let at = 0;
    for (const blob of stretch.blobs) {
      const [one] = await this.#request(stretch, [blob], at).catch((error: unknown) => {
        if (!isHoldfastError(error, 'repository-damaged', 'file-missing', 'storage-failed')) throw error;
        return [{ length: 0, uncompressedLength: 0, problem: error.message, error }];
      });
      if (one) moved.push(one);
      at += one?.length ?? 0;
    }
    return { ...stretch, moved };
  }

  async #request({ pack, into }: Stretch, blobs: readonly PackedBlob[], at: number): Promise<readonly MovedBlob[]> {
    const { from, compression } = this.#options;
    const offset = blobs[0]?.offset ?? 0;
    const last = blobs.at(-1);
    const length = last ? last.offset + last.length - offset : 0;
    const done = await this.#pool.run(async () => {
      this.#check();
      return { kind: 'move', range: await loadRange(from, { pack, offset, length }), blobs, into, at, compression };
    });
    return done.moved ?? [];
  }

  /** Puts what the thread has made ready into packs. */
  async #pack({ pack, blobs, into, moved }: Outcome): Promise<void> {
    this.#check();
    let at = 0;
    let bytes = 0;
    for (const [i, blob] of blobs.entries()) {
      const { length, uncompressedLength, problem, error } = moved[i] ?? { length: 0, uncompressedLength: 0, problem: 'was not answered' };
      bytes += blob.length;
      if (problem !== undefined) {
        this.#lost({ pack, blob, error: error ?? new HoldfastError('repository-damaged', problem, { hint: 'Run `holdfast check --read-data` to see how far the damage goes.' }) });
        continue;
      }
      const sealed = new Uint8Array(into, at, length);
      at += length;
      if (this.#packer(blob.type).addSealed(blob.id, sealed, uncompressedLength)) await this.#finish(blob.type);
    }
    if (into.byteLength === STRETCH_BYTES) this.#free.push(into);
    this.#options.progress(bytes, blobs.length);
    collectWhenGrown();
  }

  #packer(type: BlobType): Packer {
    const packer = this.#packers[type];
    if (packer.isEmpty) packer.useBuffer(this.#freePacks.pop() ?? Buffer.allocUnsafeSlow(PACK_BUFFER_BYTES));
    return packer;
  }

  #lost(lost: UnreadableBlob): void {
    if (!this.#options.unreadable) throw lost.error;
    this.#unreadable++;
    this.#options.unreadable(lost);
  }

  /** Sends a pack on its way. */
  async #finish(type: BlobType): Promise<void> {
    const packer = this.#packers[type];
    if (packer.isEmpty) return;
    while (this.#storing.size >= STORING) await Promise.race(this.#storing);
    this.#check();
    const { id, bytes, blobs, plainBytes } = packer.finish(Buffer.alloc(0));
    const storing = this.#packs.store({ id, bytes, indexEntry: encodeIndexedPack({ id, blobs }), blobs: blobs.length, plainBytes }).then(
      () => void this.#freePacks.push(Buffer.from(bytes.buffer)),
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
    this.#storing.add(storing);
    void storing.finally(() => this.#storing.delete(storing));
  }
}

/** Neighbouring blobs together, as much as fits into one request. Pure. */
function stretchesOf(blobs: readonly PackedBlob[], compression: Compression | undefined): readonly (readonly PackedBlob[])[] {
  const stretches: PackedBlob[][] = [];
  let current: PackedBlob[] = [];
  let end = 0;
  let room = 0;
  for (const blob of [...blobs].sort((a, b) => a.offset - b.offset)) {
    const first = current[0];
    const bound = movedBound(blob, compression);
    const joins = first && blob.offset >= end && blob.offset - end <= GAP_BYTES && blob.offset + blob.length - first.offset <= STRETCH_BYTES && room + bound <= STRETCH_BYTES;
    if (joins) current.push(blob);
    else stretches.push((current = [blob]));
    room = joins ? room + bound : bound;
    end = blob.offset + blob.length;
  }
  return stretches;
}

function sameKey(a: SealKey, b: SealKey): boolean {
  return a.encrypt.equals(b.encrypt) && a.macK.equals(b.macK) && a.macR.equals(b.macR);
}

/** Moves blobs. Throws `repository-damaged`, `storage-full`, `storage-failed` and what else storages throw; see `unreadable`. */
export async function transfer(options: TransferOptions): Promise<TransferReport> {
  const { from, to } = options;
  await using pool = new UnpackerPool(from, sameKey(from.key, to.key) ? undefined : to.key);
  return await new TransferRun(options, pool).run();
}
