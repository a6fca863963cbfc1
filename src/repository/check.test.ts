import { describe, expect, it } from 'vitest';
import { MemoryStorage } from '../storage/memory.ts';
import { saveDocument } from './core.ts';
import { checkAll, filledRepository, idsOf, noise, type Filled } from './fixture/filled.ts';
import { encodeIndex, encodeIndexedPack } from './format/index-file.ts';
import { loadIndex } from './index-loader.ts';

const first = { 'one.bin': noise('one', 700_000), 'both.bin': noise('both', 900_000) };
const second = { 'both.bin': noise('both', 900_000), 'two.bin': noise('two', 800_000) };

const filled = (): Promise<Filled> => filledRepository(new MemoryStorage(), first, second);

/** What is lost of each snapshot that is hit, oldest first. */
async function hit(place: Filled): Promise<readonly (readonly string[])[]> {
  return (await checkAll(await place.open())).affected.map(({ paths }) => paths);
}

describe('check', () => {
  it('names no restore point where nothing is wrong', async () => {
    expect(await hit(await filled())).toEqual([]);
  });

  it('names every restore point that a missing pack hits, with the files that are lost', async () => {
    const place = await filled();
    const sizes = new Map((await Promise.all((await idsOf(place.storage, 'pack')).map(async (id) => [id, (await place.storage.size({ kind: 'pack', id })) ?? 0] as const))).map(([id, size]) => [size, id]));
    const [small, large] = [...sizes.keys()].filter((size) => size > 100_000).toSorted((a, b) => a - b);
    // The larger pack is of the first backup: both snapshots need what is in it.
    await place.storage.remove({ kind: 'pack', id: sizes.get(large ?? 0) ?? '' });
    expect(await hit(place)).toEqual([['/data/both.bin', '/data/one.bin'], ['/data/both.bin']]);
    await place.storage.remove({ kind: 'pack', id: sizes.get(small ?? 0) ?? '' });
    expect(await hit(place)).toEqual([['/data/both.bin', '/data/one.bin'], ['/data/both.bin', '/data/two.bin']]);
  });

  it('names folders whose listing is lost, and goes on with the other snapshots', async () => {
    const place = await filled();
    const [older] = await (await place.open()).snapshots();
    const location = (await loadIndex(await place.core())).locate(older?.tree ?? '', 'tree');
    await place.storage.remove({ kind: 'pack', id: location?.pack ?? '' });
    const report = await checkAll(await place.open());
    expect(report.affected).toMatchObject([{ id: older?.id, paths: ['/'], count: 1 }]);
    expect(report.snapshots).toBe(2);
  });

  it('finds a damaged snapshot and looks at the others all the same', async () => {
    const place = await filled();
    const [older, newer] = await (await place.open()).snapshots();
    const bytes = await place.storage.load({ kind: 'snapshot', id: older?.id ?? '' });
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    await place.storage.save({ kind: 'snapshot', id: older?.id ?? '' }, bytes);
    const tree = (await loadIndex(await place.core())).locate(newer?.tree ?? '', 'tree');
    await place.storage.remove({ kind: 'pack', id: tree?.pack ?? '' });
    const report = await checkAll(await place.open());
    expect(report.errors.map(({ subject }) => subject)).toEqual(expect.arrayContaining(['snapshots', `pack ${tree?.pack}`]));
    expect(report.affected).toMatchObject([{ id: newer?.id }]);
  });

  it('knows that a blob is not lost while another pack has it', async () => {
    const place = await filled();
    const core = await place.core();
    const index = await loadIndex(core);
    const pack = index.packs[0] ?? '';
    const bytes = await place.storage.load({ kind: 'pack', id: pack });
    const copy = { id: 'ab'.repeat(32), blobs: Array.from(index.entriesByPack().of(index.numberOfPack(pack)), (number) => index.blob(number)) };
    await place.storage.save({ kind: 'pack', id: copy.id }, bytes);
    await saveDocument(core, 'index', encodeIndex([encodeIndexedPack(copy)]));
    await place.storage.remove({ kind: 'pack', id: pack });
    const report = await checkAll(await place.open(), 'none');
    expect(report.errors).toMatchObject([{ subject: `pack ${pack}`, kind: 'vanished' }]);
    expect(report.affected).toEqual([]);
  });
});
