/** Logins on OpenSSH's server, as its own client makes them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Secret } from '../../src/base/secret.ts';
import { settingsFor } from '../../src/client/ssh/config.ts';
import { readSshConfig } from '../../src/client/ssh/config-read.ts';
import { SftpSession } from '../../src/client/ssh/sftp-session.ts';
import { localFacts, resolveTarget, type SshRequest } from '../../src/client/ssh/target.ts';
import { run } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';
import { PASSPHRASE, sshd, type Sshd } from '../fixture/sshd.ts';

/** Logs in, asks one thing and leaves. Answers as whom it was where. */
async function login(request: SshRequest): Promise<string> {
  const session = await SftpSession.open(request, new AbortController().signal);
  await session.stat('.');
  session.close();
  return session.server;
}

function direct(server: Sshd, more: Partial<SshRequest> = {}): SshRequest {
  return { host: '127.0.0.1', port: server.port, user: 'root', knownHostsFile: server.knownHosts, configFile: '/dev/null', ...more };
}

/** What OpenSSH's own client says of the same login, for the same files. */
async function opensshSays(server: Sshd, ...options: readonly string[]): Promise<string> {
  const { code, stderr } = await run('sftp', ['-b', '/dev/null', '-F', server.configFile, '-o', 'StrictHostKeyChecking=yes', ...options, 'here'], { accept: [0, 255] });
  return `${code} ${stderr}`;
}

afterEach(() => {
  delete process.env['SSH_AUTH_SOCK'];
});

describe('keys', () => {
  it('open the door: one by its file, one with a passphrase, and those of ssh_config', async () => {
    await using server = await sshd();
    await login(direct(server, { identityFile: server.key }));
    await login(direct(server, { identityFile: server.lockedKey, passphrase: new Secret(PASSPHRASE) }));
    expect(await login({ host: 'here', configFile: server.configFile })).toBe(`root@127.0.0.1:${server.port}`);
  });

  it.each([
    ['rsa', ['-t', 'rsa', '-b', '2048']], ['rsa in PEM', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']], ['rsa in PKCS 8', ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8']],
    ['ecdsa', ['-t', 'ecdsa', '-b', '384']], ['ecdsa in PEM', ['-t', 'ecdsa', '-m', 'PEM']], ['ecdsa in PKCS 8', ['-t', 'ecdsa', '-m', 'PKCS8']],
  ])('of the kind %s are taken, with and without a passphrase', async (_kind, args) => {
    await using server = await sshd();
    for (const passphrase of ['', PASSPHRASE]) {
      const file = server.path(`kind-${passphrase.length}`);
      await run('ssh-keygen', ['-q', ...args, '-N', passphrase, '-f', file]);
      await appendFile(server.path('authorized_keys'), await readFile(`${file}.pub`));
      await login(direct(server, { identityFile: file, ...(passphrase !== '' && { passphrase: new Secret(passphrase) }) }));
    }
    const locked = { identityFile: server.path(`kind-${PASSPHRASE.length}`) };
    await expect(login(direct(server, locked))).rejects.toThrow(/kind-\d+ needs a passphrase$/);
    await expect(login(direct(server, { ...locked, passphrase: new Secret('another one') }))).rejects.toThrow(/kind-\d+ does not open with the given passphrase$/);
  });

  it('come from the agent: by their public part, by the name of their file, and all of them', async () => {
    await using server = await sshd();
    await using agent = await startAgent(server);
    await run('ssh-add', ['-q', server.key], { env: { SSH_AUTH_SOCK: agent.socket } });
    process.env['SSH_AUTH_SOCK'] = agent.socket;
    await login(direct(server));
    await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', server.path('agent-rsa')]);
    await appendFile(server.path('authorized_keys'), await readFile(server.path('agent-rsa.pub')));
    await run('ssh-add', ['-q', server.path('agent-rsa')], { env: { SSH_AUTH_SOCK: agent.socket } });
    await copyFile(server.path('agent-rsa.pub'), server.path('only.pub'));
    await login(direct(server, { identityFile: server.path('only.pub') }));
    // The passphrase is with the agent; without the agent the key cannot be used.
    await run('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'unknown to us', '-f', server.key]);
    await login(direct(server, { identityFile: server.key }));
    delete process.env['SSH_AUTH_SOCK'];
    await expect(login(direct(server, { identityFile: server.key }))).rejects.toMatchObject({ code: 'storage-denied', message: expect.stringMatching(/needs a passphrase$/) });
  });

  it('of an agent that has gone are no end', async () => {
    await using server = await sshd();
    process.env['SSH_AUTH_SOCK'] = server.path('no-socket');
    await login(direct(server, { identityFile: server.key }));
    await expect(login(direct(server))).rejects.toThrow(`the agent at ${server.path('no-socket')} does not answer`);
  });

  it('that are too many end the login with a reason', async () => {
    await using server = await sshd({ config: ['MaxAuthTries 2'] });
    await writeFile(server.path('many'), 'Host *\n IdentityAgent none\n');
    for (let n = 0; n < 5; n++) {
      await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', server.path(`many-${n}`)]);
      await appendFile(server.path('many'), ` IdentityFile ${server.path(`many-${n}`)}\n`);
    }
    await expect(login(direct(server, { configFile: server.path('many') }))).rejects.toMatchObject({ transient: false, message: expect.stringMatching(/too many/i) });
  });
});

