/**
 * A real Postgres server for the demo and for tests, from the npm package that carries its binaries (or from any other
 * folder of binaries). It lives in one folder and dies with this process, however this process dies.
 */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { freePort, give, socketFolder, startCluster } from './cluster-server.ts';
import { findPrograms, unprivileged, type Identity, type Programs } from './programs.ts';

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

/**
 * Makes a new cluster in `folder` (user `postgres`, UTF-8, locale C, trust within the folder) and starts it. Durability
 * is switched off unless `settings` says otherwise: the server is for throwing away.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const identity = await unprivileged();
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  await give(options.folder, identity);
  const programs = await findPrograms({ folder: options.binaries, scratch: options.folder, identity });
  const data = join(options.folder, 'data');
  await initialize(programs, data, options.folder, identity);
  const sockets = await socketFolder(options.folder, identity);
  const overTcp = options.settings?.['listen_addresses'] !== undefined;
  const port = overTcp ? await freePort() : 5432;
  const settings = {
    listen_addresses: '', fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', max_connections: '60',
    log_checkpoints: 'off', ...options.settings,
  };
  const server = await startCluster({ data, programs, identity, sockets: sockets.path, port, settings, timeoutMs: 30_000 });
  const stop = async (): Promise<void> => {
    await server.stop();
    await sockets[Symbol.asyncDispose]();
  };
  const url = overTcp ? `postgres://postgres@127.0.0.1:${port}/postgres` : `postgres://postgres@${encodeURIComponent(sockets.path)}/postgres`;
  return { url, version: programs.version, stop, [Symbol.asyncDispose]: stop };
}

async function initialize(programs: Programs, data: string, scratch: string, identity: Identity): Promise<void> {
  const args = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  try {
    await run(join(programs.folder, 'initdb'), args, { ...identity, env: programs.environment, cwd: scratch });
  } catch (error) {
    throw new HoldfastError('program-failed', `initdb could not make a cluster in ${data}: ${messageOf(error)}`, { cause: error });
  }
}
