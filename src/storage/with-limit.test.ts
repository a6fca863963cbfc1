import { describe, expect, it } from 'vitest';
import { FakeTime } from './fixture/fake-time.ts';
import { LocalStorage } from './local.ts';
import { MemoryStorage } from './memory.ts';
import type { Call, Storage, StoredFile } from './storage.ts';
import { storageSuite } from './suite.ts';
import { withLimit, type StorageLimit } from './with-limit.ts';
import { withRetry } from './with-retry.ts';

const pack = { kind: 'pack', id: 'ab'.repeat(32) } as const;
const named = (i: number): StoredFile => ({ kind: 'pack', id: i.toString(16).padStart(64, '0') });
const MB = 1_000_000;

function limited(limit: StorageLimit, inner: Storage = new MemoryStorage()): { readonly storage: Storage; readonly time: FakeTime } {
  const time = new FakeTime();
  return { time, storage: withLimit(inner, limit, time, time.sleep) };
}

storageSuite('with limits', () => Promise.resolve(limited({ up: 10 * MB, down: 10 * MB, requests: 100 }).storage), { bulky: false });

describe('a storage with limits', () => {
  it('sends and fetches no faster than it may, after a burst of one second', async () => {
    const { storage, time } = limited({ up: MB, down: 2 * MB });
    await storage.save(pack, Buffer.alloc(MB));
    expect(time.elapsedMs()).toBeCloseTo(0);
    await storage.save(pack, Buffer.alloc(10 * MB));
    expect(time.elapsedMs()).toBeCloseTo(10_000, -1);
    await storage.load(pack);
    expect(time.elapsedMs()).toBeCloseTo(14_000, -1);
  });

  it('saves up no more than a second while nothing passes', async () => {
    const { storage, time } = limited({ up: MB });
    await time.sleep(100_000);
    await storage.save(pack, Buffer.alloc(11 * MB));
    expect(time.elapsedMs()).toBeCloseTo(110_000, -1);
  });

  it('lets calls take turns', async () => {
    const { storage, time } = limited({ up: MB });
    const ends = await Promise.all([5, 5, 1].map(async (size, i) => (await storage.save(named(i), Buffer.alloc(size * MB)), time.elapsedMs())));
    // 1 MB of 11 is free. The small one gets a third of the way until it is done: it does not wait for the large ones.
    expect(ends[2]).toBeLessThan(2600);
    expect(ends.slice(0, 2).map((ms) => Math.round(ms / 1000))).toEqual([10, 10]);
  });

  it('makes so many requests a second', async () => {
    const { storage, time } = limited({ requests: 4 });
    for (let i = 0; i < 12; i++) await storage.size(pack);
    expect(time.elapsedMs()).toBeCloseTo(2000, -1);
    const slow = limited({ requests: 0.5 });
    for (let i = 0; i < 3; i++) await slow.storage.size(pack);
    expect(slow.time.elapsedMs()).toBeCloseTo(4000, -1);
  });

  it('holds adapters back that do not tell of bytes', async () => {
    const inner: Storage = Object.assign(new MemoryStorage(), { save: () => Promise.resolve(), load: () => Promise.resolve(Buffer.alloc(3 * MB)) });
    const { storage, time } = limited({ up: MB, down: MB }, inner);
    await storage.save(pack, Buffer.alloc(3 * MB));
    expect(time.elapsedMs()).toBeCloseTo(2000, -1);
    await storage.load(pack);
    expect(time.elapsedMs()).toBeCloseTo(4000, -1);
  });

  it('counts what is read back, and no more', async () => {
    const reading: Storage = Object.assign(new MemoryStorage(), { holds: async (_file: StoredFile, bytes: Uint8Array, call?: Call) => (await call?.moved?.(bytes.length), true) });
    const knowing: Storage = Object.assign(new MemoryStorage(), { holds: () => Promise.resolve(true) });
    for (const [inner, ms] of [[reading, 2000], [knowing, 0]] as const) {
      const { storage, time } = limited({ down: MB }, inner);
      await storage.holds?.(pack, Buffer.alloc(3 * MB));
      expect(time.elapsedMs()).toBeCloseTo(ms, -1);
    }
  });

  it('is not passed by with a path', () => {
    expect(new LocalStorage('/nowhere').localPath).toBeDefined();
    expect(limited({ up: 1 }, new LocalStorage('/nowhere')).storage.localPath).toBeUndefined();
  });

  it('gives up waiting when the call is given up', async () => {
    const { storage } = limited({ up: 1 });
    const abort = new AbortController();
    const saving = storage.save(pack, Buffer.alloc(MB), { signal: abort.signal });
    setImmediate(() => abort.abort(new Error('stopped')));
    await expect(saving).rejects.toThrow('stopped');
    expect(await storage.size(pack)).toBeUndefined();
  });

  it('is not taken for one that stands still, however slow', async () => {
    const time = new FakeTime();
    const inner = withLimit(new MemoryStorage(), { up: 100 }, time, time.sleep);
    const storage = withRetry(inner, time, { random: () => 1, sleep: time.sleep });
    await Promise.all([0, 1, 2].map((i) => storage.save(named(i), Buffer.alloc(50_000))));
    expect(time.elapsedMs()).toBeCloseTo(1_499_000, -2);
    expect(await inner.size(named(2))).toBe(50_000);
  });
});