interface Agent extends AsyncDisposable {
  readonly socket: string;
}

async function startAgent(server: Sshd): Promise<Agent> {
  const socket = server.path('agent');
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  const ended = once(agent, 'exit');
  for (let tries = 0; tries < 200; tries++) {
    const { code } = await run('ssh-add', ['-l'], { env: { SSH_AUTH_SOCK: socket }, accept: [0, 1, 2] });
    if (code !== 2) break;
    await wait(25);
  }
  return {
    socket,
    async [Symbol.asyncDispose]() {
      agent.kill();
      await ended;
    },
  };
}

describe('the host is judged as OpenSSH judges it', () => {
  it('known by a hashed name', async () => {
    await using server = await sshd();
    await run('ssh-keygen', ['-q', '-H', '-f', server.knownHosts]);
    expect(await readFile(server.knownHosts, 'utf8')).toMatch(/^\|1\|/);
    await login({ host: 'here', configFile: server.configFile });
    expect(await opensshSays(server)).toMatch(/^0 /);
  });

  it('known by one of its several keys, whichever it would rather show', async () => {
    await using server = await sshd({ hostKeys: ['ed25519', 'ecdsa', 'rsa'] });
    const lines = (await readFile(server.knownHosts, 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      await writeFile(server.knownHosts, `${line}\n`);
      await login({ host: 'here', configFile: server.configFile });
      expect(await opensshSays(server)).toMatch(/^0 /);
    }
  });

  it('unknown, and known after the line that is told was added', async () => {
    await using server = await sshd();
    await writeFile(server.knownHosts, '');
    const shown = (await run('ssh-keygen', ['-lf', server.path('host_ed25519.pub')])).stdout.split(' ')[1] ?? '';
    const error = await login({ host: 'here', configFile: server.configFile }).then(String, (thrown: unknown): unknown => thrown);
    expect(error).toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringContaining(`is not known: it shows the ED25519 key ${shown}`) });
    expect(await opensshSays(server)).toMatch(/^255 .*No ED25519 host key is known/s);
    const line = (error as { hint: string }).hint.split(`${server.knownHosts}: `)[1] ?? '';
    await writeFile(server.knownHosts, `${line}\n`);
    await login({ host: 'here', configFile: server.configFile });
    expect(await opensshSays(server)).toMatch(/^0 /);
  });

  it('changed, and right again after the command that is told was run', async () => {
    await using server = await sshd();
    await using other = await sshd();
    const [, type, key] = (await readFile(other.knownHosts, 'utf8')).trim().split(' ');
    await writeFile(server.knownHosts, `[127.0.0.1]:${server.port} ${type} ${key}\n`);
    const error = await login({ host: 'here', configFile: server.configFile }).then(String, (thrown: unknown): unknown => thrown);
    expect(error).toMatchObject({ code: 'storage-failed', transient: false, message: expect.stringMatching(/^THE HOST KEY OF .* HAS CHANGED/) });
    expect(await opensshSays(server)).toMatch(/^255 .*REMOTE HOST IDENTIFICATION HAS CHANGED/s);
    const [, command = '', line = ''] = /right: (ssh-keygen -R .*), and add the line: (.*)$/.exec((error as { hint: string }).hint) ?? [];
    await run('sh', ['-c', command]);
    await appendFile(server.knownHosts, `${line}\n`);
    await login({ host: 'here', configFile: server.configFile });
  });

  it('revoked', async () => {
    await using server = await sshd();
    await appendFile(server.knownHosts, `@revoked * ${(await readFile(server.path('host_ed25519.pub'), 'utf8')).trim()}\n`);
    await expect(login({ host: 'here', configFile: server.configFile })).rejects.toThrow(/IS REVOKED/);
    expect(await opensshSays(server)).toMatch(/^255 .*REVOKED/s);
  });

  it('vouched for by an authority, which we cannot check and say so', async () => {
    await using server = await sshd();
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', server.path('authority')]);
    await run('ssh-keygen', ['-q', '-s', server.path('authority'), '-I', 'host', '-h', '-n', '127.0.0.1', server.path('host_ed25519.pub')]);
    await appendFile(server.path('sshd_config'), `HostCertificate ${server.path('host_ed25519-cert.pub')}\n`);
    await server.stop();
    await server.start();
    await writeFile(server.knownHosts, `@cert-authority [127.0.0.1]:${server.port} ${await readFile(server.path('authority.pub'), 'utf8')}`);
    await expect(login({ host: 'here', configFile: server.configFile })).rejects.toThrow(/vouches for it with a @cert-authority, but Holdfast cannot check certificates of hosts/);
  });
});

