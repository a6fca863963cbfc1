import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { fileOf, preparedS3, s3Place } from '../../test/fixture/s3-place.ts';
import { s3Server, type Misbehaviour } from '../../test/fixture/s3-server.ts';
import { systemClock } from '../base/clock.ts';
import type { HoldfastError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import type { S3Place } from './place.ts';
import { S3Storage } from './s3.ts';

const server = await s3Server();
const scratch = await mkdtemp(join(tmpdir(), 'holdfast-s3-'));
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(scratch, { recursive: true });
});

const CONFIG = { kind: 'config', id: '' } as const;
const bytes = Buffer.alloc(300_000, 7);
const pack = fileOf('pack', bytes);

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  try {
    await work;
  } catch (error) {
    return error as HoldfastError;
  }
  throw new Error('it did not fail');
}

describe('what an S3 server answers', () => {
  const CASES: readonly (readonly [Misbehaviour, Partial<HoldfastError>, RegExp])[] = [
    [{ status: 403, code: 'AccessDenied' }, { code: 'storage-denied', transient: false }, /cannot write pack \w+ in s3:.*: the server denies it to these credentials/],
    [{ status: 403, code: 'QuotaExceeded' }, { code: 'storage-full', transient: false }, /quota of the bucket or of its owner is used up/],
    [{ status: 507 }, { code: 'storage-full', transient: false }, /no space left/],
    [{ status: 411, code: 'MissingContentLength' }, { code: 'storage-failed', transient: false }, /411/],
    [{ status: 411 }, { code: 'storage-failed', transient: false }, /411/],
    [{ status: 501, code: 'NotImplemented' }, { code: 'storage-failed', transient: false }, /cannot do that/],
    [{ status: 501 }, { code: 'storage-failed', transient: false }, /cannot do that/],
    [{ status: 503, code: 'SlowDown' }, { code: 'storage-failed', transient: true }, /fewer requests \(SlowDown\)/],
    [{ status: 503 }, { code: 'storage-failed', transient: true }, /answers 503/],
    [{ status: 500, code: 'InternalError' }, { code: 'storage-failed', transient: true }, /problem of its own/],
    [{ status: 502 }, { code: 'storage-failed', transient: true }, /answers 502/],
    [{ status: 429, code: 'TooManyRequests' }, { code: 'storage-failed', transient: true }, /fewer requests/],
    [{ status: 409, code: 'OperationAborted' }, { code: 'storage-failed', transient: true }, /under way/],
    [{ status: 400, code: 'BadDigest' }, { code: 'storage-failed', transient: true }, /what arrived is not what was sent/],
    [{ status: 301, code: 'PermanentRedirect' }, { code: 'storage-failed', transient: false }, /another region or at another endpoint/],
    [{ status: 400, code: 'InvalidStorageClass' }, { code: 'config', transient: false }, /storage class/],
    [{ status: 418, code: 'Teapot', message: 'I brew no coffee' }, { code: 'storage-failed', transient: false }, /Teapot: I brew no coffee/],
    [{ page: 200 }, { code: 'storage-failed', transient: false }, /answers 200 with something that is not S3/],
    [{ page: 403 }, { code: 'storage-failed', transient: false }, /answers 403 with something that is not S3/],
    ['reset', { code: 'storage-failed', transient: true }, /connection was cut/],
  ];

  it.each(CASES)('%j is an error that says so', async (how, expected, says) => {
    const storage = await preparedS3(server);
    server.fail({ on: /^PUT .*data/, how });
    const error = await failureOf(storage.save(pack, bytes));
    expect(error).toMatchObject(expected);
    expect(error.message).toMatch(says);
    expect(error.hint).toMatch(/\S/);
    await storage.save(pack, bytes);
  });

  it('in the middle of a file or not at all is transient, and never a short file', async () => {
    const storage = await preparedS3(server);
    await storage.save(pack, bytes);
    for (const how of ['truncate', 'reset', 'reset-after'] as const) {
      server.fail({ on: /^GET .*data/, how });
      expect(await failureOf(storage.load(pack))).toMatchObject({ code: 'storage-failed', transient: true });
    }
    expect((await storage.load(pack)).equals(bytes)).toBe(true);
  });

  it('never, until the caller gives up: then it ends at once, with his reason', async () => {
    const storage = await preparedS3(server);
    await storage.save(pack, bytes);
    for (const how of ['stall', 'stall-body'] as const) {
      for (const [on, work] of [[/^GET .*data/, storage.load.bind(storage, pack, undefined)], [/^PUT .*data/, storage.save.bind(storage, pack, bytes)], [/^HEAD .*data/, storage.size.bind(storage, pack)]] as const) {
        // Only an answer to GET has a body to stop in.
        if (how === 'stall-body' && !on.source.includes('GET')) continue;
        server.fail({ on, how });
        const abort = new AbortController();
        const reason = new Error('enough');
        setTimeout(() => abort.abort(reason), 50);
        const started = performance.now();
        expect(await failureOf(work({ signal: abort.signal }))).toBe(reason);
        expect(performance.now() - started).toBeLessThan(2000);
      }
    }
  });

  it('to HEAD has no words, so the same is asked in another way', async () => {
    await preparedS3(server, { bucket: 'mute' });
    const other = new S3Storage(s3Place({ ...server, account: { ...server.account, secretKey: 'wrong' } }, { bucket: 'mute' }), systemClock);
    expect(await failureOf(other.size(CONFIG))).toMatchObject({ code: 'storage-denied', message: expect.stringContaining('secret key') });
  });

  it('with a whole file where a part was asked for is refused, unless it is the same', async () => {
    await using old = await s3Server();
    old.behaviour.knowsRanges = false;
    const storage = await preparedS3(old);
    await storage.save(pack, bytes);
    expect((await storage.load(pack, { offset: 0, length: bytes.length })).equals(bytes)).toBe(true);
    expect(await failureOf(storage.load(pack, { offset: 5, length: 10 }))).toMatchObject({ code: 'storage-failed', message: expect.stringContaining('the part that was asked for') });
  });
});

