import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { DeleteObjectCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { S3Storage } from '../../src/storage/s3.ts';
import { bucketStack } from '../fixture/bucket-stack.ts';
import { sharedCeph } from '../fixture/ceph.ts';
import { expectCalm } from '../fixture/clear-error.ts';
import { expectSameContent } from '../fixture/hard-tree.ts';
import { fileOf, preparedS3, s3Place } from '../fixture/s3-place.ts';

const ceph = await sharedCeph();
const server = { endpoint: ceph.endpoint, account: ceph.keys };
const DAY_MS = 86_400_000;

interface StoredVersion {
  readonly key: string;
  readonly id: string;
  readonly isMarker: boolean;
}

async function versions(bucket: string, prefix = ''): Promise<readonly StoredVersion[]> {
  const { Versions = [], DeleteMarkers = [] } = await ceph.client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix }));
  return [Versions, DeleteMarkers].flatMap((list, i) => list.map(({ Key: key = '', VersionId: id = '' }) => ({ key, id, isMarker: i === 1 })));
}

describe('credentials that may only add', () => {
  it('make backups, one after the other, and remove nothing; the owner clears their locks away', async () => {
    const bucket = await ceph.bucket();
    await using stack = await bucketStack(ceph, { bucket });
    const keys = await ceph.appendOnly(bucket);
    const env = ceph.environment(keys);
    for (let run = 0; run < 3; run++) {
      await writeFile(stack.path(`files/${run}`), randomBytes(3_000_000));
      const result = await stack.attempt(['backup', '--json'], { env });
      expect(result.stderr).toBe('');
      expect(JSON.parse(result.stdout)).toMatchObject({ state: 'ok', stores: [{ bytesAdded: expect.toSatisfy((bytes: number) => bytes < 5_000_000) }] });
    }
    const restored = await stack.attempt(['restore', 'files', '--into', 'out'], { env });
    expectCalm(restored);
    expect(restored.code).toBe(0);
    await expectSameContent(stack.path('files'), stack.path('out'));
    // They cannot take back what they have stored, not even their locks.
    const locks = (await versions(bucket, 'some/where/locks/')).length;
    expect(locks).toBeGreaterThanOrEqual(3);
    const limited = new S3Storage(s3Place({ ...server, account: keys }, { bucket, prefix: 'some/where' }), systemClock);
    for await (const pack of limited.list('pack')) {
      await expect(limited.remove({ kind: 'pack', id: pack.id })).rejects.toMatchObject({ code: 'storage-denied', hint: expect.stringContaining('s3:DeleteObject') });
    }
    // For the owner they are stale.
    await stack.holdfast('backup');
    expect(await versions(bucket, 'some/where/locks/')).toEqual([]);
    await stack.restic('check', '--read-data');
  });
});

describe('an object lock', () => {
  it('keeps what a backup has stored from its own owner, and lets lock files go', async () => {
    await using stack = await bucketStack(ceph, { bucket: await ceph.bucket({ objectLock: true }), settings: { 'object-lock': '{ days: 1, mode: compliance }' } });
    await writeFile(stack.path('files/large'), randomBytes(20_000_000));
    await stack.holdfast('backup');
    await stack.holdfast('backup');
    const stored = (await versions(stack.bucket)).filter(({ key }) => /\/(data|index|snapshots)\//.test(key));
    expect(stored.length).toBeGreaterThanOrEqual(5);
    for (const { key, id, isMarker } of stored) {
      expect(isMarker).toBe(false);
      await expect(ceph.client.send(new DeleteObjectCommand({ Bucket: stack.bucket, Key: key, VersionId: id }))).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } });
    }
    expect(await versions(stack.bucket, 'some/where/locks/')).toEqual([]);
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
  });

  it('is part of the bucket that init makes, when it is asked for', async () => {
    const storage = await preparedS3(server, { objectLock: { days: 1, mode: 'governance' } });
    const bytes = randomBytes(50);
    await storage.save(fileOf('pack', bytes), bytes);
    expect((await storage.keptUntil(fileOf('pack', bytes)))?.getTime()).toBeGreaterThan(Date.now() + 0.9 * DAY_MS);
  });

  it('ends with its time: then the file goes, with all its versions', async () => {
    const storage = await preparedS3(server, { bucket: await ceph.bucket({ objectLock: true }), prefix: '', objectLock: { days: 1, mode: 'compliance' } });
    const bucket = storage.location.split('/').at(-1) ?? '';
    const bytes = randomBytes(50);
    const pack = fileOf('pack', bytes);
    const key = `data/${pack.id.slice(0, 2)}/${pack.id}`;
    // Days are too long to wait for.
    await ceph.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, ContentMD5: undefined, ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: new Date(Date.now() + 4000) }));
    await expect(storage.remove(pack)).rejects.toMatchObject({ code: 'storage-kept', message: expect.stringMatching(/an object lock keeps it until/) });
    const longer = new Date(Date.now() + 7000);
    await storage.keepUntil(pack, longer);
    await storage.keepUntil(pack, new Date(Date.now() + 1000));
    expect(Math.abs(((await storage.keptUntil(pack))?.getTime() ?? 0) - longer.getTime())).toBeLessThan(1000);
    await wait(4500);
    await expect(storage.remove(pack)).rejects.toMatchObject({ code: 'storage-kept' });
    expect(await storage.size(pack)).toBe(50);
    await wait(4000);
    expect(await storage.keptUntil(pack)).toBeUndefined();
    await storage.remove(pack);
    expect(await versions(bucket)).toEqual([]);
  });
});

describe('a bucket with versions', () => {
  it('keeps what was removed, for its owner\'s rules to decide, but no lock files', async () => {
    const bucket = await ceph.bucket({ versions: true });
    await using stack = await bucketStack(ceph, { bucket });
    await stack.holdfast('backup');
    expect(await versions(bucket, 'some/where/locks/')).toEqual([]);
    const storage = new S3Storage(s3Place(server, { bucket, prefix: 'some/where' }), systemClock);
    const bytes = randomBytes(50);
    await storage.save(fileOf('pack', bytes), bytes);
    await storage.remove(fileOf('pack', bytes));
    expect(await storage.size(fileOf('pack', bytes))).toBeUndefined();
    expect((await versions(bucket)).filter(({ key }) => key.endsWith(fileOf('pack', bytes).id))).toHaveLength(2);
    await stack.restic('check', '--read-data');
  });
});
