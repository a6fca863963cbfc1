import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { faulty, type Choice, type FaultyStorage } from '../storage/faulty.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Call, Storage, StoredFile } from '../storage/storage.ts';
import type { Context } from './context.ts';
import { probeStorage, validateStorage, type StorageReport } from './validate-storage.ts';

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-validate-'));
afterAll(async () => await fs.rm(scratch, { recursive: true, force: true }));

const KINDS = ['config', 'key', 'snapshot', 'index', 'lock', 'pack', 'proof'] as const;

function context(emit: Context['emit'] = () => undefined, signal = new AbortController().signal): Context {
  return { clock: systemClock, signal, emit };
}

async function names(storage: Storage): Promise<readonly string[]> {
  const found: string[] = [];
  for (const kind of KINDS) for await (const { id } of storage.list(kind)) found.push(`${kind} ${id.slice(0, 4)}`);
  return found;
}

/** A repository's worth of files that are not the probes'. */
async function inUse(): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  for (const kind of KINDS) await storage.save({ kind, id: kind === 'config' ? '' : 'ab'.repeat(32) }, Buffer.from(`the only ${kind}`));
  return storage;
}

const denied = (what: string): HoldfastError => new HoldfastError('storage-denied', `these credentials may not ${what}`);

/** Refuses to remove, and to overwrite if told so. */
function refusing(storage: MemoryStorage, refused: { readonly overwrite: boolean }): Storage {
  return Object.assign(storage, {
    remove: () => Promise.reject(denied('remove')),
    async save(file: StoredFile, bytes: Uint8Array, call?: Call): Promise<void> {
      if (refused.overwrite && (await storage.size(file)) !== undefined) throw denied('overwrite');
      await MemoryStorage.prototype.save.call(storage, file, bytes, call);
    },
  });
}

/** With so little room that what writes much is left out. */
function small<T extends Storage>(storage: T): T {
  return Object.assign(storage, { freeBytes: () => Promise.resolve(1_000_000) });
}

const resultOf = (report: StorageReport, name: RegExp): string | undefined => report.probes.find((probe) => name.test(probe.name))?.result;

describe('storage validate', () => {
  it('finds a storage sound that is, says that it is not append-only, and leaves nothing behind', async () => {
    const storage = new MemoryStorage();
    const report = await probeStorage(storage, false, context());
    expect(report).toMatchObject({ kept: true, left: [], facts: { canRemove: true, canOverwrite: true, appendOnly: false, conditionalWrites: true } });
    expect(report.probes.filter(({ result }) => result !== 'ok').map(({ name }) => name)).toEqual(['keeps files from being changed and removed']);
    expect(report.verdict.join(' ')).toMatch(/keeps everything.*Not append-only.*can remove and overwrite every backup/);
    expect(await names(storage)).toEqual([]);
  });

  it('writes packs only into a repository in use, and leaves every file in it as it was', async () => {
    const inner = await inUse();
    const storage = small(faulty(inner));
    const before = await names(inner);
    const report = await probeStorage(storage, true, context());
    expect(report).toMatchObject({ kept: true, repository: true, left: [] });
    expect(await names(inner)).toEqual(before);
    for (const kind of KINDS) expect((await inner.load({ kind, id: kind === 'config' ? '' : 'ab'.repeat(32) })).toString()).toBe(`the only ${kind}`);
    const touched = storage.faults.calls.filter(({ call, file }) => (call === 'save' || call === 'remove') && (file.kind !== 'pack' || file.id === 'ab'.repeat(32)));
    expect(touched).toEqual([]);
  });

  it.each([1, 5, 9, 14])('removes what it has made when it is stopped (at step %i)', async (step) => {
    const storage = await inUse();
    const before = await names(storage);
    const abort = new AbortController();
    let steps = 0;
    const stop = (): void => {
      // In the middle of the probe that begins now.
      if (++steps === step) setTimeout(() => abort.abort(new HoldfastError('interrupted', 'stopped')), 3);
    };
    await expect(probeStorage(slowly(storage), true, context(stop, abort.signal))).rejects.toMatchObject({ code: 'interrupted' });
    expect(await names(storage)).toEqual(before);
  });

  it('opens the storage of a repository by its place, and makes the folders of an empty one', async () => {
    const place = { name: 'new', place: { kind: 'local', path: path.join(scratch, 'new') }, password: { from: 'env', name: 'NONE' }, cache: true } as const;
    const report = await validateStorage(place, context());
    expect(report.probes.filter(({ result }) => result === 'failed')).toEqual([]);
    expect(report).toMatchObject({ kept: true, repository: false, left: [], location: path.join(scratch, 'new') });
    expect(report.facts.freeBytes).toBeGreaterThan(0);
    const files = await fs.readdir(path.join(scratch, 'new'), { recursive: true, withFileTypes: true });
    expect(files.filter((entry) => entry.isFile())).toEqual([]);
  });
});

