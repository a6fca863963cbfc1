import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../base/clock.ts';
import { faulty, type FaultyStorage } from './faulty.ts';
import { MemoryStorage } from './memory.ts';
import type { FileKind, Storage, StoredFile } from './storage.ts';
import { storageSuite } from './suite.ts';
import { withCache } from './with-cache.ts';

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-cache-'));
afterAll(async () => await fs.rm(scratch, { recursive: true, force: true }));

let next = 0;
const newFolder = (): string => path.join(scratch, String(next++));
const KEEP = { keep: true } as const;

function named(kind: FileKind, bytes: Uint8Array): StoredFile {
  return { kind, id: createHash('sha256').update(bytes).digest('hex') };
}

interface Cached {
  readonly inner: FaultyStorage;
  readonly folder: string;
  readonly storage: Storage;
  /** Another process with the same cache. */
  again(clock?: Clock): Storage;
  /** How often the storage itself was asked for content. */
  loads(): number;
}

function cached(): Cached {
  const inner = faulty(new MemoryStorage());
  const folder = newFolder();
  return { inner, folder, storage: withCache(inner, folder, systemClock), again: (clock = systemClock) => withCache(inner, folder, clock), loads: () => inner.faults.count('load') };
}

/** A pack, an index and a snapshot that only the storage has. */
async function filled(): Promise<Cached & { readonly pack: StoredFile; readonly bytes: Buffer; readonly index: StoredFile }> {
  const all = cached();
  const bytes = randomBytes(100_000);
  const [pack, index] = [named('pack', bytes), named('index', bytes)];
  for (const file of [pack, index]) await all.inner.save(file, bytes);
  return { ...all, pack, bytes, index };
}

async function count(storage: Storage, kind: FileKind): Promise<number> {
  let n = 0;
  for await (const _ of storage.list(kind)) n++;
  return n;
}

storageSuite('with a cache', () => Promise.resolve(withCache(new MemoryStorage(), newFolder(), systemClock)), { bulky: false });

describe('a storage with a cache', () => {
  it('fetches indexes and the packs that are to be kept once, also for the next process', async () => {
    const { storage, again, pack, index, bytes, loads } = await filled();
    for (const each of [storage, storage, again()]) {
      expect((await each.load(pack, { offset: 500, length: 1000 }, KEEP)).equals(bytes.subarray(500, 1500))).toBe(true);
      expect((await each.load(index)).equals(bytes)).toBe(true);
    }
    expect(loads()).toBe(2);
  });

  it('leaves packs of data, locks and keys alone', async () => {
    const { storage, inner, pack, bytes, folder } = await filled();
    for (const kind of ['lock', 'key'] as const) await storage.save(named(kind, bytes), bytes);
    for (let i = 0; i < 2; i++) {
      await storage.load(pack, { offset: 0, length: 10 });
      for (const kind of ['lock', 'key'] as const) await storage.load(named(kind, bytes));
    }
    expect(inner.faults.count('load')).toBe(6);
    await expect(fs.readdir(folder)).rejects.toThrow('ENOENT');
  });

  it('keeps what is saved once the storage has it, and not when it refuses it', async () => {
    const { storage, inner, loads } = cached();
    const [one, two] = [randomBytes(10), randomBytes(10)];
    await storage.save(named('snapshot', one), one);
    expect((await storage.load(named('snapshot', one))).equals(one)).toBe(true);
    expect(loads()).toBe(0);
    inner.faults.choose(() => ({ kind: 'fail' }));
    await expect(storage.save(named('snapshot', two), two)).rejects.toThrow();
    inner.faults.choose(undefined);
    await expect(storage.load(named('snapshot', two))).rejects.toMatchObject({ code: 'file-missing' });
  });

  it('asks the storage itself when what was written is read back', async () => {
    const { storage, loads } = cached();
    const bytes = randomBytes(10);
    await storage.save(named('snapshot', bytes), bytes);
    await storage.load(named('snapshot', bytes), undefined, { keep: false });
    expect(loads()).toBe(1);
  });

  it('fetches a pack once for all who read it at the same time', async () => {
    const { storage, pack, bytes, loads } = await filled();
    const pieces = await Promise.all(Array.from({ length: 20 }, (_, i) => storage.load(pack, { offset: i * 10, length: 10 }, KEEP)));
    expect(Buffer.concat(pieces).equals(bytes.subarray(0, 200))).toBe(true);
    expect(loads()).toBe(1);
  });

  it('does not let the others fail when the one who fetches gives up', async () => {
    const { storage, inner, pack, bytes } = await filled();
    inner.faults.choose((call) => (call === 'load' && inner.faults.count('load') === 0 ? { kind: 'stall' } : undefined));
    const abort = new AbortController();
    const first = storage.load(pack, undefined, { keep: true, signal: abort.signal });
    const second = storage.load(pack, { offset: 0, length: 10 }, KEEP);
    setTimeout(() => abort.abort(new Error('given up')), 20);
    await expect(first).rejects.toThrow('given up');
    expect((await second).equals(bytes.subarray(0, 10))).toBe(true);
  });

  it('gives the errors of the storage for what is missing or cut short', async () => {
    const { storage, pack } = await filled();
    await expect(storage.load(named('pack', Buffer.from('none')), { offset: 0, length: 1 }, KEEP)).rejects.toMatchObject({ code: 'file-missing' });
    await expect(storage.load(pack, { offset: 99_999, length: 2 }, KEEP)).rejects.toMatchObject({ code: 'repository-damaged' });
    await storage.load(pack, undefined, KEEP);
    await expect(storage.load(pack, { offset: 99_999, length: 2 }, KEEP)).rejects.toMatchObject({ code: 'repository-damaged' });
  });
});

