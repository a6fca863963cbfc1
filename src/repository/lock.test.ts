import * as os from 'node:os';
import { describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { faulty } from '../storage/faulty.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Storage } from '../storage/storage.ts';
import { openCore, saveDocument, sha256, type Core } from './core.ts';
import { idsOf } from './fixture/filled.ts';
import { encodeDocument } from './format/documents.ts';
import { acquireLock } from './lock.ts';
import { createRepository } from './repository.ts';
import { executeUnlock, planUnlock } from './unlock.ts';

const START = Date.UTC(2026, 10, 20, 12);

function clockAt(ms: number): Clock {
  return { now: () => new Date(ms), elapsedMs: () => ms };
}

async function fresh(): Promise<{ readonly core: Core; readonly storage: Storage }> {
  const storage = new MemoryStorage();
  await createRepository(storage, new Secret('x'), clockAt(START));
  return { core: await openCore(storage, new Secret('x')), storage };
}

async function locks(storage: Storage): Promise<number> {
  let count = 0;
  for await (const _ of storage.list('lock')) count++;
  return count;
}

async function foreignLock(core: Core, exclusive: boolean, at: number, hostname = 'elsewhere', pid = 1): Promise<void> {
  await saveDocument(core, 'lock', encodeDocument({ time: new Date(at).toISOString(), exclusive, hostname, username: 'somebody', pid }));
}

describe('a lock', () => {
  it('is there while it is held, and gone afterwards', async () => {
    const { core, storage } = await fresh();
    const lock = await acquireLock(core, { exclusive: false, clock: clockAt(START) });
    expect(await locks(storage)).toBe(1);
    await lock[Symbol.asyncDispose]();
    expect(await locks(storage)).toBe(0);
  });

  it('goes together with others, but not with an exclusive one', async () => {
    const { core } = await fresh();
    await foreignLock(core, false, START);
    await using _shared = await acquireLock(core, { exclusive: false, clock: clockAt(START) });
    await expect(acquireLock(core, { exclusive: true, clock: clockAt(START) })).rejects.toMatchObject({ code: 'repository-locked', exitCode: 11 });
  });

  it('is refused by an exclusive one, whose holder is named', async () => {
    const { core, storage } = await fresh();
    await foreignLock(core, true, START);
    await expect(acquireLock(core, { exclusive: false, clock: clockAt(START) })).rejects.toThrow('exclusively locked by somebody on elsewhere (process 1)');
    expect(await locks(storage)).toBe(1);
  });

  it('that was not refreshed for half an hour is passed over and removed', async () => {
    const { core, storage } = await fresh();
    await foreignLock(core, true, START);
    await using _lock = await acquireLock(core, { exclusive: false, clock: clockAt(START + 31 * 60_000) });
    expect(await locks(storage)).toBe(1);
  });

  it('of a process of this host that is gone is passed over', async () => {
    const { core } = await fresh();
    await foreignLock(core, true, START, os.hostname(), 2 ** 22 + 1);
    await using _lock = await acquireLock(core, { exclusive: true, clock: clockAt(START) });
  });
});

const MINUTE = 60_000;

/** A clock that the test sets: `elapse` while the host runs, `sleep` while it is suspended and only the wall clock goes on. */
class SetClock implements Clock {
  #wall = START;
  #elapsed = 0;

  now(): Date {
    return new Date(this.#wall);
  }

  elapsedMs(): number {
    return this.#elapsed;
  }

  elapse(ms: number): void {
    this.#wall += ms;
    this.#elapsed += ms;
  }

  sleep(ms: number): void {
    this.#wall += ms;
  }
}

const index = (core: Core): Promise<string> => saveDocument(core, 'index', `{"packs":[]}\n${' '.repeat(Math.floor(Math.random() * 1000))}`);

describe('a holder whose lock was silent for too long', () => {
  it('writes on when its lock is still there, under a fresh one', async () => {
    const { core, storage } = await fresh();
    const clock = new SetClock();
    await using _lock = await acquireLock(core, { exclusive: false, clock });
    const [before] = await idsOf(storage, 'lock');
    clock.elapse(22 * MINUTE);
    await index(core);
    expect(await idsOf(storage, 'lock')).toEqual([before]);
    clock.elapse(MINUTE);
    await index(core);
    const after = await idsOf(storage, 'lock');
    expect(after).toHaveLength(1);
    expect(after).not.toEqual([before]);
  });

  it.each(['elapse', 'sleep'] as const)('writes and removes nothing more once others have removed it: %s', async (passes) => {
    const { core, storage } = await fresh();
    const clock = new SetClock();
    await using _lock = await acquireLock(core, { exclusive: true, clock });
    const kept = await index(core);
    clock[passes](40 * MINUTE);
    // Another one comes, passes the stale lock over, and is done.
    await using _other = await acquireLock(await openCore(storage, new Secret('x')), { exclusive: true, clock });
    await expect(index(core)).rejects.toMatchObject({ code: 'lock-lost', exitCode: 11 });
    await expect(core.storage.remove({ kind: 'index', id: kept })).rejects.toThrow('was not refreshed for 40 minutes and others have removed it');
    clock.elapse(-39 * MINUTE);
    await expect(index(core)).rejects.toMatchObject({ code: 'lock-lost' });
    expect(await idsOf(storage, 'index')).toEqual([kept]);
  });

  it('writes nothing while its lock cannot be refreshed, and goes on when it can', async () => {
    const storage = new MemoryStorage();
    await createRepository(storage, new Secret('x'), clockAt(START));
    const broken = faulty(storage);
    const core = await openCore(broken, new Secret('x'));
    const clock = new SetClock();
    await using _lock = await acquireLock(core, { exclusive: false, clock });
    clock.elapse(23 * MINUTE);
    broken.faults.failOn('save', 1, { kind: 'lock' });
    await expect(index(core)).rejects.toMatchObject({ code: 'lock-lost' });
    await index(core);
  });

  it('is not hindered by a clock that is set back', async () => {
    const { core } = await fresh();
    const clock = new SetClock();
    await using _lock = await acquireLock(core, { exclusive: false, clock });
    clock.sleep(-600 * MINUTE);
    await index(core);
  });

  it('does not hinder what comes after it', async () => {
    const { core } = await fresh();
    const clock = new SetClock();
    const lock = await acquireLock(core, { exclusive: false, clock });
    clock.elapse(60 * MINUTE);
    await lock[Symbol.asyncDispose]();
    await index(core);
  });
});

describe('waiting for a lock', () => {
  it('gets it as soon as the other is done, and tells who holds it', async () => {
    const { core, storage } = await fresh();
    const other = await acquireLock(await openCore(storage, new Secret('x')), { exclusive: true, clock: systemClock });
    const told: string[] = [];
    const wait = { ms: 20_000, signal: new AbortController().signal, waiting: (error: Error) => {
      told.push(error.message);
      void other[Symbol.asyncDispose]();
    } };
    await using _lock = await acquireLock(core, { exclusive: true, clock: systemClock, wait });
    expect(told).toHaveLength(1);
    expect(told[0]).toContain('is exclusively locked by');
  });

  it('ends with the time, and with an interruption', async () => {
    const { core } = await fresh();
    await foreignLock(core, true, Date.now());
    const stop = new AbortController();
    const wait = { ms: 10, signal: stop.signal, waiting: () => undefined };
    await expect(acquireLock(core, { exclusive: false, clock: systemClock, wait })).rejects.toMatchObject({ code: 'repository-locked' });
    const stopped = { ...wait, ms: 60_000, waiting: () => stop.abort(new HoldfastError('interrupted', 'enough')) };
    await expect(acquireLock(core, { exclusive: false, clock: systemClock, wait: stopped })).rejects.toMatchObject({ code: 'interrupted' });
  });
});

describe('unlocking', () => {
  it('removes stale locks and leaves the others, which are named', async () => {
    const { core, storage } = await fresh();
    await foreignLock(core, true, START - 31 * MINUTE);
    await foreignLock(core, false, START - 5 * MINUTE, os.hostname(), 2 ** 22 + 1);
    await foreignLock(core, false, START - 5 * MINUTE);
    const plan = await planUnlock(core, clockAt(START), false);
    expect(plan.map(({ remove, reason }) => `${remove} ${reason}`).sort()).toEqual([
      'false its process is alive, or on another host', 'true no sign of life for 31 minutes', `true process ${2 ** 22 + 1} of this host is gone`,
    ]);
    expect(await executeUnlock(core, plan)).toMatchObject({ removed: [{}, {}], kept: [] });
    expect(await locks(storage)).toBe(1);
    const all = await planUnlock(core, clockAt(START), true);
    expect(all).toMatchObject([{ remove: true, text: expect.stringContaining('locked by somebody on elsewhere (process 1)') }]);
    await executeUnlock(core, all);
    expect(await locks(storage)).toBe(0);
  });

  it('removes a lock that cannot be read only with all the others', async () => {
    const { core, storage } = await fresh();
    const bytes = Buffer.from('no lock');
    await storage.save({ kind: 'lock', id: sha256(bytes) }, bytes);
    await expect(acquireLock(core, { exclusive: false, clock: clockAt(START) })).rejects.toMatchObject({ code: 'repository-damaged', hint: expect.stringContaining('unlock --all') });
    expect(await planUnlock(core, clockAt(START), false)).toMatchObject([{ remove: false, text: 'a lock that cannot be read' }]);
    await executeUnlock(core, await planUnlock(core, clockAt(START), true));
    expect(await locks(storage)).toBe(0);
  });

  it('says which ones it may not remove', async () => {
    const { core, storage } = await fresh();
    await foreignLock(core, true, START);
    const broken = faulty(storage);
    broken.faults.failOn('remove', 1, { error: new HoldfastError('storage-denied', 'append-only') });
    const through = await openCore(broken, new Secret('x'));
    expect(await executeUnlock(through, await planUnlock(through, clockAt(START), true))).toMatchObject({ removed: [], kept: [{}] });
  });
});
