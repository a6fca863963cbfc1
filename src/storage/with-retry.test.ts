import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { faulty, fromCall, onCall, type FaultyStorage } from './faulty.ts';
import { FakeTime } from './fixture/fake-time.ts';
import { MemoryStorage } from './memory.ts';
import type { Call, Storage } from './storage.ts';
import { storageSuite } from './suite.ts';
import { withRetry, type RetryOptions } from './with-retry.ts';

const pack = { kind: 'pack', id: 'ab'.repeat(32) } as const;
const BYTES = Buffer.from('0123456789');
const busy = new HoldfastError('storage-failed', 'the storage is slow to answer (503)', { transient: true });

function retrying(storage: Storage, options: Partial<RetryOptions> = {}): { readonly storage: Storage; readonly time: FakeTime; readonly said: readonly string[] } {
  const time = new FakeTime();
  const said: string[] = [];
  return { time, said, storage: withRetry(storage, time, { random: () => 1, sleep: time.sleep, waiting: (sentence) => said.push(sentence), ...options }) };
}

async function listed(storage: Storage): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { id } of storage.list('pack')) ids.push(id);
  return ids;
}

const ids = Array.from({ length: 20 }, (_, i) => i.toString(16).padStart(64, '0'));

async function filled(): Promise<FaultyStorage> {
  const memory = new MemoryStorage();
  for (const id of ids) await memory.save({ kind: 'pack', id }, BYTES);
  return faulty(memory);
}

storageSuite('with retries', () => {
  // Every third call fails once.
  const storage = faulty(new MemoryStorage(), (_call, _file, n) => (n % 3 === 0 ? { kind: 'fail', error: busy } : undefined));
  return Promise.resolve(retrying(storage).storage);
}, { bulky: false });

describe('a storage with retries', () => {
  it('tries again with longer and longer pauses, and tells of those that can be noticed', async () => {
    const inner = faulty(new MemoryStorage(), (_call, _file, n) => (n <= 4 ? { kind: 'fail', error: busy } : undefined));
    const { storage, time, said } = retrying(inner, { stallMs: Infinity });
    await storage.save(pack, BYTES);
    expect(time.sleeps).toEqual([500, 1000, 2000, 4000]);
    expect(said).toEqual([1, 2, 4].map((s) => `the storage is slow to answer (503); trying again in ${s} s`));
    expect(await inner.size(pack)).toBe(10);
  });

  it('throws permanent errors at once, as they are', async () => {
    const denied = new HoldfastError('storage-denied', 'no');
    const inner = faulty(new MemoryStorage(), () => ({ kind: 'fail', error: denied }));
    await expect(retrying(inner).storage.load(pack)).rejects.toBe(denied);
    await expect(retrying(new MemoryStorage()).storage.load(pack)).rejects.toMatchObject({ code: 'file-missing' });
    expect(inner.faults.calls).toHaveLength(1);
  });

  it('gives up after a quarter of an hour, and says how often it tried', async () => {
    const inner = faulty(new MemoryStorage(), () => ({ kind: 'fail', error: busy }));
    const { storage, time } = retrying(inner);
    const giving = storage.size(pack);
    await expect(giving).rejects.toMatchObject({ code: 'storage-failed', transient: true, hint: expect.stringMatching(/reachable/) });
    await expect(giving).rejects.toThrow('the storage is slow to answer (503) (tried 35 times in 15 minutes)');
    expect(time.elapsedMs()).toBeLessThanOrEqual(15 * 60_000);
    expect(inner.faults.calls).toHaveLength(35);
  });

  it('tries three times at least, however long each takes', async () => {
    const time = new FakeTime();
    const inner: Storage = Object.assign(new MemoryStorage(), { size: async (): Promise<never> => (await time.sleep(20 * 60_000), Promise.reject(busy)) });
    const storage = withRetry(inner, time, { random: () => 1, sleep: time.sleep, stallMs: Infinity });
    await expect(storage.size(pack)).rejects.toThrow('tried 3 times in 40 minutes');
  });

  it('waits between nothing and the longest pause, as chance has it', async () => {
    const inner = faulty(new MemoryStorage(), (_call, _file, n) => (n <= 2 ? { kind: 'fail', error: busy } : undefined));
    const numbers = [0, 0.25];
    const { storage, time } = retrying(inner, { random: () => numbers.shift() ?? 1, stallMs: Infinity });
    await storage.save(pack, BYTES);
    expect(time.sleeps).toEqual([0, 250]);
  });
});

