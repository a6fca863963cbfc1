/** The source `postgres`: logical backup and restore of databases of one server. */
import type { Clock } from '../../base/clock.ts';
import type { Secret } from '../../base/secret.ts';
import { parseTarget, type PostgresTarget } from '../../client/postgres/target.ts';
import type { Source } from '../source.ts';
import { capturePostgres } from './capture.ts';
import { checkDatabases } from './check.ts';
import { compareDatabases } from './compare.ts';
import { restoreDatabases } from './restore.ts';
import { restoreTable } from './one-table.ts';

export interface PostgresOptions {
  /** `postgres://user@host:port/database`; a folder of a socket is percent-encoded in place of the host. */
  readonly url: string;
  /** Wins over a password in the URL; undefined: PGPASSWORD or .pgpass. */
  readonly password?: Secret | undefined;
  /** Names of databases. Default: the one of the URL. */
  readonly databases?: readonly string[] | undefined;
  readonly clock: Clock;
  /** The PG* variables. Default: those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** Opens nothing yet; connections are made by each operation and closed by it. Throws `config` when the URL is no database's. */
export function openPostgres(options: PostgresOptions): Source {
  const { clock } = options;
  const server: PostgresTarget = parseTarget(options.url, options.password, options.environment ?? process.env);
  const names = options.databases === undefined || options.databases.length === 0 ? [server.database] : options.databases;
  const targets = names.map((database) => ({ ...server, database }));
  return {
    kind: 'postgres',
    check: async () => await checkDatabases(targets),
    capture: async (context) => await capturePostgres(targets, clock, context),
    restore: async (files, manifest, request) => {
      const job = { server, clock, files, manifest, request };
      return request.part === undefined ? await restoreDatabases(job) : await restoreTable(job, request.part);
    },
    compare: async (manifest, files) => await compareDatabases(server, manifest, files),
  };
}
