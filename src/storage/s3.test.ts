import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { fileOf, preparedS3, s3Place } from '../../test/fixture/s3-place.ts';
import { s3Server } from '../../test/fixture/s3-server.ts';
import { systemClock } from '../base/clock.ts';
import { S3Storage } from './s3.ts';
import type { Call, FileKind, Storage } from './storage.ts';
import { storageSuite } from './suite.ts';

const server = await s3Server();
afterAll(async () => await server[Symbol.asyncDispose]());

async function names(storage: Storage, kind: FileKind): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { id } of storage.list(kind)) found.push(id);
  return found.sort();
}

storageSuite('s3', async () => await preparedS3(server));

describe('the S3 storage', () => {
  it('lays files out as restic does', async () => {
    const storage = await preparedS3(server, { bucket: 'layout', prefix: 'some/where' });
    const [pack, lock] = [randomBytes(10), randomBytes(10)];
    await storage.save(fileOf('pack', pack), pack);
    await storage.save(fileOf('lock', lock), lock);
    await storage.save({ kind: 'config', id: '' }, pack);
    const { id } = fileOf('pack', pack);
    expect([...(server.buckets.get('layout')?.objects.keys() ?? [])].sort()).toEqual([
      'some/where/config', `some/where/data/${id.slice(0, 2)}/${id}`, `some/where/locks/${fileOf('lock', lock).id}`,
    ]);
  });

  it('lists a whole bucket without a prefix, page by page, and nothing that does not belong to a repository', async () => {
    await using small = await s3Server();
    small.behaviour.pageSize = 7;
    const storage = await preparedS3(small, { bucket: 'whole', prefix: '' });
    const packs = Array.from({ length: 50 }, () => randomBytes(10));
    await Promise.all(packs.map(async (bytes) => await storage.save(fileOf('pack', bytes), bytes)));
    const [object] = small.buckets.get('whole')?.objects.values() ?? [];
    for (const key of ['data/', 'data/ab/', 'data/notes.txt', `data/${'ab'.repeat(32)}`]) small.buckets.get('whole')?.objects.set(key, object ?? []);
    expect(await names(storage, 'pack')).toEqual(packs.map((bytes) => fileOf('pack', bytes).id).sort());
    expect(small.requests.filter((line) => line.includes('list-type=2') && line.includes('prefix=data/'))).toHaveLength(8);
  });

  it('sends large files in parts, and small ones in one piece', async () => {
    const storage = await preparedS3(server, { bucket: 'large' });
    const [large, small] = [randomBytes((32 << 20) + 5), randomBytes(16 << 20)];
    for (const bytes of [large, small]) {
      await storage.save(fileOf('pack', bytes), bytes);
      expect((await storage.load(fileOf('pack', bytes))).equals(bytes)).toBe(true);
      expect(await storage.holds(fileOf('pack', bytes), bytes)).toBe(true);
    }
    expect(server.requests.filter((line) => /^PUT large.*partNumber=/.test(line))).toHaveLength(3);
  });

  it('leaves nothing of an upload in parts that fails', async () => {
    const storage = await preparedS3(server, { bucket: 'failing' });
    server.fail({ on: /^PUT failing.*partNumber=2/, how: { status: 503, code: 'SlowDown' } });
    const large = randomBytes(40 << 20);
    await expect(storage.save(fileOf('pack', large), large)).rejects.toMatchObject({ code: 'storage-failed', transient: true });
    expect(await names(storage, 'pack')).toEqual([]);
    expect(server.buckets.get('failing')?.uploads.size).toBe(0);
  });

  it('sweeps away uploads that were begun before a moment, and leaves younger ones and those of others', async () => {
    const storage = await preparedS3(server, { bucket: 'sweep', prefix: 'mine' });
    const uploads = server.buckets.get('sweep')?.uploads;
    const upload = (key: string, begun: string) => ({ key, begun: new Date(begun), headers: {}, parts: new Map() });
    uploads?.set('old', upload('mine/data/00/x', '2026-01-01')).set('young', upload('mine/data/00/y', '2026-01-03')).set('other', upload('theirs/x', '2026-01-01'));
    expect(await storage.sweep(new Date('2026-01-02'))).toBe(1);
    expect([...(uploads?.keys() ?? [])]).toEqual(['young', 'other']);
  });

  it('tells of the bytes that pass, in pieces, and waits when it is told to', async () => {
    const storage = await preparedS3(server);
    const bytes = randomBytes(3_000_000);
    for (const act of [async (call: Call) => await storage.save(fileOf('pack', bytes), bytes, call), async (call: Call) => void (await storage.load(fileOf('pack', bytes), undefined, call))]) {
      const pieces: number[] = [];
      let under = 0;
      await act({
        moved: async (count) => {
          expect(++under).toBe(1);
          pieces.push(count);
          await new Promise((resolve) => setTimeout(resolve, 1));
          under--;
        },
      });
      expect(pieces.reduce((sum, count) => sum + count, 0)).toBe(bytes.length);
      expect(Math.max(...pieces)).toBeLessThanOrEqual(256 * 1024);
    }
    expect((await storage.load(fileOf('pack', bytes))).equals(bytes)).toBe(true);
  });

  it('uses a connection again and again', async () => {
    await using fresh = await s3Server();
    const storage = await preparedS3(fresh);
    const bytes = randomBytes(3_000_000);
    for (let n = 0; n < 10; n++) {
      await storage.save(fileOf('pack', bytes), bytes);
      await storage.load(fileOf('pack', bytes));
    }
    expect(fresh.connections()).toBe(1);
  });

  it('finds the region of the bucket, unless it is told', async () => {
    await using far = await s3Server({ region: 'eu-west-3' });
    const storage = await preparedS3(far, { bucket: 'far' });
    await storage.save({ kind: 'config', id: '' }, Buffer.from('x'));
    expect(await storage.size({ kind: 'config', id: '' })).toBe(1);
    const told = new S3Storage(s3Place(far, { bucket: 'far', region: 'us-west-2' }), systemClock);
    await expect(told.load({ kind: 'config', id: '' })).rejects.toMatchObject({ code: 'storage-failed', message: expect.stringContaining("the bucket 'far' is in the region eu-west-3") });
  });

  it('makes the bucket where there is none, and takes one that is there', async () => {
    const place = s3Place(server, { bucket: 'fresh' });
    for (const _ of [1, 2]) await new S3Storage(place, systemClock).prepare();
    expect(server.buckets.has('fresh')).toBe(true);
  });

  it('sends the session token', async () => {
    const account = { accessKey: 'a', secretKey: 'b', sessionToken: 'c' };
    await using strict = await s3Server({ account });
    const { Secret } = await import('../base/secret.ts');
    const keys = { accessKey: new Secret('a'), secretKey: new Secret('b') };
    await preparedS3(strict, { credentials: { ...keys, sessionToken: new Secret('c') } });
    await expect(preparedS3(strict, { credentials: { ...keys, sessionToken: new Secret('old') } }).then(async (storage) => await storage.load({ kind: 'config', id: '' })))
      .rejects.toMatchObject({ code: 'storage-denied', message: expect.stringContaining('the session token has expired') });
  });

  it('tells the time of the server', async () => {
    await using ahead = await s3Server();
    const storage = await preparedS3(ahead);
    ahead.setClock(300_000);
    expect((await storage.serverTime()).getTime() - Date.now()).toBeGreaterThan(295_000);
  });

  it('stores packs, and only those, in the class that is asked for; refuses classes that freeze them', async () => {
    const storage = await preparedS3(server, { bucket: 'classes', storageClass: 'STANDARD_IA' });
    const bytes = randomBytes(10);
    for (const kind of ['pack', 'index'] as const) await storage.save(fileOf(kind, bytes), bytes);
    const objects = [...(server.buckets.get('classes')?.objects.values() ?? [])].flat();
    expect(new Set(objects.map(({ storageClass }) => storageClass))).toEqual(new Set(['STANDARD_IA', undefined]));
    expect(() => new S3Storage(s3Place(server, { storageClass: 'DEEP_ARCHIVE' }), systemClock)).toThrow('must be thawed');
  });
});

