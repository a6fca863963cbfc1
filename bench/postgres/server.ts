/** Debian's PostgreSQL with Debian's settings, fsync and all, in a folder that stays between runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { quietly } from '../measure/measure.ts';

/** Where Debian has the programs of PostgreSQL 15. */
export const BINARIES = '/usr/lib/postgresql/15/bin';

export interface Server extends AsyncDisposable {
  /** Of the postmaster. */
  readonly pid: number;
  url(database: string): string;
  /** Runs SQL and gives the values that it prints, without heads. */
  sql(database: string, text: string): string;
}

interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

/** Postgres refuses to run as root. */
function identity(): Identity {
  if (userInfo().uid !== 0) return {};
  const [, , uid, gid] = /^postgres:.*$/m.exec(readFileSync('/etc/passwd', 'utf8'))?.[0].split(':') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** Starts the cluster in `folder`, made first if it is not there. It listens on the loopback interface. */
export async function startServer(folder: string): Promise<Server> {
  const who = identity();
  const data = join(folder, 'data');
  if (!existsSync(join(data, 'PG_VERSION'))) await initialize(folder, data, who);
  const port = await freePort();
  const child = spawn(join(BINARIES, 'postgres'), ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='], {
    ...who, cwd: data, stdio: ['ignore', 'ignore', 'pipe'], detached: true,
  });
  const pid = await untilReady(child, port);
  // Its own process group, so that Ctrl-C reaches us alone; then it must not outlive us.
  const interrupt = (): void => process.exit(130);
  const end = (): void => void child.kill('SIGINT');
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt).once('exit', end);
  const url = (database: string): string => `postgres://postgres@127.0.0.1:${port}/${database}`;
  return {
    pid, url,
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

function freePort(): Promise<number> {
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
