import { expect, it } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { Secret } from '../../base/secret.ts';
import { createRepository, type Repository } from '../../repository/repository.ts';
import { MemoryStorage } from '../../storage/memory.ts';
import { readWal } from './read.ts';
import { WalStore, type FlushRequest } from './store.ts';

const SEGMENT = 1 << 20;
const server = { systemId: '7', version: '15.1', segmentBytes: SEGMENT };

interface Stored {
  readonly repository: Repository;
  readonly storage: MemoryStorage;
  open(): WalStore;
}

async function emptyStore(): Promise<Stored> {
  const storage = new MemoryStorage();
  const repository = await createRepository(storage, new Secret('x'), systemClock);
  const context = { clock: systemClock, signal: new AbortController().signal, emit: () => undefined };
  return { repository, storage, open: () => new WalStore({ repository, stack: 's', store: 'db', tier: 'important', server }, context) };
}

/** Log of segment `number`, of which so many bytes have come. */
function part(number: number, bytes = SEGMENT): FlushRequest {
  const received = { timeline: 1, start: BigInt(number * SEGMENT), bytes: Buffer.alloc(bytes, number), whole: bytes === SEGMENT };
  return { segments: [{ received, ended: undefined }], histories: new Map(), covered: undefined };
}

async function packsOf(storage: MemoryStorage): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { id } of storage.list('pack')) ids.push(id);
  return ids;
}

const files = async (repository: Repository): Promise<readonly string[]> => (await readWal(repository, 's', 'db')).newest?.segments.map(({ file, endLsn, startLsn }) => `${file} ${endLsn - startLsn}`) ?? [];

it('a segment grows, becomes whole, and each snapshot holds all that the one before it held', async () => {
  const { repository, open } = await emptyStore();
  const store = open();
  await store.flush(part(3));
  await store.flush(part(4, 100));
  expect(await files(repository)).toEqual(['000000010000000000000003 1048576', '000000010000000000000004.partial 100']);
  await store.flush(part(4, 5000));
  await store.flush(part(4));
  expect(await files(repository)).toEqual(['000000010000000000000003 1048576', '000000010000000000000004 1048576']);
  const wal = await readWal(repository, 's', 'db');
  expect(wal.sources).toHaveLength(1);
  const [first] = wal.newest?.segments ?? [];
  expect(first && (await wal.segment(first)).equals(Buffer.alloc(SEGMENT, 3))).toBe(true);
});

it('when nothing has come only a snapshot is written, which says that it was quiet', async () => {
  const { repository, storage, open } = await emptyStore();
  const store = open();
  await store.flush(part(3, 100));
  const packs = await packsOf(storage);
  const quiet = await store.flush({ segments: [], histories: new Map(), covered: { timeline: 1, lsn: '0/300064', atUs: '5000000' } });
  expect(quiet.added).toBe(0);
  expect(await packsOf(storage)).toEqual(packs);
  expect((await readWal(repository, 's', 'db')).newest?.coverage).toEqual([{ timeline: 1, lsn: '0/300064', atUs: '5000000' }]);
});

it('a run that follows goes on in the same window, and removes what an earlier one has left behind', async () => {
  const { repository, open } = await emptyStore();
  const first = open();
  await first.flush(part(3));
  await first.flush(part(4, 100));
  await first.flush(part(4, 200));
  const wal = await readWal(repository, 's', 'db');
  const [source] = wal.sources;
  if (!source) return expect.unreachable();
  const second = open();
  second.resume(source.stored, source.manifest);
  second.tidyLater(await repository.snapshots());
  await second.flush(part(4));
  expect(await repository.snapshots()).toHaveLength(1);
  expect(await files(repository)).toEqual(['000000010000000000000003 1048576', '000000010000000000000004 1048576']);
});

it('each window has the histories of all timelines', async () => {
  const { repository, open } = await emptyStore();
  const store = open();
  const segments = Array.from({ length: 64 }, (_, number) => part(number).segments).flat();
  await store.flush({ segments, histories: new Map([[2, Buffer.from('1\t0/100\tno reason\n')]]), covered: undefined });
  await store.flush(part(64));
  const wal = await readWal(repository, 's', 'db');
  expect(wal.sources.map(({ manifest }) => [manifest.segments.length, manifest.histories])).toEqual([[64, ['00000002.history']], [1, ['00000002.history']]]);
  expect(String(await wal.history('7', 2))).toBe('1\t0/100\tno reason\n');
});
