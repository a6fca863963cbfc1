/** A repository on OpenSSH's server, by the command line and by stock restic. */
import { spawn } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { expectClearError } from '../fixture/clear-error.ts';
import { expectSameContent } from '../fixture/hard-tree.ts';
import { HOLDFAST } from '../fixture/holdfast.ts';
import { run, type RunResult } from '../fixture/run.ts';
import { sftpStack, type SftpStack } from '../fixture/sftp-stack.ts';
import { smallTmpfs } from '../fixture/small-tmpfs.ts';
import { freePort, sshd } from '../fixture/sshd.ts';

const MB = 1_000_000;

/** Files whose name says one thing and whose content another. */
async function wronglyNamed(repository: string): Promise<readonly string[]> {
  const wrong: string[] = [];
  for (const entry of await readdir(repository, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name) && hash('sha256', await readFile(path)) !== basename(path)) wrong.push(path);
  }
  return wrong;
}

/** Bytes of all packs, also of those that are being written. */
async function stored(repository: string): Promise<number> {
  const { stdout } = await run('find', [join(repository, 'data'), '-type', 'f', '-printf', '%s\\n'], { accept: [0, 1] });
  return stdout.split('\n').reduce((sum, size) => sum + Number(size), 0);
}

async function fill(stack: SftpStack, parts: number): Promise<void> {
  for (let part = 0; part < parts; part++) await writeFile(stack.path(`files/large-${part}`), randomBytes(16 * MB));
}

/** A backup that runs on; what it said is known when it has ended. */
function startBackup(stack: SftpStack): { readonly ended: Promise<RunResult>; readonly pid: number; said(): string } {
  const child = spawn(HOLDFAST, ['backup', '--json'], { cwd: stack.folder, env: { ...process.env, ...stack.env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
  const said = (): string => Buffer.concat(stderr).toString();
  const ended = once(child, 'close').then((): RunResult => ({ code: child.exitCode ?? undefined, signal: child.signalCode ?? undefined, stdout: Buffer.concat(stdout).toString(), stderr: said() }));
  return { ended, said, pid: child.pid ?? 0 };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1200; tries++) {
    if (await holds()) return;
    await wait(25);
  }
  throw new Error('it never came');
}

describe('a repository on an SSH server', () => {
  it('is made, filled, checked and restored, and what restic adds is restored, too', async () => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    expect((await stack.holdfast('init')).stdout).toContain(`sftp:here:${stack.repository}`);
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    const started = Date.now();
    expect((await stack.holdfast('snapshots')).stdout).toContain('files');
    // Nothing of the connection keeps the program from ending.
    expect(Date.now() - started).toBeLessThan(10_000);
    await stack.restic('check', '--read-data');
    await stack.restic('restore', 'latest', '--target', stack.path('by-restic'));
    await expectSameContent(stack.path('files'), stack.path('by-restic', stack.path('files')));
    await writeFile(stack.path('files/three'), randomBytes(3 * MB));
    await stack.restic('backup', '--tag', 'by-hand', stack.path('files'));
    const [id] = (JSON.parse((await stack.restic('snapshots', '--json', '--tag', 'by-hand')).stdout) as { id: string }[]).map((one) => one.id);
    await stack.holdfast('restore', '--snapshot', id ?? '', '--into', 'by-holdfast');
    await expectSameContent(stack.path('files'), stack.path('by-holdfast', stack.path('files')));
    await stack.holdfast('check', '--read-data');
    expect((await stat(join(stack.repository, 'config'))).mode & 0o777).toBe(0o400);
    expect((await stat(join(stack.repository, 'keys'))).mode & 0o777).toBe(0o700);
  });

  it('made by restic is used as it is', async () => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    await stack.restic('init', '--repository-version', '2');
    await stack.restic('backup', stack.path('files'));
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
    expect(await stored(stack.repository)).toBeLessThan(300_000);
  });

  it('is named by its address on the command line, too', async () => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    await stack.holdfast('init');
    await stack.holdfast('backup');
    await run('mkdir', ['-p', stack.path('.ssh')]);
    await run('cp', [server.configFile, stack.path('.ssh/config')]);
    const found = await stack.holdfast('snapshots', '--repository', `sftp:here:${stack.repository}`, '--password-file', 'password', '--json');
    expect(JSON.parse(found.stdout)).toHaveLength(1);
  });
});

describe('a server that is killed in the middle of a backup', () => {
  it('and comes back is waited for, and nothing is lost', async () => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    await stack.holdfast('init');
    await fill(stack, 6);
    const backup = startBackup(stack);
    await until(async () => (await stored(stack.repository)) > 20 * MB);
    await server.stop();
    await wait(1500);
    await server.start();
    const result = await backup.ended;
    expect(`${result.code} ${result.stderr}`).toMatch(/^0 /);
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    await expectSameContent(stack.path('files'), stack.path('out'));
  });

  it('and does not come back can be left at once; the next backup goes on from what was stored', async () => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    await stack.holdfast('init');
    await fill(stack, 6);
    const backup = startBackup(stack);
    await until(async () => (await stored(stack.repository)) > 40 * MB);
    await server.stop();
    const before = await stored(stack.repository);
    await wait(3000);
    process.kill(backup.pid, 'SIGINT');
    const stopped = Date.now();
    expect((await backup.ended).code).toBe(130);
    expect(Date.now() - stopped).toBeLessThan(8000);
    expect(await wronglyNamed(stack.repository)).toEqual([]);
    expectClearError(await stack.attempt(['snapshots', '--json']), { exit: 1, code: 'storage-failed', says: /cannot connect to root@127\.0\.0\.1:\d+: the connection was refused/ });
    await server.start();
    const report: unknown = JSON.parse((await stack.holdfast('backup', '--json')).stdout);
    expect(report).toMatchObject({ state: 'ok', stores: [{ bytesStored: expect.toSatisfy((bytes: number) => bytes < 6 * 16 * MB - before / 2) }] });
    await stack.holdfast('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    await expectSameContent(stack.path('files'), stack.path('out'));
  });
});