describe('a cached file', () => {
  it.each(['cut short', 'changed', 'emptied'])('that was %s is dropped and fetched again', async (how) => {
    const { storage, again, pack, index, bytes, folder, loads } = await filled();
    for (const file of [pack, index]) await storage.load(file, undefined, KEEP);
    for (const place of [path.join(folder, 'data', pack.id), path.join(folder, 'index', index.id)]) {
      if (how === 'changed') await fs.writeFile(place, Buffer.concat([Buffer.from('x'), bytes.subarray(1)]));
      else await fs.truncate(place, how === 'emptied' ? 0 : 5000);
    }
    const other = again();
    expect((await other.load(pack, { offset: 0, length: 6000 }, KEEP)).equals(bytes.subarray(0, 6000))).toBe(true);
    expect((await other.load(index)).equals(bytes)).toBe(true);
    expect(loads()).toBe(4);
    await other.load(pack, { offset: 0, length: 6000 }, KEEP);
    expect(loads()).toBe(4);
  });

  it('that the storage has no more is dropped by the next listing, and by removing it', async () => {
    const { storage, inner, pack, index, folder } = await filled();
    for (const file of [pack, index]) await storage.load(file, undefined, KEEP);
    expect(await count(storage, 'pack')).toBe(1);
    expect(await fs.readdir(path.join(folder, 'data'))).toEqual([pack.id]);
    await inner.remove(pack);
    expect(await count(storage, 'pack')).toBe(0);
    expect(await fs.readdir(path.join(folder, 'data'))).toEqual([]);
    await storage.remove(index);
    expect(await fs.readdir(path.join(folder, 'index'))).toEqual([]);
  });

  it('stays when a listing breaks', async () => {
    const { storage, inner, index, folder } = await filled();
    await storage.load(index);
    inner.faults.choose(() => ({ kind: 'fail', after: true }));
    await expect(count(storage, 'index')).rejects.toThrow();
    expect(await fs.readdir(path.join(folder, 'index'))).toEqual([index.id]);
  });

  it('is not made of what is damaged in the storage', async () => {
    const { storage, inner, pack, bytes, folder } = await filled();
    inner.faults.corrupt(pack.id, 3);
    for (let i = 0; i < 3; i++) expect((await storage.load(pack, { offset: 0, length: 10 }, KEEP)).equals(bytes.subarray(0, 10))).toBe(false);
    await expect(fs.readdir(path.join(folder, 'data'))).rejects.toThrow('ENOENT');
    // The whole once, then only what was asked for.
    expect(inner.faults.count('size')).toBe(1);
  });
});

describe('the folder of a cache', () => {
  it('can be read by nobody else', async () => {
    const { storage, index, folder } = await filled();
    await fs.mkdir(folder, { mode: 0o755 });
    await storage.load(index);
    for (const place of [folder, path.join(folder, 'index')]) expect((await fs.stat(place)).mode & 0o777).toBe(0o700);
    expect((await fs.stat(path.join(folder, 'index', index.id))).mode & 0o777).toBe(0o600);
    expect(await fs.readFile(path.join(folder, 'CACHEDIR.TAG'), 'utf8')).toMatch(/^Signature: 8a477f597d28d172789f06886806bc55\n/);
  });

  it('that cannot be made or written is no reason to fail', async () => {
    const { inner, pack, index, bytes } = await filled();
    const file = newFolder();
    await fs.writeFile(file, 'in the way');
    const storage = withCache(inner, path.join(file, 'below'), systemClock);
    for (let i = 0; i < 2; i++) {
      expect((await storage.load(index)).equals(bytes)).toBe(true);
      expect((await storage.load(pack, { offset: 0, length: 10 }, KEEP)).equals(bytes.subarray(0, 10))).toBe(true);
    }
    await storage.save(named('snapshot', bytes), bytes);
    expect(await count(storage, 'index')).toBe(1);
  });

  it('loses packs that were not used for a month, and the longest unused beyond its size', async () => {
    const inner = new MemoryStorage();
    const folder = newFolder();
    const packs = Array.from({ length: 5 }, () => randomBytes(100_000));
    for (const bytes of packs) await inner.save(named('pack', bytes), bytes);
    const day = 86_400_000;
    const start = systemClock.now().getTime();
    const at = (ms: number): Clock => ({ ...systemClock, now: () => new Date(start + ms) });
    // Each time a process of its own, which looks at the bounds with its first pack; the second read is a use.
    const use = async (bytes: Buffer | undefined, ms: number): Promise<void> => {
      for (let i = 0; i < 2; i++) await withCache(inner, folder, at(ms), { bytes: 350_000 }).load(named('pack', bytes ?? Buffer.alloc(0)), undefined, KEEP);
    };
    const here = async (): Promise<readonly number[]> => {
      const names = await fs.readdir(path.join(folder, 'data'));
      return packs.flatMap((bytes, i) => (names.includes(named('pack', bytes).id) ? [i] : []));
    };
    for (const [i, bytes] of packs.slice(0, 4).entries()) await use(bytes, -10 * day + i * day);
    expect(await here()).toEqual([1, 2, 3]);
    await use(packs[1], 25 * day);
    await use(packs[4], 26 * day);
    expect(await here()).toEqual([1, 4]);
  });
});
