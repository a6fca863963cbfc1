import { hash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { sshServer, type SshServer, type SshServerOptions } from '../../test/fixture/ssh-server.ts';
import { systemClock } from '../base/clock.ts';
import { SftpStorage } from './sftp.ts';
import type { ListedStoredFile, StoredFile } from './storage.ts';
import { storageSuite } from './suite.ts';

await using lifetime = new AsyncDisposableStack();
const kept = lifetime.move();
afterAll(async () => await kept.disposeAsync());

interface Opened {
  readonly server: SshServer;
  readonly storage: SftpStorage;
}

async function open(options: SshServerOptions = {}, path = 'repository'): Promise<Opened> {
  const server = kept.use(await sshServer(options));
  const storage = new SftpStorage({ kind: 'sftp', host: '127.0.0.1', port: server.port, user: 'ada', path, knownHostsFile: server.knownHosts, configFile: '/dev/null' }, systemClock);
  kept.defer(() => storage.close());
  await storage.prepare();
  return { server, storage };
}

function pack(bytes: Uint8Array): StoredFile {
  return { kind: 'pack', id: hash('sha256', bytes) };
}

async function listed(files: AsyncIterable<ListedStoredFile>): Promise<readonly ListedStoredFile[]> {
  const found: ListedStoredFile[] = [];
  for await (const file of files) found.push(file);
  return found;
}

async function below(folder: string): Promise<readonly string[]> {
  const entries = await fs.readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

let shared: SshServer | undefined;
let next = 0;
storageSuite('sftp, on a server without extensions', async () => {
  shared ??= kept.use(await sshServer());
  const storage = new SftpStorage({ kind: 'sftp', host: '127.0.0.1', port: shared.port, user: 'ada', path: `suite/${next++}`, knownHostsFile: shared.knownHosts, configFile: '/dev/null' }, systemClock);
  kept.defer(() => storage.close());
  await storage.prepare();
  return storage;
}, { bulky: false });

describe('a folder on an SSH server', () => {
  it('is made with all that leads to it, and may be made twice', async () => {
    const { server, storage } = await open({}, '~/deep/er/repository/');
    await storage.prepare();
    expect((await fs.readdir(server.path('deep/er/repository'))).sort()).toEqual(['data', 'index', 'keys', 'locks', 'proofs', 'snapshots']);
    expect(await fs.readdir(server.path('deep/er/repository/data'))).toHaveLength(256);
  });

  it('has its address as its location', async () => {
    const { server, storage } = await open();
    expect(storage.location).toBe(`sftp://ada@127.0.0.1:${server.port}/repository`);
  });

  it('of another user cannot be named by a tilde', () => {
    expect(() => new SftpStorage({ kind: 'sftp', host: 'nas', path: '~ada/x' }, systemClock)).toThrow('in the home of another user');
  });

  it('that somebody tidied away is made again', async () => {
    const { server, storage } = await open();
    await fs.rm(server.path('repository'), { recursive: true });
    await storage.save(pack(Buffer.from('x')), Buffer.from('x'));
    expect(await storage.size(pack(Buffer.from('x')))).toBe(1);
  });

  it('has files that nobody can change', async () => {
    const { server, storage } = await open();
    const bytes = Buffer.from('x');
    await storage.save(pack(bytes), bytes);
    const { id } = pack(bytes);
    expect((await fs.stat(server.path('repository/data', id.slice(0, 2), id))).mode & 0o777).toBe(0o400);
  });
});

describe('where the server cannot rename over a file', () => {
  it('an equal one stays, and another is replaced', async () => {
    const { server, storage } = await open();
    const bytes = randomBytes(100_000);
    const { id } = pack(bytes);
    const path = server.path('repository/data', id.slice(0, 2), id);
    await storage.save(pack(bytes), bytes);
    const { ino } = await fs.stat(path);
    await storage.save(pack(bytes), bytes);
    expect((await fs.stat(path)).ino).toBe(ino);
    await fs.chmod(path, 0o600);
    await fs.writeFile(path, randomBytes(100_000));
    await storage.save(pack(bytes), bytes);
    expect((await fs.readFile(path)).equals(bytes)).toBe(true);
    expect(await below(server.folder)).toEqual([id]);
  });

  it('of two that save the same name as a new one, one does', async () => {
    const { server, storage } = await open();
    const config = { kind: 'config', id: '' } as const;
    const saved = await Promise.all(['one', 'two', 'three'].map((text) => storage.saveNew(config, Buffer.from(text))));
    expect(saved.filter((one) => one)).toHaveLength(1);
    expect((await storage.load(config)).toString()).toBe(['one', 'two', 'three'][saved.indexOf(true)]);
    expect(await below(server.folder)).toEqual(['config']);
  });
});

describe('a save that fails', () => {
  it.each(['write', 'close', 'rename'])('at %s leaves nothing behind, and says what the server says', async (request) => {
    let broken = false;
    const { server, storage } = await open({ fate: (name) => (broken && name === request ? 4 : undefined) });
    broken = true;
    const bytes = randomBytes(200_000);
    const saving = storage.save(pack(bytes), bytes);
    await expect(saving).rejects.toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringMatching(/^cannot write pack [0-9a-f]{10} in sftp:.*: the server says "as the test wants it" about repository\/data/) });
    expect(await below(server.folder)).toEqual([]);
  });

  it('for lack of permission names the path', async () => {
    let broken = false;
    const { storage } = await open({ fate: (name) => (broken && name === 'open' ? 3 : undefined) });
    broken = true;
    const bytes = randomBytes(10);
    await expect(storage.save(pack(bytes), bytes)).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringContaining(`permission denied for repository/data/${pack(bytes).id.slice(0, 2)}/`) });
  });

  it('is over at once when it is given up, and removes its temporary file by itself', async () => {
    const { server, storage } = await open();
    const [bytes, abort] = [randomBytes(3_000_000), new AbortController()];
    const reason = new Error('enough');
    const saving = storage.save(pack(bytes), bytes, { signal: abort.signal, moved: () => {
      abort.abort(reason);
      return undefined;
    } });
    await expect(saving).rejects.toBe(reason);
    await storage.close();
    expect(await below(server.folder)).toEqual([]);
  });
});