describe('a jump host', () => {
  it('is passed on the way, also two, each with its own key and its own proof of who it is', async () => {
    await using target = await sshd();
    await using first = await sshd({ config: ['AllowTcpForwarding yes', `PermitOpen 127.0.0.1:*`] });
    await using second = await sshd({ config: ['AllowTcpForwarding yes'] });
    for (const [name, server] of [['first', first], ['second', second]] as const) {
      await target.extend(`Host ${name}`, '  HostName 127.0.0.1', `  Port ${server.port}`, '  User root', `  IdentityFile ${server.key}`, `  UserKnownHostsFile ${server.knownHosts}`);
    }
    await target.extend('Host far', '  ProxyJump first', 'Host further', '  ProxyJump first,root@second', 'Host far further', '  HostName 127.0.0.1', `  Port ${target.port}`, '  User root', `  IdentityFile ${target.key}`, `  UserKnownHostsFile ${target.knownHosts}`);
    for (const host of ['far', 'further']) {
      expect(await login({ host, configFile: target.configFile })).toBe(`root@127.0.0.1:${target.port}`);
      await run('sftp', ['-b', '/dev/null', '-F', target.configFile, host]);
    }
    expect(await first.log()).toMatch(/Accepted publickey/);
    expect(await second.log()).toMatch(/Accepted publickey/);
    // The way is checked, not only its end.
    await writeFile(first.knownHosts, '');
    await expect(login({ host: 'far', configFile: target.configFile })).rejects.toThrow(`the host key of root@127.0.0.1:${first.port} is not known`);
  });

  it('that does not forward is an error that names both', async () => {
    await using target = await sshd();
    await target.extend('Host far', '  HostName 127.0.0.1', '  Port 1', '  ProxyJump here');
    await expect(login({ host: 'far', user: 'ada', configFile: target.configFile })).rejects.toMatchObject({
      code: 'storage-failed', message: `cannot reach ada@127.0.0.1:1 through root@127.0.0.1:${target.port}: the jump host does not allow it`, hint: expect.stringContaining('AllowTcpForwarding'),
    });
    await using open = await sshd({ config: ['AllowTcpForwarding yes'] });
    await open.extend('Host far', '  HostName 127.0.0.1', '  Port 1', '  ProxyJump here');
    await expect(login({ host: 'far', user: 'ada', configFile: open.configFile })).rejects.toThrow(/through root@127\.0\.0\.1:\d+: the jump host cannot connect to it$/);
  });
});

