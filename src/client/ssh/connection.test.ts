import * as fs from 'node:fs/promises';
import * as net from 'node:net';
import { once } from 'node:events';
import { afterAll, describe, expect, it } from 'vitest';
import { makeKey, publicLine, sshServer, type SshServer, type SshServerOptions } from '../../../test/fixture/ssh-server.ts';
import { scratch } from '../../../test/fixture/scratch.ts';
import { Secret } from '../../base/secret.ts';
import { SftpSession } from './sftp-session.ts';
import type { SshRequest } from './target.ts';

await using lifetime = new AsyncDisposableStack();
const kept = lifetime.move();
afterAll(async () => await kept.disposeAsync());
const place = kept.use(await scratch('ssh'));
let next = 0;

async function write(content: string, mode = 0o600): Promise<string> {
  const file = place.path(`file-${next++}`);
  await fs.writeFile(file, content, { mode });
  return file;
}

async function serve(options: SshServerOptions): Promise<SshServer> {
  return kept.use(await sshServer(options));
}

/** Nothing of the machine that the test runs on: no agent, no keys, no known hosts. */
async function connect(server: Pick<SshServer, 'port' | 'knownHosts'>, more: Partial<SshRequest> = {}, config = ''): Promise<string> {
  const configFile = await write(`IdentityAgent none\n${config}\nHost *\n IdentityFile none\n`);
  const session = await SftpSession.open({ host: '127.0.0.1', port: server.port, user: 'ada', knownHostsFile: server.knownHosts, configFile, ...more }, new AbortController().signal);
  await session.stat('.');
  session.close();
  return session.server;
}

describe('a login', () => {
  it('is made with a password, and with one that is asked for as on a keyboard', async () => {
    await connect(await serve({ password: 'open sesame' }), { password: new Secret('open sesame') });
    await connect(await serve({ keyboard: 'open sesame' }), { password: new Secret('open sesame') });
  });

  it('is made with a key, with a passphrase and without', async () => {
    const [key, locked] = [makeKey(), makeKey('under the mat')];
    await connect(await serve({ publicKey: key.public }), { identityFile: await write(key.private) });
    await connect(await serve({ publicKey: locked.public }), { identityFile: await write(locked.private), passphrase: new Secret('under the mat') });
    await connect(await serve({ publicKey: key.public }), {}, `IdentityFile ${await write(key.private)}`);
  });

  it('is made with a key and then a password, when the server wants both', async () => {
    const key = makeKey();
    const server = await serve({ publicKey: key.public, password: 'open sesame', twoFactors: true });
    await connect(server, { identityFile: await write(key.private), password: new Secret('open sesame') });
    await connect(server, { password: new Secret('open sesame') }, `IdentityFile ${await write(key.private)}`);
  });

  it('tries a password that is given before keys that nobody named', async () => {
    const server = await serve({ publicKey: makeKey().public, password: 'open sesame' });
    await connect(server, { password: new Secret('open sesame') }, `IdentityFile ${await write(makeKey().private)}`);
    expect(server.tried).toEqual(['none', 'password']);
  });
});

describe('a login that is refused', () => {
  it('tells what was tried and what the server takes, and no secret', async () => {
    const server = await serve({ password: 'open sesame', publicKey: makeKey().public });
    const wrong = await write(makeKey().private);
    const locked = await write(makeKey('mat').private);
    const open = await write(makeKey().private, 0o644);
    const config = [wrong, locked, open, '/nowhere/key'].map((file) => `IdentityFile ${file}`).join('\n');
    const refused = connect(server, { password: new Secret('a wrong one') }, config);
    await expect(refused).rejects.toMatchObject({ code: 'storage-denied', transient: false, message: [
      `ada@127.0.0.1:${server.port} does not let us in:`, 'tried the password', `tried key ${wrong}`, `${open}: others can read it, so it is not used`,
      '/nowhere/key: there is no such file', `key ${locked}: needs a passphrase`, 'the server takes: publickey, password',
    ].join('\n') });
  });

  it('says that there was nothing to offer', async () => {
    await expect(connect(await serve({ password: 'open sesame' }))).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringContaining('there was nothing to offer: no key, no agent and no password') });
  });

  it('says which question had no answer', async () => {
    await expect(connect(await serve({ keyboard: 'open sesame' }), { password: new Secret('a wrong one') })).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringContaining('tried the password, typed as on a keyboard') });
  });
});