describe('a connection that is lost', () => {
  it('in the middle of a save is a transient failure; the next call connects anew', async () => {
    let writes = 0;
    const { server, storage } = await open({ fate: (name) => (name === 'write' && ++writes === 20 ? 'drop' : undefined) });
    const bytes = randomBytes(2_000_000);
    await expect(storage.save(pack(bytes), bytes)).rejects.toMatchObject({ code: 'storage-failed', transient: true, message: expect.stringMatching(/^the connection to ada@127\.0\.0\.1:\d+ was lost/) });
    expect(await storage.size(pack(bytes))).toBeUndefined();
    await storage.save(pack(bytes), bytes);
    expect((await storage.load(pack(bytes))).equals(bytes)).toBe(true);
    expect(server.logins).toBe(2);
    // What the dead connection could not remove is swept later.
    expect(await storage.sweep(new Date(Date.now() - 60_000))).toBe(0);
    expect(await storage.sweep(new Date(Date.now() + 60_000))).toBe(1);
    expect(await below(server.folder)).toEqual([pack(bytes).id]);
  });

  it('fails all calls that run, and is made once for all that come after', async () => {
    let hang = true;
    const { server, storage } = await open({ fate: (name) => (hang && name === 'stat' ? 'hang' : undefined) });
    const calls = [1, 2, 3].map((n) => storage.size(pack(Buffer.from([n]))));
    setTimeout(() => server.cut(), 50);
    for (const result of await Promise.allSettled(calls)) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'storage-failed', transient: true } });
    hang = false;
    expect(await Promise.all([1, 2, 3].map((n) => storage.size(pack(Buffer.from([n])))))).toEqual([undefined, undefined, undefined]);
    expect(server.logins).toBe(2);
  });

  it('is noticed when the server says nothing any more', async () => {
    let hang = false;
    const server = kept.use(await sshServer({ fate: () => (hang ? 'hang' : undefined) }));
    const configFile = server.path('../ssh_config');
    await fs.writeFile(configFile, 'ServerAliveInterval 1\nServerAliveCountMax 1\n');
    const storage = new SftpStorage({ kind: 'sftp', host: '127.0.0.1', port: server.port, user: 'ada', path: 'x', knownHostsFile: server.knownHosts, configFile }, systemClock);
    kept.defer(() => storage.close());
    expect(await storage.size(pack(Buffer.alloc(1)))).toBeUndefined();
    // Silent, but alive: asked, it answers.
    await new Promise((resolve) => setTimeout(resolve, 3500));
    expect(await storage.size(pack(Buffer.alloc(1)))).toBeUndefined();
    expect(server.logins).toBe(1);
    hang = true;
    await expect(storage.size(pack(Buffer.alloc(1)))).rejects.toMatchObject({ code: 'storage-failed', transient: true, message: expect.stringContaining('was lost: the server does not answer any more') });
  });

  it('is not needed to give up a call that gets no answer', async () => {
    const { server, storage } = await open({ fate: (name) => (name === 'stat' ? 'hang' : undefined) });
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('enough')), 20);
    await expect(storage.size(pack(Buffer.alloc(1)), { signal: abort.signal })).rejects.toThrow('enough');
    server.cut();
  });
});

