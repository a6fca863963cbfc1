import * as os from 'node:os';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Storage } from '../storage/storage.ts';
import { openCore, saveDocument, type Core } from './core.ts';
import { encodeDocument } from './format/documents.ts';
import { acquireLock } from './lock.ts';
import { createRepository } from './repository.ts';

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