describe('what was stored in a bucket', () => {
  const bytes = randomBytes(100_000);
  const pack = fileOf('pack', bytes);

  it('is believed without loading it, once the server has refused a wrong digest', async () => {
    await using strict = await s3Server();
    const storage = await preparedS3(strict);
    const lock = randomBytes(100);
    await storage.save(fileOf('lock', lock), lock);
    await storage.save(pack, bytes);
    expect(await storage.holds(pack, bytes)).toBe(true);
    await storage.save(pack, bytes);
    expect(await storage.holds(pack, Buffer.alloc(bytes.length))).toBe(false);
    // The lock was sent again, not the pack.
    expect(strict.requests.filter((line) => line.startsWith('PUT') && line.includes('/data/'))).toHaveLength(2);
    expect(strict.requests.filter((line) => line.startsWith('GET') && line.includes('/data/'))).toHaveLength(1);
  });

  it('is loaded and compared when the server takes anything', async () => {
    await using lax = await s3Server();
    lax.behaviour.checksDigests = false;
    const storage = await preparedS3(lax, { bucket: 'lax' });
    for (const damage of [false, true]) {
      await storage.save(pack, bytes);
      for (const versions of lax.buckets.get('lax')?.objects.values() ?? []) if (damage) versions[0]?.bytes?.fill(0, 500, 501);
      expect(await storage.holds(pack, bytes)).toBe(!damage);
    }
  });

  it('is not believed when another has replaced or removed it', async () => {
    const storage = await preparedS3(server);
    await storage.save(pack, bytes);
    await (new S3Storage(s3Place(server, { bucket: storage.location.split('/')[3] ?? '' }), systemClock)).save(pack, Buffer.from('another'));
    expect(await storage.holds(pack, bytes)).toBe(false);
    await storage.save(pack, bytes);
    await storage.remove(pack);
    await expect(storage.holds(pack, bytes)).rejects.toMatchObject({ code: 'file-missing' });
  });
});

