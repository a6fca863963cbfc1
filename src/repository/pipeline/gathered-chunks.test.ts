import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { Secret } from '../../base/secret.ts';
import { MemoryStorage } from '../../storage/memory.ts';
import type { EntryFeed, Metadata } from '../entry.ts';
import { folder } from '../fixture/memory-tree.ts';
import { createRepository, type Repository } from '../repository.ts';

const metadata = (mode: number): Metadata => ({ mode, uid: 0, gid: 0, mtimeNs: 0n, atimeNs: 0n, ctimeNs: 0n, inode: 0n, deviceId: 0n, links: 1, size: 0 });

const MB = 1 << 20;
/** Around the length of a chunk, and of so many small ones that several are gathered. */
const SIZES = [0, 1, MB - 1, MB, MB + 1, 5 * MB, 2 * MB, ...Array.from({ length: 700 }, (_, i) => i), 9 * MB + 17, 0];
const noise = Buffer.concat(Array.from({ length: (16 * MB) / 32 }, (_, i) => createHash('sha256').update(String(i)).digest()));
const contentOf = (number: number): Buffer => noise.subarray(number * 4099, number * 4099 + (SIZES[number] ?? 0));

async function feedAll(repository: Repository, write: (into: EntryFeed) => Promise<void>): Promise<Awaited<ReturnType<Repository['archive']>>> {
  return await repository.archive({
    root: folder('', [{ type: 'fed-dir', name: 'fed', metadata: metadata(0o040700), feed: write }]), parallel: 1, previousTree: undefined, closing: () => Promise.resolve([]),
    compression: 'off', signal: new AbortController().signal, problem: () => undefined, progress: () => undefined,
  });
}

test('files come back however fast they arrive, and a second time nothing is stored', async () => {
  const repository = await createRepository(new MemoryStorage(), new Secret('test'), systemClock);
  /** As from a socket: the rest of what was read goes on coming while the producer is asked to wait. */
  const hasty = async (into: EntryFeed): Promise<void> => {
    const waits: Promise<void>[] = [];
    for (const number of SIZES.keys()) {
      const file = into.open(String(number), metadata(0o100600), 'by-length');
      const bytes = contentOf(number);
      for (let at = 0; at < bytes.length; at += 65_521) waits.push(Promise.resolve(file.write(bytes.subarray(at, at + 65_521))));
      waits.push(Promise.resolve(file.end()));
    }
    await Promise.all(waits);
  };
  const patient = async (into: EntryFeed): Promise<void> => {
    for (const number of SIZES.keys()) {
      const file = into.open(String(number), metadata(0o100600), 'by-length');
      await file.write(contentOf(number));
      await file.end();
    }
  };
  const first = await feedAll(repository, hasty);
  const id = await repository.saveSnapshot({ at: new Date(0), parent: undefined, tree: first.tree, paths: ['/fed'], hostname: 'h', username: 'u', uid: 0, gid: 0, tags: [], program: 'test', archived: first });
  const snapshot = (await repository.snapshots()).find((one) => one.id === id);
  if (snapshot === undefined) throw new Error('the snapshot is not listed');
  await using opened = await repository.files(snapshot);
  for (const number of [0, 1, 2, 3, 4, 5, 6, 7, 300, 706, 707, 708]) expect((await opened.files.bytes(`/fed/${number}`)).equals(contentOf(number))).toBe(true);
  expect(await feedAll(repository, patient)).toMatchObject({ dataBlobs: 0, tree: first.tree });
}, 30_000);

test('one changed page of a large file is one chunk', async () => {
  const repository = await createRepository(new MemoryStorage(), new Secret('test'), systemClock);
  const bytes = Buffer.from(noise.subarray(0, 8 * MB));
  const write = async (into: EntryFeed): Promise<void> => {
    const file = into.open('table', metadata(0o100600), 'by-length');
    await file.write(bytes);
    await file.end();
  };
  expect((await feedAll(repository, write)).dataBlobs).toBe(8);
  bytes.fill(7, 3 * MB + 8192, 3 * MB + 16_384);
  expect(await feedAll(repository, write)).toMatchObject({ dataBlobs: 1 });
});
