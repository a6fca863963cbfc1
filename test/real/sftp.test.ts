/** The SFTP storage on OpenSSH's server. */
import { hash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { SftpStorage } from '../../src/storage/sftp.ts';
import type { StoredFile } from '../../src/storage/storage.ts';
import { storageSuite } from '../../src/storage/suite.ts';
import { run } from '../fixture/run.ts';
import { smallTmpfs } from '../fixture/small-tmpfs.ts';
import { sshd, type Sshd } from '../fixture/sshd.ts';

await using lifetime = new AsyncDisposableStack();
const kept = lifetime.move();
afterAll(async () => await kept.disposeAsync());

function storageOn(server: Sshd, path: string): SftpStorage {
  const storage = new SftpStorage({ kind: 'sftp', host: 'here', path, configFile: server.configFile }, systemClock);
  kept.defer(() => storage.close());
  return storage;
}

function pack(bytes: Uint8Array): StoredFile {
  return { kind: 'pack', id: hash('sha256', bytes) };
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

let shared: Sshd | undefined;
let next = 0;
storageSuite('sftp, on OpenSSH', async () => {
  shared ??= kept.use(await sshd());
  const storage = storageOn(shared, shared.path('data', String(next++)));
  await storage.prepare();
  return storage;
});

describe('on OpenSSH, the storage', () => {
  it('has room as df sees it', async () => {
    await using server = await sshd();
    await using disk = await smallTmpfs(32 << 20);
    const storage = storageOn(server, disk.folder);
    await storage.prepare();
    const free = await storage.freeBytes();
    expect(free).toBeGreaterThan(20 << 20);
    expect(free).toBeLessThanOrEqual(32 << 20);
  });

  it('outlives new keys of the session in the middle of transfers', async () => {
    await using server = await sshd({ config: ['RekeyLimit 4M'] });
    const storage = storageOn(server, server.path('data'));
    await storage.prepare();
    const packs = Array.from({ length: 6 }, () => randomBytes(5_000_000));
    await Promise.all(packs.map((bytes) => storage.save(pack(bytes), bytes)));
    const loaded = await Promise.all(packs.map((bytes) => storage.load(pack(bytes))));
    expect(loaded.every((bytes, at) => bytes.equals(packs[at] ?? Buffer.alloc(0)))).toBe(true);
  });

  it('behind a jump host that dies in the middle is lost at once, and reached again when that is back', async () => {
    await using target = await sshd();
    await using jump = await sshd({ config: ['AllowTcpForwarding yes'] });
    await target.extend('Host gate', '  HostName 127.0.0.1', `  Port ${jump.port}`, '  User root', `  IdentityFile ${jump.key}`, `  UserKnownHostsFile ${jump.knownHosts}`);
    await target.extend('Host far', '  HostName 127.0.0.1', `  Port ${target.port}`, '  User root', '  ProxyJump gate', `  IdentityFile ${target.key}`, `  UserKnownHostsFile ${target.knownHosts}`);
    const storage = new SftpStorage({ kind: 'sftp', host: 'far', path: target.path('data'), configFile: target.configFile }, systemClock);
    kept.defer(() => storage.close());
    await storage.prepare();
    const bytes = randomBytes(16 << 20);
    let stopping: Promise<void> | undefined;
    const moved = (): undefined => void (stopping ??= jump.stop());
    await expect(storage.save(pack(bytes), bytes, { moved })).rejects.toMatchObject({ code: 'storage-failed', transient: true, message: expect.stringMatching(/^the connection to .* was lost/) });
    await stopping;
    await expect(storage.size(pack(bytes))).rejects.toMatchObject({ transient: true, message: expect.stringContaining(`cannot connect to root@127.0.0.1:${jump.port}: the connection was refused`) });
    await jump.start();
    await storage.save(pack(bytes), bytes);
    expect((await storage.load(pack(bytes))).equals(bytes)).toBe(true);
  });

  it('says when the disk is full, and leaves nothing half written', async () => {
    await using server = await sshd();
    await using disk = await smallTmpfs(12 << 20);
    const storage = storageOn(server, disk.folder);
    await storage.prepare();
    const [small, large] = [randomBytes(1_000_000), Array.from({ length: 4 }, () => randomBytes(5_000_000))];
    await storage.save(pack(small), small);
    const results = await Promise.allSettled(large.map((bytes) => storage.save(pack(bytes), bytes)));
    const failed = results.filter((result) => result.status === 'rejected');
    expect(failed.length).toBeGreaterThan(1);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'storage-full', transient: false, message: expect.stringMatching(/^cannot write pack \w+ in sftp:here:.*: no space left on the server$/) });
    const stored = await filesBelow(disk.folder);
    expect(stored).toHaveLength(1 + results.length - failed.length);
    expect(stored.every((name) => /^[0-9a-f]{64}$/.test(name))).toBe(true);
  });

  it('says when there is room for bytes but not for one more file', async () => {
    await using server = await sshd();
    await using disk = await smallTmpfs(32 << 20, 270);
    const storage = storageOn(server, disk.folder);
    await storage.prepare();
    let error: unknown;
    for (let n = 0; n < 20 && error === undefined; n++) error = await storage.save(pack(Buffer.from([n])), Buffer.from([n])).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'storage-full' });
  });

  it('says when the file system is read-only', async () => {
    await using server = await sshd();
    await using disk = await smallTmpfs(8 << 20);
    const storage = storageOn(server, disk.folder);
    await storage.prepare();
    await run('mount', ['-o', 'remount,ro', disk.folder]);
    await expect(storage.save(pack(Buffer.alloc(1)), Buffer.alloc(1))).rejects.toMatchObject({ code: 'storage-failed', message: expect.stringMatching(/the file system of .* is read-only$/) });
    expect(await storage.size(pack(Buffer.alloc(1)))).toBeUndefined();
    await expect(storageOn(server, join(disk.folder, 'new')).prepare()).rejects.toMatchObject({ code: 'storage-failed' });
  });

  it('says when there is no room for its folders', async () => {
    await using server = await sshd();
    await using disk = await smallTmpfs(8 << 20, 100);
    await expect(storageOn(server, disk.folder).prepare()).rejects.toMatchObject({ code: 'storage-full', message: expect.stringMatching(/^cannot make the folders in sftp:here:.*: no space left on the server$/) });
  });

  it('says which path it may not write, read or list', async () => {
    // As somebody who is not root, for whom permissions count.
    await using server = await sshd({ config: ['ForceCommand setpriv --reuid=65534 --regid=65534 --clear-groups /usr/lib/openssh/sftp-server'] });
    await chmod(server.folder, 0o755);
    await chmod(server.path('data'), 0o777);
    const storage = storageOn(server, server.path('data/repository'));
    await storage.prepare();
    const bytes = Buffer.from('x');
    await storage.save(pack(bytes), bytes);
    const folder = join(server.path('data/repository/data'), pack(bytes).id.slice(0, 2));
    await run('chown', ['-R', 'root:', folder]);
    await chmod(folder, 0o755);
    const denied = { code: 'storage-denied', message: expect.stringContaining(`permission denied for ${folder}/`) };
    await expect(storage.load(pack(bytes))).rejects.toMatchObject(denied);
    await expect(storage.save(pack(bytes), bytes)).rejects.toMatchObject(denied);
    await expect(storage.remove(pack(bytes))).rejects.toMatchObject(denied);
    await chmod(folder, 0o700);
    const listing = async (): Promise<void> => {
      for await (const file of storage.list('pack')) expect(file.id).toBe('none');
    };
    await expect(listing()).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringContaining(`permission denied for ${folder}`) });
    await expect(storageOn(server, '/root/holdfast').prepare()).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringMatching(/cannot make the folders in .*: permission denied for \/root\/holdfast/) });
  });

  it('says when a file stands where its folder should be', async () => {
    await using server = await sshd();
    await writeFile(server.path('data/file'), 'x');
    await expect(storageOn(server, server.path('data/file')).prepare()).rejects.toMatchObject({ code: 'storage-failed' });
  });

  it('sweeps what restic and we left unfinished, and nothing younger or other', async () => {
    await using server = await sshd();
    const storage = storageOn(server, server.path('data'));
    await storage.prepare();
    const id = 'ab'.repeat(32);
    await mkdir(server.path('data/data/ab'), { recursive: true });
    const names = [`data/ab/${id}-tmp-0123456789ab`, `index/${id}-restic-temp-k3j4h5`, 'config-tmp-0123456789ab', `data/ab/${id}`, `snapshots/${id}-tmp`, 'notes-tmp-1'];
    for (const name of names) {
      await writeFile(server.path('data', name), 'x');
      await run('touch', ['-d', '2 days ago', server.path('data', name)]);
    }
    await writeFile(server.path('data/data/ab', `${id}-tmp-ffff`), 'young');
    expect(await storage.sweep(new Date(Date.now() - 3_600_000))).toBe(3);
    expect([...(await filesBelow(server.path('data')))].sort()).toEqual([id, `${id}-tmp`, `${id}-tmp-ffff`, 'notes-tmp-1'].sort());
  });
});

describe('a login on OpenSSH that gives no files', () => {
  it.each([
    ['has no such subsystem', 'Subsystem none /bin/false', 'it has no SFTP (Unable to start subsystem: sftp)'],
    ['has one that ends at once', 'Subsystem sftp /bin/false', 'it has no SFTP (Received exit code 1'],
    ['says something else', 'ForceCommand echo hello from the login script', 'what its SFTP subsystem says is not SFTP'],
  ])('because it %s', async (_why, line, says) => {
    await using server = await sshd({ config: [line] });
    await expect(storageOn(server, 'x').prepare()).rejects.toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringContaining(`lets us in, but ${says}`) });
  });
});
