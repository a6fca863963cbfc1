/** Debian's PostgreSQL with Debian's settings, fsync and all, in a folder that stays between runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { quietly, type Command } from '../measure/measure.ts';

/** Where Debian has the programs of PostgreSQL 15. */
export const BINARIES = '/usr/lib/postgresql/15/bin';

export interface Server extends AsyncDisposable {
  /** Of the postmaster. */
  readonly pid: number;
  readonly port: number;
  /** The folder of its cluster. */
  readonly data: string;
  /** Of a database, through another port when one is given. */
  url(database: string, port?: number): string;
  /** Runs SQL and gives the values that it prints, without heads. */
  sql(database: string, text: string): string;
}

export interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

/** Postgres refuses to run as root. */
export function identity(): Identity {
  if (userInfo().uid !== 0) return {};
  const [, , uid, gid] = /^postgres:.*$/m.exec(readFileSync('/etc/passwd', 'utf8'))?.[0].split(':') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** A command as the user that the server runs as. */
export function asServer(command: Command): Command {
  const { uid, gid } = identity();
  if (uid === undefined) return command;
  return { ...command, program: 'setpriv', args: [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', command.program, ...command.args] };
}

/** Makes a folder of the server's user, and an empty one of it. */
export function folderOfServer(path: string): void {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const { uid, gid } = identity();
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
}

/** Starts the cluster in `folder/data`, made first if it is not there. It listens on the loopback interface, and in the folder of its sockets if that is a setting. */
export async function startServer(folder: string, settings: Readonly<Record<string, string>> = {}): Promise<Server> {
  const who = identity();
  const data = join(folder, 'data');
  if (!existsSync(join(data, 'PG_VERSION'))) await initialize(folder, data, who);
  const port = await freePort();
  const options = Object.entries({ listen_addresses: '127.0.0.1', unix_socket_directories: '', ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(join(BINARIES, 'postgres'), ['-D', data, '-p', String(port), ...options], {
    ...who, cwd: data, stdio: ['ignore', 'ignore', 'pipe'], detached: true,
  });
  const pid = await untilReady(child, port);
  // Its own process group, so that Ctrl-C reaches us alone; then it must not outlive us.
  const interrupt = (): void => process.exit(130);
  const end = (): void => void child.kill('SIGINT');
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt).once('exit', end);
  const url = (database: string, through = port): string => `postgres://postgres@127.0.0.1:${through}/${database}`;
  return {
    pid, port, data, url,
    sql: (database, text) => quietly({ program: join(BINARIES, 'psql'), args: ['-qAtX', '-v', 'ON_ERROR_STOP=1', '-d', url(database), '-c', text] }).trim(),
    async [Symbol.asyncDispose]() {
      const ended = new Promise((done) => child.once('exit', done));
      end();
      await ended;
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt).off('exit', end);
    },
  };
}

async function initialize(folder: string, data: string, who: Identity): Promise<void> {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  if (who.uid !== undefined && who.gid !== undefined) chownSync(data, who.uid, who.gid);
  const child = spawn(join(BINARIES, 'initdb'), ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8'], { ...who, cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise((done) => child.once('exit', done));
  if (code !== 0) throw new Error(`initdb could not make a cluster in ${data}`);
}

export function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const probe = createServer();
    probe.once('error', failed).listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function untilReady(child: ChildProcess, port: number): Promise<number> {
  let said = '';
  child.stderr?.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-3000)));
  for (let tries = 0; tries < 300 && child.exitCode === null; tries++) {
    const ready = spawn(join(BINARIES, 'pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(port)]);
    const code = await new Promise((done) => ready.once('exit', done));
    if (code === 0 && child.pid !== undefined) return child.pid;
    await sleep(100);
  }
  child.kill('SIGINT');
  throw new Error(`the server did not start: ${said.trim()}`);
}