describe('a config that two make at once', () => {
  const race = async (conditions: 'obeyed' | 'ignored' | 'refused'): Promise<readonly string[]> => {
    await using racing = await s3Server();
    racing.behaviour.conditions = conditions;
    const first = await preparedS3(racing, { bucket: 'race' });
    const second = await preparedS3(racing, { bucket: 'race' });
    const outcome = async (storage: Storage, text: string): Promise<string> => await storage.save({ kind: 'config', id: '' }, Buffer.from(text)).then(() => 'stored', (error: { code: string }) => error.code);
    return await Promise.all([outcome(first, 'one'), outcome(second, 'two')]);
  };

  it('is that of one of them where the server can tell', async () => {
    expect((await race('obeyed')).toSorted()).toEqual(['repository-exists', 'stored']);
  });

  it('never is a silent loss where the server cannot: at most one of two at once believes to have it', async () => {
    for (const conditions of ['ignored', 'refused'] as const) expect((await race(conditions)).filter((end) => end === 'stored').length).toBeLessThanOrEqual(1);
  });

  it('may be saved again by the same, as after an answer that was lost', async () => {
    const storage = await preparedS3(server);
    server.fail({ on: /^PUT .*config/, how: 'reset-after' });
    await expect(storage.save({ kind: 'config', id: '' }, Buffer.from('one'))).rejects.toMatchObject({ transient: true });
    await storage.save({ kind: 'config', id: '' }, Buffer.from('one'));
    expect(await storage.saveNew({ kind: 'config', id: '' }, Buffer.from('one'))).toBe(false);
  });
});