/** Lets other things happen between two calls. */
function slowly(storage: Storage): FaultyStorage {
  return faulty(storage, () => ({ kind: 'delay', ms: 1 }));
}

describe('who could tamper with it', () => {
  it('nobody, where files can neither be removed nor overwritten; then little is written, and what stays is named', async () => {
    const storage = refusing(await inUse(), { overwrite: true });
    const report = await probeStorage(storage, true, context());
    expect(report.probes.filter(({ result }) => result === 'failed')).toEqual([]);
    expect(report).toMatchObject({ kept: true, facts: { appendOnly: true, canRemove: false, canOverwrite: false } });
    expect(report.verdict.join(' ')).toMatch(/Append-only: somebody who gets hold of this host and its credentials can add/);
    expect([/65 MiB/, /1,050/, /carries bytes/].map((name) => resultOf(report, name))).toEqual(['left out', 'left out', 'left out']);
    expect(report.left.length).toBeGreaterThan(5);
    expect(new Set(report.left.map(({ kind }) => kind))).toEqual(new Set(['pack']));
  });

  it('nobody, of a place that is still empty; then it stays free of all that would be taken for a repository', async () => {
    const storage = refusing(new MemoryStorage(), { overwrite: true });
    const report = await probeStorage(storage, false, context());
    expect(report).toMatchObject({ kept: true, facts: { appendOnly: true } });
    expect((await names(storage)).filter((name) => !name.startsWith('pack'))).toEqual([]);
  });

  it('somebody, where files can be overwritten; the changed file gets its content back', async () => {
    const inner = await inUse();
    const report = await probeStorage(refusing(inner, { overwrite: false }), true, context());
    expect(report.facts).toMatchObject({ appendOnly: false, canRemove: false, canOverwrite: true });
    expect(report.verdict.join(' ')).toMatch(/can overwrite every backup/);
    const { createHash } = await import('node:crypto');
    for (const file of report.left) if (!file.id.startsWith('abab')) expect(createHash('sha256').update(await inner.load(file)).digest('hex')).toBe(file.id);
  });

  it('nobody before an object lock ends, and it says when that is', async () => {
    const memory = new MemoryStorage();
    const until = new Date(systemClock.now().getTime() + 30 * 86_400_000);
    const storage: Storage = Object.assign(memory, {
      keepDays: 30,
      keptUntil: () => Promise.resolve(until),
      remove: (file: StoredFile) => Promise.reject(new HoldfastError('storage-kept', `${file.id} is kept`)),
    });
    const report = await probeStorage(storage, true, context());
    expect(report.facts).toMatchObject({ canRemove: false, keptUntil: until.toISOString() });
    expect(resultOf(report, /locks what is stored/)).toBe('ok');
    expect(report.verdict.join(' ')).toContain(`before ${until.toISOString()}`);
    expect(report.verdict.join(' ')).toMatch(/nobody.*can remove.*could store something else over it/);
  });
});

describe('a storage that breaks the contract', () => {
  it.each<[string, Choice, RegExp]>([
    ['turns bits', (call) => (call === 'load' ? { kind: 'flip' } : undefined), /gives back what was stored/],
    ['answers short', (call) => (call === 'load' ? { kind: 'short' } : undefined), /gives any part of a file/],
    ['loses files from listings', (call) => (call === 'list' ? { kind: 'short' } : undefined), /and lists it, at once/],
  ])('because it %s is found out', async (_, choice, name) => {
    const report = await probeStorage(small(faulty(new MemoryStorage(), choice)), false, context());
    expect(report.kept).toBe(false);
    expect(resultOf(report, name)).toBe('failed');
    expect(report.verdict[0]).toMatch(/do not trust backups to it/);
  });

  it('because it shows what is half written is found out', async () => {
    const memory = new MemoryStorage();
    const storage: Storage = Object.assign(memory, {
      async save(file: StoredFile, bytes: Uint8Array): Promise<void> {
        await MemoryStorage.prototype.save.call(memory, file, bytes.subarray(0, bytes.length / 2));
        await new Promise((resolve) => setTimeout(resolve, 5));
        await MemoryStorage.prototype.save.call(memory, file, bytes);
      },
    });
    expect(resultOf(await probeStorage(small(storage), true, context()), /shows nothing of a file until it is whole/)).toBe('failed');
  });

  it('because it pages its listings wrongly is found out', async () => {
    const memory = new MemoryStorage();
    const storage: Storage = Object.assign(memory, {
      async *list(kind: 'pack') {
        let n = 0;
        for await (const file of MemoryStorage.prototype.list.call(memory, kind)) if (++n <= 1000) yield file;
      },
    });
    expect(resultOf(await probeStorage(storage, true, context()), /1,050/)).toBe('failed');
  });
});