describe('a key that was asked for', () => {
  it.each([
    ['is not there', (): Promise<string> => Promise.resolve('/nowhere/key'), {}, 'storage-denied', 'the private key /nowhere/key cannot be read: there is no such file'],
    ['can be read by others', (): Promise<string> => write(makeKey().private, 0o640), {}, 'secret-exposed', /the private key .* can be read by others/],
    ['needs a passphrase', (): Promise<string> => write(makeKey('mat').private), {}, 'storage-denied', /^the private key .* needs a passphrase$/],
    ['has another passphrase', (): Promise<string> => write(makeKey('mat').private), { passphrase: new Secret('rug') }, 'storage-denied', /^the private key .* does not open with the given passphrase$/],
    ['is no key', (): Promise<string> => write('no key'), {}, 'storage-denied', /^the private key .* cannot be used \(Unsupported key format\)$/],
    ['is a public one', (): Promise<string> => write(makeKey().public), {}, 'storage-denied', /is a public key, and the agent does not hold the private one/],
  ] as const)('and %s is an error', async (_how, file, more, code, says) => {
    const server = await serve({ publicKey: makeKey().public });
    await expect(connect(server, { identityFile: await file(), ...more })).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
  });
});

describe('a host', () => {
  it('that is not known is refused with its fingerprint and the line that would make it known', async () => {
    const server = await serve({});
    const knownHostsFile = await write('# nobody\n');
    const error = await connect(server, { knownHostsFile }).then(String, (thrown: unknown): unknown => thrown);
    expect(error).toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringMatching(/^the host key of ada@127\.0\.0\.1:\d+ is not known: it shows the ED25519 key SHA256:\S{43}$/) });
    const line = (error as { hint: string }).hint.split(`${knownHostsFile}: `)[1] ?? '';
    await connect(server, { knownHostsFile: await write(`${line}\n`) });
    expect(server.logins).toBe(1);
  });

  it('whose key has changed is refused loudly', async () => {
    const server = await serve({});
    const knownHostsFile = await write(`[127.0.0.1]:${server.port} ${publicLine(makeKey().private)}\n`);
    await expect(connect(server, { knownHostsFile })).rejects.toMatchObject({
      code: 'storage-failed', transient: false,
      message: expect.stringMatching(new RegExp(`^THE HOST KEY OF ada@127\\.0\\.0\\.1:\\d+ HAS CHANGED: it shows the ED25519 key SHA256:.*\nknown is SHA256:\\S{43} \\(${knownHostsFile}:1\\)\n`)),
      hint: expect.stringContaining(`ssh-keygen -R '[127.0.0.1]:${server.port}'`),
    });
    expect(server.tried).toEqual([]);
  });

  it('is refused also where ssh_config would take any, and it says so', async () => {
    const server = await serve({});
    await expect(connect(server, { knownHostsFile: '/dev/null' }, 'StrictHostKeyChecking no')).rejects.toThrow('StrictHostKeyChecking no of ssh_config is not obeyed');
  });

  it('whose key is revoked is refused', async () => {
    const key = makeKey().private;
    const server = await serve({ hostKeys: [key] });
    const knownHostsFile = await write(`[127.0.0.1]:${server.port} ${publicLine(key)}\n@revoked * ${publicLine(key)}\n`);
    await expect(connect(server, { knownHostsFile })).rejects.toThrow(/IS REVOKED/);
  });

  it('is known by its alias', async () => {
    const key = makeKey().private;
    const server = await serve({ hostKeys: [key] });
    await connect(server, { knownHostsFile: await write(`vault ${publicLine(key)}\n`) }, 'HostKeyAlias vault');
  });
});