describe('a call that stands still', () => {
  it('is given up after a minute and made again', async () => {
    const inner = faulty(new MemoryStorage(), onCall(1, { kind: 'stall' }));
    const { storage, time } = retrying(inner);
    await storage.save(pack, BYTES);
    expect(time.elapsedMs()).toBe(60_500);
    expect(inner.faults.count('save')).toBe(2);
  });

  it('is given up even when the adapter does not listen', async () => {
    const deaf: Storage = Object.assign(new MemoryStorage(), { size: () => new Promise<number>(() => undefined) });
    const { storage, time } = retrying(deaf, { totalMs: 100_000 });
    await expect(storage.size(pack)).rejects.toThrow('memory has not answered and no bytes have moved for 60 s (tried 3 times');
    expect(time.elapsedMs()).toBeLessThan(200_000);
  });

  it('is left alone for as long as its bytes move, or whoever limits them holds them back', async () => {
    const time = new FakeTime();
    const slow: Storage = Object.assign(new MemoryStorage(), {
      async load(_file: unknown, _range: unknown, call?: Call): Promise<Buffer> {
        for (let piece = 0; piece < 100; piece++) {
          await time.sleep(59_000);
          await call?.moved?.(1);
        }
        return BYTES;
      },
    });
    const storage = withRetry(slow, time, { random: () => 1, sleep: time.sleep });
    let told = 0;
    expect(await storage.load(pack, undefined, { moved: (bytes) => ((told += bytes), undefined) })).toBe(BYTES);
    expect([told, time.elapsedMs()]).toEqual([100, 5_900_000]);
  });

  it('in a listing is noticed between two files, but not while the caller takes its time', async () => {
    const inner = await filled();
    const { storage, time } = retrying(inner);
    let count = 0;
    for await (const _ of storage.list('pack')) {
      count++;
      await time.sleep(70_000);
    }
    expect([count, inner.faults.count('list')]).toEqual([20, 1]);
    inner.faults.choose(onCall(2, { kind: 'stall' }));
    expect(await listed(storage)).toEqual(ids);
    expect(inner.faults.count('list')).toBe(3);
  });
});

describe('a call whose answer was lost', () => {
  const lost = { kind: 'fail', error: busy, after: true } as const;

  it('is repeated without harm', async () => {
    const inner = faulty(new MemoryStorage(), (_call, _file, n) => (n % 2 === 1 ? lost : undefined));
    const { storage } = retrying(inner);
    await storage.save(pack, BYTES);
    await storage.remove(pack);
    expect(await storage.size(pack)).toBeUndefined();
  });

  it('is well when an append-only storage refuses the second save of the same', async () => {
    const kept = { kind: 'fail', error: new HoldfastError('storage-kept', 'it is there already') } as const;
    const inner = faulty(new MemoryStorage(), (call, _file, n) => (n === 1 ? lost : call === 'save' ? kept : undefined));
    await retrying(inner).storage.save(pack, BYTES);
    expect((await inner.load(pack)).equals(BYTES)).toBe(true);
  });

  it('is not well when something else lies there', async () => {
    const memory = new MemoryStorage();
    const config = { kind: 'config', id: '' } as const;
    await memory.save(config, Buffer.from('9876543210'));
    const kept = { kind: 'fail', error: new HoldfastError('storage-kept', 'it is there already') } as const;
    const inner = faulty(memory, (call, _file, n) => (n === 1 ? { kind: 'fail', error: busy } : call === 'save' ? kept : undefined));
    await expect(retrying(inner).storage.save(config, BYTES)).rejects.toMatchObject({ code: 'storage-kept' });
  });
});

describe('a listing that breaks', () => {
  it('begins again and answers no file twice', async () => {
    const inner = await filled();
    inner.faults.choose((_call, _file, n) => (n <= 3 ? { kind: 'fail', error: busy, after: true } : undefined));
    expect(await listed(retrying(inner).storage)).toEqual(ids);
  });

  it('is ended when the caller has seen enough', async () => {
    let ended = false;
    const memory = new MemoryStorage();
    const inner: Storage = Object.assign(memory, {
      async *list() {
        try {
          for (const id of ids) yield await Promise.resolve({ id, size: 1 });
        } finally {
          ended = true;
        }
      },
    });
    for await (const { id } of retrying(inner).storage.list('pack')) if (id === ids[3]) break;
    expect(ended).toBe(true);
  });
});

describe('an operation that is stopped', () => {
  it('ends pauses and calls at once, and still leaves all in order', async () => {
    const abort = new AbortController();
    const inner = faulty(new MemoryStorage(), fromCall(1, { kind: 'fail', error: busy }));
    const { storage } = retrying(inner, { signal: abort.signal, waiting: () => abort.abort(new HoldfastError('interrupted', 'stopped')) });
    await expect(storage.save(pack, BYTES)).rejects.toMatchObject({ code: 'interrupted' });
    inner.faults.choose(undefined);
    await storage.remove(pack);
    inner.faults.choose(() => ({ kind: 'fail', error: busy }));
    const before = inner.faults.calls.length;
    await expect(storage.remove(pack)).rejects.toBe(busy);
    expect(inner.faults.calls).toHaveLength(before + 1);
  });

  it('does not lose sight of a lock that is being written', async () => {
    const abort = new AbortController();
    const inner = faulty(new MemoryStorage(), () => ({ kind: 'delay', ms: 10 }));
    const { storage } = retrying(inner, { signal: abort.signal, stallMs: Infinity });
    const saving = storage.save({ ...pack, kind: 'lock' }, BYTES);
    abort.abort(new Error('stopped'));
    await saving;
    expect(await storage.size({ ...pack, kind: 'lock' })).toBe(10);
  });

  it.each(['of the storage', 'of the call'])('gives up a call that stands still (signal %s)', async (whose) => {
    const abort = new AbortController();
    const inner = faulty(new MemoryStorage(), () => ({ kind: 'stall' }));
    const { storage } = retrying(inner, whose === 'of the storage' ? { signal: abort.signal, stallMs: Infinity } : { stallMs: Infinity });
    const saving = storage.save(pack, BYTES, whose === 'of the call' ? { signal: abort.signal } : undefined);
    setImmediate(() => abort.abort(new Error('stopped')));
    await expect(saving).rejects.toThrow('stopped');
    expect(inner.faults.calls).toHaveLength(1);
  });
});
