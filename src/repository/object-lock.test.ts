import { expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Storage, StoredFile } from '../storage/storage.ts';
import { emptyRepository, noise, storeFiles } from './fixture/filled.ts';
import { describeKeeping, type KeepReport } from './object-lock.ts';

const DAY = 86_400_000;
const NOW = new Date('2026-11-21T00:00:00Z');
const signal = new AbortController().signal;

/** A memory whose files are locked for 30 days from NOW when they are saved. */
class KeepingStorage extends MemoryStorage implements Storage {
  readonly keepDays = 30;
  readonly until = new Map<string, Date>();
  refuses = false;

  override async save(file: StoredFile, bytes: Uint8Array): Promise<void> {
    await super.save(file, bytes);
    if (file.kind !== 'lock') this.until.set(file.id, new Date(NOW.getTime() + this.keepDays * DAY));
  }

  keptUntil(file: StoredFile): Promise<Date | undefined> {
    return Promise.resolve(this.until.get(file.id));
  }

  keepUntil(file: StoredFile, until: Date): Promise<void> {
    if (this.refuses) throw new HoldfastError('storage-denied', 'no s3:PutObjectRetention');
    this.until.set(file.id, until);
    return Promise.resolve();
  }
}

/** Two backups of one file each, and a third one, ten days later, that has the file of the first and a new one. */
async function threeBackups(storage: KeepingStorage): Promise<KeepReport | undefined> {
  const filled = await emptyRepository(storage);
  const large = noise('stays', 3_000_000);
  await storeFiles(await filled.open(), { stays: large });
  await storeFiles(await filled.open(), { goes: noise('goes', 3_000_000) });
  const repository = await filled.open();
  const id = await storeFiles(repository, { stays: large, comes: Buffer.from('new') });
  const newest = (await repository.snapshots()).filter((snapshot) => snapshot.id === id);
  return await repository.keepSnapshots(newest, new Date(NOW.getTime() + 10 * DAY), signal);
}

it('the locks of what a new snapshot reuses are made longer, those of what it does not need are not', async () => {
  const storage = new KeepingStorage();
  const report = await threeBackups(storage);
  expect(report).toMatchObject({ failed: 0 });
  const least = NOW.getTime() + 40 * DAY;
  const packs: StoredFile[] = [];
  for await (const { id } of storage.list('pack')) packs.push({ kind: 'pack', id });
  const longer = packs.filter(({ id }) => (storage.until.get(id)?.getTime() ?? 0) >= least);
  // Of what was there before: the data pack of the first backup. The trees are others.
  expect(longer).toHaveLength(1);
  expect(storage.until.get('')?.getTime()).toBeGreaterThanOrEqual(least);
  expect(describeKeeping(report)).toBeUndefined();
});

it('locks that cannot be made longer are told, with the reason', async () => {
  const storage = new KeepingStorage();
  storage.refuses = true;
  const report = await threeBackups(storage);
  expect(describeKeeping(report)).toMatch(/^the object locks of \d+ of \d+ files could not be made longer.*no s3:PutObjectRetention$/);
});

it('a storage without object locks is asked nothing', async () => {
  const filled = await emptyRepository(new MemoryStorage());
  const repository = await filled.open();
  await storeFiles(repository, { a: Buffer.from('a') });
  expect(await repository.keepSnapshots(await repository.snapshots(), NOW, signal)).toBeUndefined();
});
