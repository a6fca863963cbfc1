/** The source `postgres`: logical backup and restore of databases of one server. */
import type { Clock } from '../../base/clock.ts';
import type { Secret } from '../../base/secret.ts';
import { parseTarget, type PostgresTarget } from '../../client/postgres/target.ts';
import { TrafficMeter } from '../../client/postgres/traffic.ts';
import type { CaptureContext, Source, StoreManifest } from '../source.ts';
import { capturePostgres } from './capture.ts';
import { checkDumpProgram, checkRights } from './check.ts';
import { chooseDatabases, listDatabases, refuseMissing, vanishedDatabases } from './choose.ts';
import { compareDatabases } from './compare.ts';
import { readDetail } from './manifest.ts';
import { restoreDatabases } from './restore.ts';
import type { SplitSizes } from './table-layout.ts';
import { restoreTables } from './tables.ts';

export interface PostgresOptions {
  /** `postgres://user@host:port/database`; a folder of a socket is percent-encoded in place of the host. */
  readonly url: string;
  /** Wins over a password in the URL; undefined: PGPASSWORD or .pgpass. */
  readonly password?: Secret | undefined;
  /** Names of databases, patterns with `*`, and either with `!` before it for what to leave out. Default: the one of the URL. */
  readonly databases?: readonly string[] | undefined;
  /** Roles and what else belongs to the whole server; true unless said otherwise. */
  readonly globals?: boolean | undefined;
  readonly clock: Clock;
  /** When tables are split; of tests. */
  readonly sizes?: SplitSizes | undefined;
  /** The PG* variables. Default: those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** Opens nothing yet; connections are made by each operation and closed by it. Throws `config` when the URL is no database's. */
export function openPostgres(options: PostgresOptions): Source {
  const { clock } = options;
  const server: PostgresTarget = parseTarget(options.url, options.password, options.environment ?? process.env);
  return {
    kind: 'postgres',
    check: async () => {
      const targets = await readable(server, options.databases);
      if (targets[0] !== undefined) await checkDumpProgram(targets[0]);
    },
    capture: async (context) => {
      const metered = { ...server, meter: new TrafficMeter() };
      const targets = await readable(metered, options.databases, context);
      return await capturePostgres(targets, clock, context, { globals: options.globals ?? true, sizes: options.sizes });
    },
    restore: async (files, manifest, request) => {
      const job = { server, clock, files, manifest, request };
      return request.part === undefined && request.tables === undefined ? await restoreDatabases(job) : await restoreTables(job);
    },
    compare: async (manifest, files) => await compareDatabases(server, manifest, files),
  };
}

/**
 * The databases of the store as they are on the server now, all of which can be read by this user. Throws `source-missing` or, with all
 * that is missing, `source-failed`. Tells the context of those that the previous snapshot had and that are gone.
 */
async function readable(server: PostgresTarget, entries: readonly string[] | undefined, context?: CaptureContext): Promise<readonly PostgresTarget[]> {
  if (entries === undefined || entries.length === 0) {
    await checkRights([server], []);
    return [server];
  }
  const listed = await listDatabases(server, entries);
  const chosen = chooseDatabases(entries, listed);
  refuseMissing(chosen, entries, listed);
  const targets = chosen.names.map((database) => ({ ...server, database }));
  await checkRights(targets, chosen.closed);
  for (const problem of vanishedDatabases(entries, chosen, databasesOf(context?.previous?.manifest))) context?.problem(problem);
  return targets;
}

/** A previous manifest that cannot be understood is nothing to compare with, and no reason to fail. */
function databasesOf(manifest: StoreManifest | undefined): string[] {
  try {
    return manifest === undefined ? [] : readDetail(manifest).databases.map(({ name }) => name);
  } catch {
    return [];
  }
}
