/** Starts a server on a data directory that exists, and stops it. It dies with this process, however this process dies. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chown, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep, systemClock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { Identity, Programs } from './programs.ts';

export interface StartOptions {
  /** The data directory. */
  readonly data: string;
  readonly programs: Programs;
  /** The user that the server runs as; it must own the data directory. */
  readonly identity: Identity;
  /** An existing folder for the socket. */
  readonly sockets: string;
  readonly port: number;
  /** Given on the command line, so that they win over every file of the data directory. */
  readonly settings: Readonly<Record<string, string>>;
  /** `standby`: answers queries while it may still be in recovery. Default: `ready`, out of recovery. */
  readonly until?: 'ready' | 'standby' | undefined;
  /** Milliseconds that it may take; undefined: as long as it lives. Replay of much log takes long. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ClusterServer extends AsyncDisposable {
  /** Of this user, without password, over the socket. */
  url(database: string, user?: string): string;
  /** The last part of what the server said. */
  log(): string;
  /** False when it has ended by itself. */
  alive(): boolean;
  /** The last line of its state file: `ready`, `standby`, `starting`, `stopping`. */
  state(): Promise<string>;
  /** Shuts it down fast and waits for its end. Connections that are open are cut. */
  stop(): Promise<void>;
}

/** So much of the server's log is kept for error messages. */
const LOG_BYTES = 64 * 1024;

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

/** Starts the server and waits until it answers. Throws `program-failed` with the last lines of its log; it is stopped then. */
export async function startCluster(options: StartOptions): Promise<ClusterServer> {
  const { data, programs, identity, sockets, port, signal } = options;
  const settings = { ...options.settings, port: String(port), unix_socket_directories: sockets };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const args = ['-c', KEEPER, 'holdfast-keeper', join(programs.folder, 'postgres'), '-D', data, ...flags];
  // Its own process group: Ctrl-C reaches this process only, which then ends the server in its own order.
  const child = spawn('/bin/sh', args, { ...identity, env: programs.environment, cwd: data, detached: true, stdio: ['pipe', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log = (log + text.toString()).slice(-LOG_BYTES)));
  child.stdin.on('error', () => undefined);
  child.on('error', (error) => (log += error.message));
  const alive = (): boolean => child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  const state = async (): Promise<string> => await readState(data);
  const wanted = options.until === 'standby' ? ['ready', 'standby'] : ['ready'];
  const limit = options.timeoutMs === undefined ? Infinity : systemClock.elapsedMs() + options.timeoutMs;
  while (alive() && systemClock.elapsedMs() < limit && signal?.aborted !== true) {
    if (wanted.includes(await state())) return { url: (database, user = 'postgres') => socketUrl(sockets, port, database, user), log: () => log, alive, state, stop: () => end(child), [Symbol.asyncDispose]: () => end(child) };
    await sleep(20);
  }
  const ended = !alive();
  await end(child);
  signal?.throwIfAborted();
  throw new HoldfastError('program-failed', `The Postgres server in ${data} ${ended ? 'did not start' : 'was not ready in time'}: ${log.trim().slice(-4000)}`);
}

/** The eighth line of postmaster.pid, see src/include/utils/pidfile.h of the server. */
async function readState(data: string): Promise<string> {
  const lines = await readFile(join(data, 'postmaster.pid'), 'utf8').then((text) => text.split('\n'), () => []);
  return lines[7]?.trim() ?? '';
}

function socketUrl(sockets: string, port: number, database: string, user: string): string {
  return `postgres://${encodeURIComponent(user)}@${encodeURIComponent(sockets)}:${port}/${encodeURIComponent(database)}`;
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

export async function give(path: string, { uid, gid }: Identity): Promise<void> {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

/** Postgres starts only for the owner of the data directory, and never for root. Throws `target-failed` for a directory of root. */
export async function ownerOf(data: string): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = await stat(data);
  if (uid === 0) throw new HoldfastError('target-failed', `${data} belongs to root, and a Postgres server does not run as root`, { hint: `Give it to the user of the server: chown -R postgres ${data}` });
  return { uid, gid };
}

/** A folder for a socket below `folder`. Socket paths must be shorter than 108 bytes; a deep folder gets one in the system's temporary folder. */
export async function socketFolder(folder: string, identity: Identity): Promise<{ readonly path: string } & AsyncDisposable> {
  const inside = join(folder, 'socket');
  if (inside.length < 85) {
    await mkdir(inside, { recursive: true, mode: 0o700 });
    await give(inside, identity);
    return { path: inside, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const outside = await mkdtemp(join(tmpdir(), 'holdfast-socket-'));
  await give(outside, identity);
  return { path: outside, [Symbol.asyncDispose]: () => rm(outside, { recursive: true, force: true }) };
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
