/**
 * The folder of a cache on this host: files by kind and id, each believed only after its bytes have given its name (their SHA-256)
 * once in this process. Nothing that goes wrong here is anybody's failure: what cannot be read is not there, what cannot be
 * written is not kept.
 */
import { hash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';
import { writeReplaceable } from '../base/file.ts';
import { folderOf, isId } from './layout.ts';
import type { FileKind, Range, StoredFile } from './storage.ts';

export interface CacheBounds {
  /** Bytes of packs. */
  readonly bytes: number;
  /** Packs that nobody has used for so long. */
  readonly unusedMs: number;
}

const BOUNDS: CacheBounds = { bytes: 2 * 1024 ** 3, unusedMs: 30 * 86_400_000 };
/** After so many bytes of new packs the bounds are looked at again. */
const TIDY_BYTES = 256 * 1024 ** 2;
/** What a process that died while writing has left. */
const LEFTOVER_MS = 86_400_000;
/** The mark by which backup programs know a cache: https://bford.info/cachedir/ */
const TAG = 'Signature: 8a477f597d28d172789f06886806bc55\n# The cache of a repository, kept by Holdfast. It may be removed at any time.\n';

export class CacheFolder {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #bounds: CacheBounds;
  /** Files whose bytes were hashed, and their sizes. */
  readonly #verified = new Map<string, number>();
  #writable: Promise<boolean> | undefined;
  #newBytes = TIDY_BYTES;

  constructor(folder: string, clock: Clock, bounds: Partial<CacheBounds> = {}) {
    this.#folder = folder;
    this.#clock = clock;
    this.#bounds = { ...BOUNDS, ...bounds };
  }

  /** The file or a range of it; undefined when it is not here, or not whole. */
  async read(file: StoredFile, range?: Range): Promise<Buffer | undefined> {
    const place = this.#path(file);
    try {
      if (this.#verified.has(place) && range) return await readRange(place, range);
      const bytes = await fs.readFile(place);
      if (hash('sha256', bytes, 'hex') !== file.id) {
        await this.drop(file);
        return undefined;
      }
      this.#verified.set(place, bytes.length);
      // The time of the last use, by which packs are dropped; the system may not keep one itself.
      if (file.kind === 'pack') await fs.utimes(place, this.#clock.now(), this.#clock.now()).catch(() => undefined);
      return range ? slice(bytes, range) : bytes;
    } catch {
      this.#verified.delete(place);
      return undefined;
    }
  }

  /** The bytes of a file that was read or written by this process. */
  sizeOf(file: StoredFile): number | undefined {
    return this.#verified.get(this.#path(file));
  }

  async canWrite(): Promise<boolean> {
    return await (this.#writable ??= this.#prepare());
  }

  async write(file: StoredFile, bytes: Uint8Array): Promise<void> {
    if (!(await this.canWrite())) return;
    const place = this.#path(file);
    try {
      await fs.mkdir(path.dirname(place), { recursive: true, mode: 0o700 });
      await writeReplaceable(place, bytes);
      this.#verified.set(place, bytes.length);
      if (file.kind === 'pack') await this.#wrote(bytes.length);
    } catch {
      // A full or failing disk: what is here is used, and nothing is added.
      this.#writable = Promise.resolve(false);
    }
  }

  async drop(file: StoredFile): Promise<void> {
    this.#verified.delete(this.#path(file));
    await fs.rm(this.#path(file), { force: true }).catch(() => undefined);
  }

  /** The ids that are here. */
  async ids(kind: FileKind): Promise<Set<string>> {
    try {
      return new Set((await fs.readdir(path.join(this.#folder, folderOf(kind) ?? ''))).filter(isId));
    } catch {
      return new Set();
    }
  }

  #path({ kind, id }: StoredFile): string {
    if (!isId(id)) throw new Error(`'${id}' is no id of a ${kind}`);
    return path.join(this.#folder, folderOf(kind) ?? '', id);
  }

  /** A folder that belongs to us and that nobody else can look into. */
  async #prepare(): Promise<boolean> {
    try {
      await fs.mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const { uid, mode } = await fs.stat(this.#folder);
      if (uid !== process.geteuid?.()) return false;
      if ((mode & 0o077) !== 0) await fs.chmod(this.#folder, 0o700);
      await fs.writeFile(path.join(this.#folder, 'CACHEDIR.TAG'), TAG, { flag: 'wx' }).catch((error: unknown) => {
        if (systemCode(error) !== 'EEXIST') throw error;
      });
      return true;
    } catch {
      return false;
    }
  }

  async #wrote(bytes: number): Promise<void> {
    this.#newBytes += bytes;
    if (this.#newBytes < TIDY_BYTES) return;
    this.#newBytes = 0;
    await this.#tidy();
  }

  /** Drops packs that were not used for long, and the longest unused of those that are too many. */
  async #tidy(): Promise<void> {
    const folder = path.join(this.#folder, folderOf('pack') ?? '');
    const now = this.#clock.now().getTime();
    const packs: { readonly place: string; readonly size: number; readonly usedMs: number }[] = [];
    for (const name of await fs.readdir(folder)) {
      const place = path.join(folder, name);
      const stats = await fs.stat(place).catch(() => undefined);
      if (!stats) continue;
      if (isId(name)) packs.push({ place, size: stats.size, usedMs: stats.mtimeMs });
      else if (now - stats.mtimeMs > LEFTOVER_MS) await fs.rm(place, { force: true });
    }
    let total = 0;
    for (const { place, size, usedMs } of packs.sort((a, b) => b.usedMs - a.usedMs)) {
      total += size;
      if (total <= this.#bounds.bytes && now - usedMs <= this.#bounds.unusedMs) continue;
      this.#verified.delete(place);
      await fs.rm(place, { force: true });
    }
  }
}

function slice(bytes: Buffer, { offset, length }: Range): Buffer | undefined {
  return offset + length <= bytes.length ? bytes.subarray(offset, offset + length) : undefined;
}

async function readRange(place: string, { offset, length }: Range): Promise<Buffer | undefined> {
  await using handle = await fs.open(place, 'r');
  const bytes = Buffer.allocUnsafe(length);
  const { bytesRead } = await handle.read(bytes, 0, length, offset);
  return bytesRead === length ? bytes : undefined;
}
