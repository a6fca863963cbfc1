import { describe, expect, it } from 'vitest';
import { fileOf, preparedS3, s3Place } from '../../test/fixture/s3-place.ts';
import { s3Server, type S3Server } from '../../test/fixture/s3-server.ts';
import { systemClock, type Clock } from '../base/clock.ts';
import { S3Storage } from './s3.ts';

const DAY_MS = 86_400_000;
const bytes = Buffer.from('a pack');
const pack = fileOf('pack', bytes);
const objectLock = { days: 3, mode: 'compliance' } as const;

/** A moment that both clocks show, that of the server and that of the host. */
function at(server: S3Server, offsetMs: number): Clock {
  server.setClock(offsetMs);
  return { now: () => new Date(Date.now() + offsetMs), elapsedMs: () => performance.now() };
}

function objects(server: S3Server, bucket: string): readonly { readonly key: string; readonly versions: number }[] {
  return [...(server.buckets.get(bucket)?.objects ?? [])].map(([key, versions]) => ({ key: key.replace(/.*?\/b\//, ''), versions: versions.length }));
}

describe('a bucket with object lock', () => {
  it('is made for it, and keeps all but lock files for as long as it is told to', async () => {
    await using server = await s3Server();
    const storage = await preparedS3(server, { bucket: 'locked', objectLock });
    for (const kind of ['pack', 'index', 'snapshot', 'key', 'config', 'proof'] as const) {
      const file = fileOf(kind, bytes);
      await storage.save(file, bytes);
      expect(Math.abs((await storage.keptUntil(file))?.getTime() ?? 0) - Date.now() - 3 * DAY_MS).toBeLessThan(2000);
      await expect(storage.remove(file)).rejects.toMatchObject({ code: 'storage-kept', message: expect.stringMatching(/an object lock keeps it until \d{4}-/) });
      expect(await storage.size(file)).toBe(bytes.length);
    }
    const lock = fileOf('lock', bytes);
    await storage.save(lock, bytes);
    expect(await storage.keptUntil(lock)).toBeUndefined();
    await storage.remove(lock);
    expect(objects(server, 'locked').filter(({ key }) => key.startsWith('locks'))).toEqual([]);
    expect(storage.keepDays).toBe(3);
  });

  it('lets go of a file when its time has passed, and frees its space', async () => {
    await using server = await s3Server();
    await (await preparedS3(server, { bucket: 'passing', objectLock })).save(pack, bytes);
    const on = (day: number): S3Storage => new S3Storage(s3Place(server, { bucket: 'passing', objectLock }), at(server, day * DAY_MS));
    await on(2).keepUntil(pack, new Date(Date.now() + 5 * DAY_MS));
    await expect(on(4).remove(pack)).rejects.toMatchObject({ code: 'storage-kept' });
    const late = on(6);
    expect(await late.keptUntil(pack)).toBeUndefined();
    await late.remove(pack);
    expect(objects(server, 'passing')).toEqual([]);
  });

  it('keeps a file longer, never shorter, and in the mode that it has', async () => {
    await using server = await s3Server();
    const storage = await preparedS3(server, { bucket: 'longer', objectLock: { days: 3, mode: 'governance' } });
    await storage.save(pack, bytes);
    const until = new Date(Date.now() + 10 * DAY_MS);
    const other = new S3Storage(s3Place(server, { bucket: 'longer', objectLock }), systemClock);
    await other.keepUntil(pack, until);
    await other.keepUntil(pack, new Date(Date.now() + DAY_MS));
    expect((await other.keptUntil(pack))?.getTime()).toBe(until.getTime());
    const [version] = server.buckets.get('longer')?.objects.values().next().value ?? [];
    expect(version?.retention?.mode).toBe('GOVERNANCE');
  });

  it('keeps what somebody overwrote or marked as removed: all versions count', async () => {
    await using server = await s3Server();
    const storage = await preparedS3(server, { bucket: 'attacked', objectLock });
    await storage.save(pack, bytes);
    const attacker = new S3Storage(s3Place(server, { bucket: 'attacked' }), systemClock);
    await attacker.remove(pack);
    expect(await storage.size(pack)).toBeUndefined();
    await expect(storage.remove(pack)).rejects.toMatchObject({ code: 'storage-kept' });
    expect(objects(server, 'attacked')).toMatchObject([{ versions: 2 }]);
  });

  it('is asked for where there is none: a clear error before anything is stored, or with the first file', async () => {
    await using server = await s3Server();
    await preparedS3(server, { bucket: 'plain' });
    const storage = new S3Storage(s3Place(server, { bucket: 'plain', objectLock }), systemClock);
    for (const work of [() => storage.prepare(), () => storage.save(pack, bytes)]) {
      await expect(work()).rejects.toMatchObject({ code: 'config', message: expect.stringContaining("the bucket 'plain' has no object lock"), hint: expect.stringContaining('object-lock') });
    }
    expect(await (await preparedS3(server, { bucket: 'plain' })).keptUntil({ kind: 'config', id: '' })).toBeUndefined();
  });
});

describe('a bucket with versions', () => {
  it('keeps old versions of files, as its owner wants, but not of lock files', async () => {
    await using server = await s3Server();
    const { newBucket } = await import('../../test/fixture/s3-buckets.ts');
    server.buckets.set('versions', newBucket({ hasVersions: true }));
    const storage = await preparedS3(server, { bucket: 'versions' });
    for (const kind of ['pack', 'lock'] as const) {
      await storage.save(fileOf(kind, bytes), bytes);
      await storage.remove(fileOf(kind, bytes));
      expect(await storage.size(fileOf(kind, bytes))).toBeUndefined();
    }
    expect(objects(server, 'versions')).toMatchObject([{ key: expect.stringContaining('data/'), versions: 2 }]);
  });

  it('whose versions the credentials may not remove lets go of lock files all the same', async () => {
    await using server = await s3Server();
    const { newBucket } = await import('../../test/fixture/s3-buckets.ts');
    server.buckets.set('guarded', newBucket({ hasVersions: true }));
    const storage = await preparedS3(server, { bucket: 'guarded' });
    const lock = fileOf('lock', bytes);
    await storage.save(lock, bytes);
    server.fail({ on: /^DELETE .*versionId/, how: { status: 403, code: 'AccessDenied' } });
    await storage.remove(lock);
    expect(await storage.size(lock)).toBeUndefined();
  });
});