describe('Ctrl-C in the middle of a backup', () => {
  it('ends it soon, and leaves no half file on the server', async () => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    await stack.holdfast('init');
    await fill(stack, 6);
    const backup = startBackup(stack);
    await until(async () => (await stored(stack.repository)) > 20 * MB);
    process.kill(backup.pid, 'SIGINT');
    const stopped = Date.now();
    expect((await backup.ended).code).toBe(130);
    expect(Date.now() - stopped).toBeLessThan(8000);
    const names = (await readdir(stack.repository, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map(({ name }) => name);
    expect(names.filter((name) => !/^(?:config|[0-9a-f]{64})$/.test(name))).toEqual([]);
    expect(await wronglyNamed(stack.repository)).toEqual([]);
    expect(await readdir(join(stack.repository, 'locks'))).toEqual([]);
    await stack.holdfast('backup');
    await stack.restic('check', '--read-data');
  });
});

describe('a server that cannot take more', () => {
  it('because its disk is full, ends the backup with a clear error; with room again the next goes on', async () => {
    await using server = await sshd();
    await using disk = await smallTmpfs(60 * MB);
    await using stack = await sftpStack(server, join(disk.folder, 'repository'));
    await stack.holdfast('init');
    await stack.holdfast('backup');
    await fill(stack, 6);
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-full', says: /cannot write pack \w+ in sftp:here:.*: no space left on the server/ });
    expect(await wronglyNamed(stack.repository)).toEqual([]);
    await stack.holdfast('check', '--read-data');
    await run('mount', ['-o', `remount,size=${150 * MB}`, disk.folder]);
    await stack.holdfast('backup');
    await stack.restic('check', '--read-data');
  });

  it('because the folder is read-only, still gives back what it has', async () => {
    await using server = await sshd();
    await using disk = await smallTmpfs(12 * MB);
    await using stack = await sftpStack(server, join(disk.folder, 'repository'));
    await stack.holdfast('init');
    await stack.holdfast('backup');
    await run('mount', ['-o', 'remount,ro', disk.folder]);
    await stack.holdfast('snapshots');
    expectClearError(await stack.attempt(['backup', '--json']), { exit: 1, code: 'storage-failed', says: /read-only/ });
    await stack.holdfast('check', '--read-data');
    await stack.holdfast('restore', 'files', '--into', 'out');
    await expectSameContent(stack.path('files'), stack.path('out'));
  });
});

describe('what a person reads when the way to the repository is wrong', () => {
  it.each([
    ['no repository there', {}, 10, 'repository-missing', /there is no repository/i],
    ['a host that is not known', { 'known-hosts': '/dev/null' }, 1, 'storage-failed', /the host key of root@127\.0\.0\.1:\d+ is not known: it shows the ED25519 key SHA256:/],
    ['no key', { identity: '/nowhere/key' }, 1, 'storage-denied', /the private key \/nowhere\/key cannot be read: there is no such file/],
    ['nobody listening', { port: 1 }, 1, 'storage-failed', /cannot connect to root@127\.0\.0\.1:1: the connection was refused/],
    ['a name that does not resolve', { host: 'nowhere.invalid' }, 1, 'storage-failed', /cannot connect to .*@nowhere\.invalid: the name of the host/],
    ['a configuration that is not there', { config: '/nowhere/config' }, 2, 'config', /the SSH configuration \/nowhere\/config cannot be read/],
  ] as const)('%s', async (_what, settings, exit, code, says) => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    await stack.configure({ host: 'here', path: stack.repository, config: server.configFile, ...settings });
    const started = Date.now();
    expectClearError(await stack.attempt(['snapshots', '--json']), { exit, code, says });
    expect(Date.now() - started).toBeLessThan(15_000);
  });

  it('a key that others can read, and a login that is refused', async () => {
    await using server = await sshd();
    await using stack = await sftpStack(server);
    await stack.configure({ host: '127.0.0.1', port: server.port, user: 'root', path: stack.repository, identity: server.key, 'known-hosts': server.knownHosts, config: '/dev/null' });
    await chmod(server.key, 0o644);
    expectClearError(await stack.attempt(['snapshots', '--json']), { exit: 2, code: 'secret-exposed', says: /can be read by others/ });
    await chmod(server.key, 0o600);
    await rename(server.path('authorized_keys'), server.path('nobody'));
    expectClearError(await stack.attempt(['snapshots', '--json']), { exit: 1, code: 'storage-denied', says: /does not let us in:\n\s+tried key/ });
    await stack.configure({ host: '127.0.0.1', port: await freePort(), path: stack.repository, config: '/dev/null' });
    expectClearError(await stack.attempt(['snapshots', '--json']), { exit: 1, code: 'storage-failed', says: /refused/ });
  });
});