describe('a server that cannot be reached or used', () => {
  const attempt = async (more: Partial<S3Place<Secret>>): Promise<HoldfastError> => {
    const storage = new S3Storage(s3Place(server, more), systemClock);
    const error = await failureOf(storage.load(CONFIG));
    await storage.close();
    expect(`${error.message}${error.hint}`).not.toContain('fake-secret');
    return error;
  };

  it('because the keys are wrong', async () => {
    expect(await attempt({ credentials: { accessKey: new Secret('who'), secretKey: new Secret('x') } })).toMatchObject({ code: 'storage-denied', message: expect.stringContaining('does not know the access key') });
    expect(await attempt({ credentials: { accessKey: new Secret('fake-access'), secretKey: new Secret('x') } })).toMatchObject({ code: 'storage-denied', message: expect.stringContaining('secret key') });
  });

  it('because there are no credentials', async () => {
    expect(await attempt({ credentials: undefined, profile: 'no-such-profile' })).toMatchObject({ code: 'secret-missing', message: expect.stringContaining("the profile 'no-such-profile' gives no credentials"), hint: expect.stringContaining('~/.aws') });
  });

  it('because there is no such bucket', async () => {
    expect(await attempt({ bucket: 'nowhere' })).toMatchObject({ code: 'repository-missing', message: expect.stringContaining(`there is no bucket 'nowhere' at ${server.endpoint}`) });
  });

  it('because nothing listens, or the name is unknown', async () => {
    expect(await attempt({ endpoint: 'http://127.0.0.1:9' })).toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringContaining('nothing listens at http://127.0.0.1:9') });
    expect(await attempt({ endpoint: 'http://holdfast.invalid' })).toMatchObject({ code: 'storage-failed', message: expect.stringContaining('cannot be resolved') });
  });

  it('because it has gone away, which may pass', async () => {
    await using leaving = await s3Server();
    const storage = await preparedS3(leaving);
    await leaving[Symbol.asyncDispose]();
    expect(await failureOf(storage.load(CONFIG))).toMatchObject({ code: 'storage-failed', transient: true });
  });

  it('because it speaks TLS where none is expected, or none where it is', async () => {
    expect(await attempt({ endpoint: server.endpoint.replace('http:', 'https:') })).toMatchObject({ code: 'storage-failed', message: expect.stringContaining('not S3') });
    await using other = await greeter('220 mail.example.org ESMTP\r\n');
    expect(await attempt({ endpoint: other.endpoint })).toMatchObject({ code: 'storage-failed', message: expect.stringContaining('not S3') });
  });

  it('because the file of the authority is not there, or is none', async () => {
    expect(await attempt({ caFile: join(scratch, 'absent.pem') })).toMatchObject({ code: 'config', message: expect.stringContaining('absent.pem') });
    await writeFile(join(scratch, 'text.pem'), 'hello');
    expect(await attempt({ caFile: join(scratch, 'text.pem') })).toMatchObject({ code: 'config', message: expect.stringContaining('holds no certificate') });
  });

  it('because the clock of this host is wrong, by how much it is', async () => {
    const wrong = { ...systemClock, now: () => new Date(Date.now() - 3 * 3_600_000) };
    const error = await failureOf(new S3Storage(s3Place(server, { bucket: 'any' }), wrong).load(CONFIG));
    expect(error).toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringMatching(/the clock of this host is 1(79|80) minutes behind that of http/) });
  });
});

/** A server that says something before it is asked, as mail servers do. */
async function greeter(words: string): Promise<AsyncDisposable & { readonly endpoint: string }> {
  const sockets: Socket[] = [];
  const listening = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    socket.write(words);
  });
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(listening.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listening.close(resolve));
    },
  };
}
