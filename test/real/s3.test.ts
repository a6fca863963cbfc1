import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { storageSuite } from '../../src/storage/suite.ts';
import { bucketStack } from '../fixture/bucket-stack.ts';
import { sharedCeph } from '../fixture/ceph.ts';
import { expectClearError } from '../fixture/clear-error.ts';
import { expectSameContent, fillHardTree, listing } from '../fixture/hard-tree.ts';
import { fileOf, preparedS3 } from '../fixture/s3-place.ts';
import { tlsProxy } from '../fixture/tls-proxy.ts';

const ceph = await sharedCeph();
const server = { endpoint: ceph.endpoint, account: ceph.keys };

storageSuite('s3 on Ceph', async () => await preparedS3(server));

async function keysIn(bucket: string, prefix: string): Promise<readonly string[]> {
  const { Contents = [] } = await ceph.client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
  return Contents.map(({ Key = '' }) => Key);
}

describe('a repository in a bucket', () => {
  it('takes backups, is sound for both programs, and gives them back by both', async () => {
    await using stack = await bucketStack(ceph);
    await fillHardTree(stack.path('files'));
    await stack.holdfast('backup');
    expect(await keysIn(stack.bucket, 'some/where/locks/')).toEqual([]);
    expect((await stack.holdfast('check', '--read-data')).stdout).toContain('is sound');
    await stack.restic('check', '--read-data');
    await stack.restic('restore', 'latest', '--target', stack.path('restic'));
    await stack.holdfast('restore', 'files', '--into', 'out');
    for (const restored of [stack.path('out'), stack.path('restic', stack.path('files'))]) {
      await expectSameContent(stack.path('files'), restored);
      expect(await listing(restored)).toBe(await listing(stack.path('files')));
    }
  });

  it('stores only what is new, whichever program was there before', async () => {
    await using stack = await bucketStack(ceph);
    await writeFile(stack.path('files/large'), randomBytes(40_000_000));
    await stack.restic('backup', stack.path('files'));
    expect(JSON.parse((await stack.holdfast('backup', '--json')).stdout)).toMatchObject({ state: 'ok', stores: [{ bytesAdded: expect.toSatisfy((bytes: number) => bytes < 100_000) }] });
    const again = (await stack.restic('backup', '--json', stack.path('files'))).stdout.trim().split('\n').at(-1) ?? '';
    expect(JSON.parse(again)).toMatchObject({ data_added: expect.toSatisfy((bytes: number) => bytes < 100_000) });
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
  });

  it('that restic made is listed and restored without a holdfast.yaml', async () => {
    await using stack = await bucketStack(ceph, { init: false });
    await rm(stack.path('holdfast.yaml'));
    await stack.restic('init', '--repository-version', '2');
    await stack.restic('backup', stack.path('files'));
    const here = ['--repository', stack.address, '--password-file', 'password'] as const;
    expect((await stack.holdfast('snapshots', ...here)).stdout).toContain(stack.path('files'));
    await stack.holdfast('restore', '--snapshot', 'latest', '--path', stack.path('files'), '--into', 'out', ...here);
    await expectSameContent(stack.path('files'), stack.path('out'));
  });

  it('is made once', async () => {
    await using stack = await bucketStack(ceph);
    await rm(stack.path('holdfast.yaml'));
    const again = await stack.attempt(['init', '--stack', 'test', '--directory', 'files', '--repository', stack.address, '--password-file', 'password', '--json']);
    expectClearError(again, { exit: 1, code: 'repository-exists', says: /there is a repository at s3:.* already/ });
  });

  it('lives beside others in the same bucket', async () => {
    await using one = await bucketStack(ceph, { prefix: 'one' });
    await using two = await bucketStack(ceph, { bucket: one.bucket, prefix: 'one/two' });
    await writeFile(two.path('files/one.txt'), 'another');
    for (const stack of [one, two]) await stack.holdfast('backup');
    for (const stack of [one, two]) {
      expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toHaveLength(1);
      await stack.restic('check', '--read-data');
    }
  });
});

describe('a server', () => {
  it('is rid of uploads that nobody finished, and of nothing else', async () => {
    const storage = await preparedS3(server);
    const bucket = storage.location.split('/')[3] ?? '';
    const bytes = randomBytes(50);
    await storage.save(fileOf('pack', bytes), bytes);
    for (const Key of ['a/b/data/00/x', 'a/b/index/y', 'other/z']) await ceph.client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    expect(await storage.sweep(new Date(Date.now() - 60_000))).toBe(0);
    expect(await storage.sweep(new Date(Date.now() + 60_000))).toBe(2);
    const { Uploads = [] } = await ceph.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(Uploads.map(({ Key }) => Key)).toEqual(['other/z']);
    expect(await storage.size(fileOf('pack', bytes))).toBe(50);
  });

  it('is spoken to with the keys of a profile', async () => {
    await using stack = await bucketStack(ceph);
    await mkdir(stack.path('.aws'));
    await writeFile(stack.path('.aws/credentials'), `[backup]\naws_access_key_id = ${ceph.keys.accessKey}\naws_secret_access_key = ${ceph.keys.secretKey}\n`);
    await stack.configure({ credentials: '{ profile: backup }' });
    const env = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_EC2_METADATA_DISABLED: 'true' };
    expect((await stack.attempt(['backup'], { env })).code).toBe(0);
    await stack.configure({ credentials: '{ profile: other }' });
    expectClearError(await stack.attempt(['backup', '--json'], { env }), { exit: 2, code: 'secret-missing', says: /the profile 'other' gives no credentials/ });
  });

  it('behind TLS is trusted when its authority is named, and not otherwise', async () => {
    await using proxy = await tlsProxy(ceph.port);
    await using stack = await bucketStack(ceph);
    await stack.configure({ endpoint: proxy.endpoint });
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-failed', says: /the certificate of https:\/\/127\.0\.0\.1:\d+ is signed by nobody that this host trusts/ });
    await stack.configure({ endpoint: proxy.endpoint, ca: proxy.authority });
    await writeFile(stack.path('files/large'), randomBytes(40_000_000));
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
  });

  it('that is reached by a proxy takes the name of the bucket as a part of the host name', async () => {
    await using proxy = await forwardProxy(ceph.port);
    await using stack = await bucketStack(ceph, { env: { HTTP_PROXY: proxy.url, http_proxy: proxy.url } });
    // No resolver knows this name: it must be the proxy that is asked.
    await stack.configure({ endpoint: `http://${ceph.hostName}:${ceph.port}`, addressing: 'virtual' });
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    expect(new Set(proxy.hosts)).toEqual(new Set([`${stack.bucket}.${ceph.hostName}:${ceph.port}`]));
  });
});

interface ForwardProxy extends AsyncDisposable {
  readonly url: string;
  readonly hosts: readonly string[];
}

/** A proxy for HTTP that hands everything to one server, whatever host was asked for. */
async function forwardProxy(target: number): Promise<ForwardProxy> {
  const hosts: string[] = [];
  const proxy = createServer((request, response) => {
    const { pathname, search, host } = new URL(request.url ?? '');
    hosts.push(host);
    const onward = httpRequest({ host: '127.0.0.1', port: target, method: request.method, path: pathname + search, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, hosts,
    async [Symbol.asyncDispose]() {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