describe('what is told of a transfer', () => {
  it('are all of its bytes, and it waits when it is asked to', async () => {
    const { storage } = await open();
    const bytes = randomBytes(300_000);
    const counted = { bytes: 0, waiting: 0, most: 0 };
    const moved = async (count: number): Promise<void> => {
      counted.bytes += count;
      counted.most = Math.max(counted.most, ++counted.waiting);
      await new Promise((resolve) => setTimeout(resolve, 5));
      counted.waiting--;
    };
    await storage.save(pack(bytes), bytes, { moved });
    expect(counted.bytes).toBe(300_000);
    await storage.load(pack(bytes), { offset: 5, length: 100_000 }, { moved });
    expect(counted.bytes).toBe(400_000);
    expect(counted.most).toBeGreaterThan(1);
  });
});

describe('a listing', () => {
  it('leaves out what is unfinished and what is foreign, and of a folder that is missing there is none', async () => {
    const { server, storage } = await open();
    const bytes = randomBytes(10);
    await storage.save({ kind: 'snapshot', id: hash('sha256', bytes) }, bytes);
    await fs.writeFile(server.path('repository/snapshots', `${'cd'.repeat(32)}-tmp-12ab`), 'half');
    await fs.writeFile(server.path('repository/snapshots/README'), 'foreign');
    await fs.rm(server.path('repository/index'), { recursive: true });
    expect(await listed(storage.list('snapshot'))).toEqual([{ id: hash('sha256', bytes), size: 10 }]);
    expect(await listed(storage.list('index'))).toEqual([]);
    expect(await listed(storage.list('config'))).toEqual([]);
  });

  it('that fails says which folder', async () => {
    let broken = false;
    const { storage } = await open({ fate: (name, path) => (broken && name === 'opendir' && path.endsWith('/7f') ? 3 : undefined) });
    broken = true;
    await expect(listed(storage.list('pack'))).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringContaining('cannot list data/7f') });
  });
});

describe('the clock of the server', () => {
  it('is read from a file that is gone afterwards', async () => {
    const { server, storage } = await open();
    expect(Math.abs((await storage.serverTime()).getTime() - Date.now())).toBeLessThan(3000);
    expect(await below(server.folder)).toEqual([]);
    expect(await storage.freeBytes()).toBeUndefined();
  });
});
