import { GetObjectRetentionCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { bucketStack } from '../fixture/bucket-stack.ts';
import { sharedCeph, type Ceph } from '../fixture/ceph.ts';

const DAY = 86_400_000;

/** Days from now until each object of a folder may be removed, by its key. */
async function keptDays(ceph: Ceph, bucket: string, prefix: string): Promise<ReadonlyMap<string, number>> {
  const { Contents = [] } = await ceph.client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
  const days = new Map<string, number>();
  for (const { Key = '' } of Contents) {
    const { Retention } = await ceph.client.send(new GetObjectRetentionCommand({ Bucket: bucket, Key }));
    days.set(Key, ((Retention?.RetainUntilDate?.getTime() ?? 0) - Date.now()) / DAY);
  }
  return days;
}

it('object locks last from the newest snapshot that needs a pack, and neither forget nor prune gets past them (B18)', async () => {
  const ceph = await sharedCeph();
  await using stack = await bucketStack(ceph, { bucket: await ceph.bucket({ objectLock: true }), settings: { 'object-lock': '{ days: 2, mode: governance }' } });
  await writeFile(stack.path('files/stays'), randomBytes(2_000_000));
  await stack.holdfast('backup');
  const first = await keptDays(ceph, stack.bucket, 'some/where/data/');
  expect([...first.values()].every((days) => days > 1.9 && days < 2.1)).toBe(true);
  // Nine days of locks for the next one: what it reuses must last as long as what it stores.
  await stack.configure({ 'object-lock': '{ days: 9, mode: governance }' });
  await writeFile(stack.path('files/comes'), randomBytes(1_000_000));
  await stack.holdfast('backup');
  const second = await keptDays(ceph, stack.bucket, 'some/where/data/');
  const reused = [...first.keys()].filter((key) => (second.get(key) ?? 0) > 8.9);
  // Its data, and the trees of the folder that has not changed.
  expect(reused).toHaveLength(first.size);
  for (const [key, days] of second) if (!first.has(key)) expect(days).toBeGreaterThan(8.9);
  for (const folder of ['index', 'keys']) for (const days of (await keptDays(ceph, stack.bucket, `some/where/${folder}/`)).values()) expect(days).toBeGreaterThan(8.9);

  await rm(stack.path('files/stays'));
  await stack.holdfast('backup');
  const forgotten = await stack.attempt(['forget', '--keep-last', '1', '--yes']);
  expect(forgotten.stdout + forgotten.stderr).toMatch(/object lock/);
  expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toHaveLength(3);
  await stack.holdfast('prune', '--grace', '0', '--yes');
  expect([...(await keptDays(ceph, stack.bucket, 'some/where/data/')).keys()]).toEqual(expect.arrayContaining([...second.keys()]));
  await stack.holdfast('check', '--read-data');
  await stack.restic('check', '--read-data');
});
