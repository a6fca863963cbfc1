import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { bucketStack } from '../fixture/bucket-stack.ts';
import { sharedCeph } from '../fixture/ceph.ts';
import { expectClearError } from '../fixture/clear-error.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { tcpProxy } from '../fixture/tcp-proxy.ts';

const ceph = await sharedCeph();
const MB = 1_000_000;

describe('a bucket is refused, in words that help,', () => {
  it('to wrong keys', async () => {
    await using stack = await bucketStack(ceph);
    const wrong = (env: Readonly<Record<string, string>>) => stack.attempt(['backup', '--json'], { env });
    expectClearError(await wrong({ AWS_SECRET_ACCESS_KEY: 'nothing' }), { exit: 1, code: 'storage-denied', says: /the secret key does not belong to the access key/ });
    expectClearError(await wrong({ AWS_ACCESS_KEY_ID: 'nobody' }), { exit: 1, code: 'storage-denied', says: /the server does not know the access key/ });
    const stranger = await ceph.user();
    expectClearError(await wrong({ AWS_ACCESS_KEY_ID: stranger.accessKey, AWS_SECRET_ACCESS_KEY: stranger.secretKey }), { exit: 1, code: 'storage-denied', says: /the server denies it to these credentials/ });
    await stack.configure({ credentials: 'env' });
    expectClearError(await stack.attempt(['snapshots', '--json'], { env: { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_EC2_METADATA_DISABLED: 'true' } }), { exit: 2, code: 'secret-missing', says: /no credentials were found/ });
  });

  it('when it does not exist, when nothing is in it, and when no server is there', async () => {
    await using stack = await bucketStack(ceph);
    await stack.configure({ bucket: 'not-there' });
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 10, code: 'repository-missing', says: /there is no bucket 'not-there' at http/ });
    await stack.configure({ prefix: 'empty' });
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 10, code: 'repository-missing', says: /there is no repository at s3:http/ });
    await stack.configure({ endpoint: 'http://127.0.0.1:9' });
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-failed', says: /nothing listens at http:\/\/127\.0\.0\.1:9/ });
  });

  it('when the clock of the host is wrong', async () => {
    await using stack = await bucketStack(ceph);
    await writeFile(stack.path('skew.mjs'), `const Real = Date, ahead = 3600000;
      globalThis.Date = class extends Real { constructor(...given) { if (given.length) super(...given); else super(Real.now() + ahead); } static now() { return Real.now() + ahead; } };`);
    const result = await stack.attempt(['backup', '--json'], { env: { NODE_OPTIONS: `--import=${stack.path('skew.mjs')}` } });
    expectClearError(result, { exit: 1, code: 'storage-failed', says: /the clock of this host is 60 minutes ahead of that of http/ });
  });

  it('in a storage class from which nothing can be read at once', async () => {
    await using stack = await bucketStack(ceph);
    await stack.configure({ 'storage-class': 'DEEP_ARCHIVE' });
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 2, code: 'config', says: /must be thawed for hours/ });
  });
});

describe('a bucket that is full', () => {
  it('ends the backup with a clear error; with more room, the next one goes on from what was stored', async () => {
    const user = await ceph.user();
    await ceph.limit(user.name, 40 * MB);
    await using stack = await bucketStack(ceph, { keys: user });
    await stack.holdfast('backup');
    for (let part = 0; part < 6; part++) await writeFile(stack.path(`files/large-${part}`), randomBytes(10 * MB));
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-full', says: /cannot write pack \w+ in s3:.*: the quota of the bucket or of its owner is used up/ });
    expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toHaveLength(1);
    await ceph.limit(user.name, 400 * MB);
    const report: unknown = JSON.parse((await stack.holdfast('backup', '--json')).stdout);
    // At least one pack had found room before.
    expect(report).toMatchObject({ state: 'ok', stores: [{ bytesStored: expect.toSatisfy((bytes: number) => bytes > MB && bytes < 50 * MB) }] });
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
  });

  it('does not keep anybody from restoring', async () => {
    const user = await ceph.user();
    await using stack = await bucketStack(ceph, { keys: user });
    await stack.holdfast('backup');
    await ceph.limit(user.name, 1);
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-full', says: /quota/ });
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
    await stack.holdfast('check', '--read-data');
  });
});

describe('a network that fails', () => {
  it('in mid-backup and in mid-restore only makes them take longer', async () => {
    await using proxy = await tcpProxy(ceph.port);
    await using stack = await bucketStack(ceph);
    await stack.configure({ endpoint: `http://127.0.0.1:${proxy.port}` });
    await writeFile(stack.path('files/large'), randomBytes(80 * MB));
    proxy.cutAfter(20 * MB, 1500);
    expect(JSON.parse((await stack.holdfast('backup', '--json')).stdout)).toMatchObject({ state: 'ok' });
    expect(proxy.cuts()).toBe(1);
    await stack.restic('check', '--read-data');
    // Requests are small; this is in the middle of them.
    proxy.cutAfter(3000, 1500);
    await rm(stack.path('cache'), { recursive: true, force: true });
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(proxy.cuts()).toBe(2);
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
  });
});
