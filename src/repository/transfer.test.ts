import { describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { faulty } from '../storage/faulty.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { BlobReader } from './blob-reader.ts';
import { sha256, type Core } from './core.ts';
import { chosenPacks, EntrySet } from './entry-set.ts';
import { emptyRepository, filledRepository, idsOf, noise } from './fixture/filled.ts';
import { encodeIndexedPack, type IndexedPack } from './format/index-file.ts';
import { loadIndex, readPackHeader } from './index-loader.ts';
import { PackStore } from './pack-store.ts';
import { Packer } from './packer.ts';
import { transfer, type TransferOptions, type TransferReport, type UnreadableBlob } from './transfer.ts';

const files = { 'large.bin': noise('large', 9_000_000), 'text.txt': Buffer.from('holdfast '.repeat(200_000)), 'small.txt': Buffer.from('hello') };

async function allPacks(core: Core): Promise<readonly IndexedPack[]> {
  const index = await loadIndex(core);
  const chosen = new EntrySet(index.count);
  for (let i = 0; i < index.count; i++) chosen.add(i);
  return [...chosenPacks(index, chosen)];
}

async function move(from: Core, to: Core, options: Partial<TransferOptions> = {}): Promise<TransferReport> {
  return await transfer({ from, to, packs: await allPacks(from), clock: systemClock, signal: new AbortController().signal, progress: () => undefined, ...options });
}

/** Every blob of `from` reads from `to` with the same bytes. */
async function expectSameBlobs(from: Core, to: Core): Promise<void> {
  const [there, here] = [new BlobReader(to, await loadIndex(to)), new BlobReader(from, await loadIndex(from))];
  for (const { blobs } of await allPacks(from)) for (const { id, type } of blobs) expect((await there.read(id, type)).equals(await here.read(id, type))).toBe(true);
}

async function expectPureAndNamed(core: Core): Promise<void> {
  const index = await loadIndex(core);
  for (const id of await idsOf(core.storage, 'pack')) {
    expect(index.packs).toContain(id);
    const blobs = await readPackHeader(core, id, (await core.storage.size({ kind: 'pack', id })) ?? 0);
    expect(new Set(blobs.map(({ type }) => type)).size).toBe(1);
  }
}

describe('moving blobs', () => {
  it('to a repository with another key gives the same blobs, compressed as they were', async () => {
    const [source, target] = [await filledRepository(new MemoryStorage(), files, { 'other.bin': noise('other', 12_000_000) }), await emptyRepository(new MemoryStorage())];
    const [from, to] = [await source.core(), await target.core()];
    let done = 0;
    const report = await move(from, to, { progress: (_, blobs) => (done += blobs) });
    const packs = await allPacks(from);
    expect(done).toBe(packs.flatMap(({ blobs }) => blobs).length);
    expect(report).toMatchObject({ blobs: done, unreadable: 0, packs: (await idsOf(target.storage, 'pack')).length });
    await expectSameBlobs(from, to);
    await expectPureAndNamed(to);
    const index = await loadIndex(to);
    for (const { blobs } of packs) for (const { id, type, length, uncompressedLength } of blobs) expect(index.locate(id, type)).toMatchObject({ length, uncompressedLength });
  });

  it.each(['off', 'auto', 'max'] as const)('compresses them anew where that is asked for: %s', async (compression) => {
    const [source, target] = [await filledRepository(new MemoryStorage(), files), await emptyRepository(new MemoryStorage())];
    const [from, to] = [await source.core(), await target.core()];
    await move(from, to, { compression });
    await expectSameBlobs(from, to);
    const index = await loadIndex(to);
    const packed = (await allPacks(to)).flatMap(({ blobs }) => blobs).filter((blob) => blob.type === 'data' && blob.uncompressedLength > 0);
    expect(packed.length > 0).toBe(compression !== 'off');
    expect(index.count).toBe((await loadIndex(from)).count);
  });

  it('within a repository copies the sealed bytes as they are', async () => {
    const source = await filledRepository(new MemoryStorage(), files);
    const core = await source.core();
    const before = await allPacks(core);
    await move(core, core);
    const index = await loadIndex(core);
    const old = new Set(before.map(({ id }) => id));
    for (const id of index.packs.filter((pack) => !old.has(pack))) {
      for (const blob of await readPackHeader(core, id, (await core.storage.size({ kind: 'pack', id })) ?? 0)) {
        const first = before.flatMap((pack) => pack.blobs.map((known) => ({ pack: pack.id, known }))).find(({ known }) => known.id === blob.id);
        if (!first) return expect.unreachable();
        const was = await core.storage.load({ kind: 'pack', id: first.pack }, { offset: first.known.offset, length: first.known.length });
        expect((await core.storage.load({ kind: 'pack', id }, { offset: blob.offset, length: blob.length })).equals(was)).toBe(true);
      }
    }
    expect(index.packs.length).toBeGreaterThan(before.length);
  });

  it('stops at the first blob that is damaged, and no index names anything', async () => {
    const [source, target] = [await filledRepository(new MemoryStorage(), files), await emptyRepository(new MemoryStorage())];
    const broken = faulty(source.storage);
    const from = await source.core(broken);
    const [pack] = (await allPacks(from)).filter(({ blobs }) => blobs.length > 2);
    broken.faults.corrupt(pack?.id ?? '', (pack?.blobs[1]?.offset ?? 0) + 20);
    await expect(move(from, await target.core())).rejects.toMatchObject({ code: 'repository-damaged' });
    expect(await idsOf(target.storage, 'index')).toEqual([]);
  });

  it('names what it lost and moves the rest, when the caller goes on', async () => {
    const [source, target] = [await filledRepository(new MemoryStorage(), files), await emptyRepository(new MemoryStorage())];
    const broken = faulty(source.storage);
    const from = await source.core(broken);
    const [pack] = (await allPacks(from)).filter(({ blobs }) => blobs.length > 2);
    const victim = pack?.blobs[1];
    if (!pack || !victim) return expect.unreachable();
    broken.faults.corrupt(pack.id, victim.offset + 20);
    const lost: UnreadableBlob[] = [];
    const report = await move(from, await target.core(), { unreadable: (blob) => lost.push(blob) });
    expect(lost).toMatchObject([{ pack: pack.id, blob: { id: victim.id }, error: { code: 'repository-damaged' } }]);
    expect(report).toMatchObject({ unreadable: 1, blobs: (await loadIndex(from)).count - 1 });
  });

  it('moves what lies before the cut of a pack, and names what lay behind it', async () => {
    const [source, target] = [await filledRepository(new MemoryStorage(), files), await emptyRepository(new MemoryStorage())];
    const from = await source.core();
    const packs = await allPacks(from);
    const [pack] = packs.filter(({ blobs }) => blobs.length > 2);
    const [, , third] = pack?.blobs ?? [];
    if (!pack || !third) return expect.unreachable();
    const bytes = await from.storage.load({ kind: 'pack', id: pack.id });
    await from.storage.save({ kind: 'pack', id: pack.id }, bytes.subarray(0, third.offset + 10));
    const lost: string[] = [];
    await move(from, await target.core(), { packs, unreadable: ({ blob }) => lost.push(blob.id) });
    expect(lost.sort()).toEqual(pack.blobs.slice(2).map(({ id }) => id).sort());
    await from.storage.remove({ kind: 'pack', id: pack.id });
    lost.length = 0;
    const again = await move(from, await (await emptyRepository(new MemoryStorage())).core(), { packs, unreadable: ({ blob, error }) => lost.push(`${blob.id} ${error.code}`) });
    expect(again.unreadable).toBe(pack.blobs.length);
    expect(lost.every((text) => text.endsWith('file-missing'))).toBe(true);
  });

  it('takes a blob that is larger than a pack', async () => {
    const [source, target] = [await emptyRepository(new MemoryStorage()), await emptyRepository(new MemoryStorage())];
    const [from, to] = [await source.core(), await target.core()];
    const huge = noise('huge', 30_000_000);
    const packer = new Packer('tree', from.cipher, 'auto', Buffer.alloc(0), 'grow');
    expect(packer.add(sha256(Buffer.from('[]')), Buffer.from('[]'))).toBe(false);
    expect(packer.add(sha256(huge), huge)).toBe(true);
    const { id, bytes, blobs, plainBytes } = packer.finish(Buffer.alloc(0));
    const packs = new PackStore(from, systemClock);
    await packs.store({ id, bytes, blobs: blobs.length, plainBytes, indexEntry: encodeIndexedPack({ id, blobs }) });
    await packs.writeIndex();
    expect(await move(from, to)).toMatchObject({ blobs: 2, plainBytes: huge.length + 2 });
    await expectSameBlobs(from, to);
  });

  it('leaves whole packs and nothing else when the target fails, whichever write is the first', async () => {
    const source = await filledRepository(new MemoryStorage(), files, { 'other.bin': noise('other', 18_000_000) });
    const from = await source.core();
    for (let nth = 1; ; nth++) {
      const target = await emptyRepository(new MemoryStorage());
      const broken = faulty(target.storage);
      broken.faults.failOn('save', nth);
      const outcome = await move(from, await target.core(broken)).then(() => 'finished', (error: unknown) => error);
      const to = await target.core();
      for (const id of await idsOf(target.storage, 'pack')) await readPackHeader(to, id, (await target.storage.size({ kind: 'pack', id })) ?? 0);
      if (outcome === 'finished') return expect(nth).toBeGreaterThan(4);
      expect(outcome).toMatchObject({ code: 'storage-failed' });
    }
  });

  it('ends when it is interrupted', async () => {
    const [source, target] = [await filledRepository(new MemoryStorage(), files), await emptyRepository(new MemoryStorage())];
    const abort = new AbortController();
    await expect(move(await source.core(), await target.core(), { signal: abort.signal, progress: () => abort.abort(new Error('enough')) })).rejects.toThrow('enough');
    expect(await idsOf(target.storage, 'index')).toEqual([]);
  });
});