const CONFIG = `
User before
Host nas nas.* !nas.old
    HostName %h.example.org
    Port 2222
    IdentityFile ~/.ssh/%r-key
    IdentityFile "/keys/with space"
    ServerAliveInterval 1m
Host=vault
    HostKeyAlias the-vault
    ProxyJump ada@gate:2200,inner
    UserKnownHostsFile ~/.ssh/known_vault /etc/known
    ConnectTimeout 1m30s
    IdentitiesOnly yes
Match host *.example.org user before
    IdentityAgent /run/agent
    ConnectTimeout 7
Match originalhost vault !localuser nobody
    StrictHostKeyChecking accept-new
    GlobalKnownHostsFile none
Include INCLUDED
Match exec "test %n = gate"
    Port 99
Match final host *.example.org
    ServerAliveCountMax 9
Host *
    User after
    HashKnownHosts yes
    ServerAliveCountMax 5
    IdentityFile ~/.ssh/last
`;

const INCLUDED = `
Host inner
    User included
    Port 4444
Host nobody
    Port 1
`;

describe('ssh_config', () => {
  it.each(['nas', 'nas.home', 'nas.old', 'vault', 'inner', 'gate', 'other'])('says of %s what ssh -G says', async (host) => {
    await using place = await scratch('ssh-config');
    await writeFile(place.path('included'), INCLUDED);
    await writeFile(place.path('config'), CONFIG.replace('INCLUDED', place.path('incl*')));
    const { stdout } = await run('ssh', ['-G', '-F', place.path('config'), host]);
    const openssh = (keyword: string): readonly string[] => stdout.split('\n').filter((line) => line.startsWith(`${keyword} `)).map((line) => line.slice(keyword.length + 1));
    const lines = await readSshConfig(place.path('config'), localFacts());
    const ours = settingsFor(lines, { host, localUser: userInfo().username, succeeds: (command) => command === 'test gate = gate' });
    const expected: Record<string, readonly string[]> = {};
    const found: Record<string, readonly (string | undefined)[]> = {};
    const compare = (keyword: string, value: string | number | undefined, otherwise?: string): void => {
      expected[keyword] = openssh(keyword);
      found[keyword] = value === undefined ? (otherwise === undefined ? [] : [otherwise]) : [String(value)];
    };
    compare('hostname', ours.hostName);
    compare('user', ours.user);
    compare('port', ours.port, '22');
    compare('hostkeyalias', ours.hostKeyAlias);
    compare('proxyjump', ours.proxyJump);
    compare('identityagent', ours.identityAgent);
    compare('connecttimeout', ours.connectTimeout, 'none');
    compare('serveraliveinterval', ours.serverAliveInterval, '0');
    compare('serveralivecountmax', ours.serverAliveCountMax, '3');
    compare('identitiesonly', ours.identitiesOnly ? 'yes' : 'no');
    compare('stricthostkeychecking', ours.strictHostKeyChecking, 'ask');
    if (ours.userKnownHostsFiles) compare('userknownhostsfile', ours.userKnownHostsFiles.join(' ').replaceAll('~/', `${userInfo().homedir}/`));
    if (ours.globalKnownHostsFiles) compare('globalknownhostsfile', ours.globalKnownHostsFiles.join(' '));
    expected['identityfile'] = openssh('identityfile');
    found['identityfile'] = ours.identityFiles;
    expect(found).toEqual(expected);
  });

  it('of the user comes before that of the system, and is not read when others can write it', async () => {
    await using home = await scratch('home');
    await run('mkdir', ['-p', home.path('.ssh')]);
    await writeFile(home.path('.ssh/config'), 'Host here\n Port 7\n', { mode: 0o600 });
    const before = process.env['HOME'];
    process.env['HOME'] = home.folder;
    try {
      expect(await resolveTarget({ host: 'here' })).toMatchObject({ host: 'here', port: 7, knownHostsFiles: expect.arrayContaining([home.path('.ssh/known_hosts')]), identities: expect.arrayContaining([{ path: home.path('.ssh/id_ed25519'), asked: 'by its usual name' }]) });
      await chmod(home.path('.ssh/config'), 0o666);
      await expect(resolveTarget({ host: 'here' })).rejects.toMatchObject({ code: 'config', message: expect.stringContaining('others can write it') });
    } finally {
      process.env['HOME'] = before;
    }
  });
});