describe('a server that cannot be reached', () => {
  const nobody = { port: 1, knownHosts: '/dev/null' };

  it.each([
    ['because its name does not resolve', { host: 'nowhere.invalid' }, '', /^cannot connect to ada@nowhere\.invalid:1: the name of the host (does not resolve|could not be looked up now)$/],
    ['because nobody listens', {}, '', /^cannot connect to ada@127\.0\.0\.1:1: the connection was refused$/],
    ['because the jump host is not there', {}, 'Host 127.0.0.1\n ProxyJump bob@localhost:2', /^cannot connect to bob@localhost:2: the connection was refused$/],
    ['because its jump hosts go in a circle', { host: 'a' }, 'Host a\n ProxyJump b\nHost b\n ProxyJump a', /go in a circle/],
  ])('%s', async (_why, more, config, says) => {
    await expect(connect(nobody, more, config)).rejects.toMatchObject({ message: expect.stringMatching(says) });
  });

  it('is told from one that says nothing, and from one that is something else', async () => {
    const greetings = ['', 'HTTP/1.1 400 Bad Request\r\n\r\n'];
    const listeners = greetings.map((greeting) => net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(greeting);
      kept.defer(() => void socket.destroy());
    }).listen(0, '127.0.0.1'));
    const ports = await Promise.all(listeners.map(async (listener) => {
      await once(listener, 'listening');
      kept.defer(() => void listener.close());
      return (listener.address() as net.AddressInfo).port;
    }));
    await expect(connect({ port: ports[0] ?? 0, knownHosts: '/dev/null' }, {}, 'ConnectTimeout 1')).rejects.toMatchObject({ transient: true, message: expect.stringContaining('the login was not done after 1 seconds') });
    await expect(connect({ port: ports[1] ?? 0, knownHosts: '/dev/null' }, {}, 'ConnectTimeout 1')).rejects.toThrow(/no SSH server|login was not done/);
  });

  it('is told from one without SFTP', async () => {
    await expect(connect(await serve({ noSftp: true }))).rejects.toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringMatching(/lets us in, but it has no SFTP/) });
  });

  it('is left at once when the signal fires', async () => {
    const listener = net.createServer((socket) => void socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const abort = new AbortController();
    const opening = SftpSession.open({ host: '127.0.0.1', port: (listener.address() as net.AddressInfo).port, configFile: '/dev/null' }, abort.signal);
    setTimeout(() => abort.abort(new Error('enough')), 20);
    await expect(opening).rejects.toThrow('enough');
    // Resolves only when no connection is left.
    await new Promise((resolve) => listener.close(resolve));
  });
});

describe('the configuration', () => {
  it('that is named must be there', async () => {
    await expect(connect({ port: 1, knownHosts: '/dev/null' }, { configFile: '/nowhere/config' })).rejects.toMatchObject({ code: 'config', message: expect.stringContaining('/nowhere/config cannot be read') });
  });

  it('includes other files, by patterns too', async () => {
    const server = await serve({});
    const first = await write(`Host alias\n  HostName 127.0.0.1\n  Port ${server.port}\n`);
    expect(await connect(server, { host: 'alias', port: undefined }, `Include ${first}\nInclude ${place.path('none-*')}`)).toBe(`ada@127.0.0.1:${server.port}`);
  });

  it('may reach the server through a command', async () => {
    const server = await serve({});
    const script = `require('net').connect(${server.port},'127.0.0.1',function(){process.stdin.pipe(this).pipe(process.stdout)})`;
    expect(await connect({ ...server, port: 22 }, { host: '127.0.0.1', port: server.port }, `ProxyCommand ${process.execPath} -e "${script}"`)).toContain('ada@');
  });
});
