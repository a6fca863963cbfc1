/** The source `postgres`: logical backup and restore of databases of one server. */
import type { Clock } from '../../base/clock.ts';
import type { Secret } from '../../base/secret.ts';
import type { Connection } from '../../client/postgres/connection.ts';
import { parseTarget, type PostgresTarget } from '../../client/postgres/target.ts';
import { TrafficMeter } from '../../client/postgres/traffic.ts';
import { telling } from '../metered.ts';
import type { CaptureContext, Source, StoreManifest } from '../source.ts';
import { capturePostgres } from './capture/capture.ts';
import { checkDumpProgram, checkRights } from './check.ts';
import { chooseDatabases, enterServer, listDatabases, refuseMissing, vanishedDatabases } from './choose.ts';
import { compareDatabases } from './restore/compare.ts';
import { estimateDatabases } from './capture/estimate.ts';
import { readDetail } from './manifest.ts';
import type { SplitSizes } from './capture/table-layout.ts';
import { planStore, restoreStore } from './restore/way.ts';

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
      await using connection = await enterServer(server, options.databases);
      await checkDumpProgram(connection);
      await readable(connection, server, options.databases);
    },
    capture: async (context) => {
      const meter = new TrafficMeter();
      return await telling(meter, context, async () => {
        const targets = await enter({ ...server, meter }, options.databases, async (connection, target) => await readable(connection, target, options.databases, context));
        return await capturePostgres(targets, clock, context, { globals: options.globals ?? true, sizes: options.sizes });
      });
    },
    estimate: async (context) => {
      const meter = new TrafficMeter();
      const targets = await enter({ ...server, meter }, options.databases, async (connection, target) => await readable(connection, target, options.databases, context));
      const found = await estimateDatabases(targets, context, options.sizes);
      return { ...found, spent: { received: meter.received, sent: meter.sent } };
    },
    restore: async (files, manifest, request) => await restoreStore({ server: await enter(server, ANY, async (_, target) => target), clock, files, manifest, request }),
    planRestore: async (files, manifest, request) => await planStore({ server: await enter(server, ANY, async (_, target) => target), clock, files, manifest, request }),
    compare: async (manifest, files) => await compareDatabases(await enter(server, ANY, async (_, target) => target), manifest, files),
  };
}

/** The databases of a restore need not be there yet. */
const ANY = ['postgres'];

/** All sessions of one operation go to the same host: the first that was reached. */
async function enter<T>(server: PostgresTarget, entries: readonly string[] | undefined, work: (connection: Connection, target: PostgresTarget) => Promise<T>): Promise<T> {
  await using connection = await enterServer(server, entries);
  return await work(connection, { ...connection.target, database: server.database });
}

/**
 * The databases of the store as they are on the server now, all of which can be read by this user. Throws `source-missing` or, with all
 * that is missing, `source-failed`. Tells the context of those that the previous snapshot had and that are gone.
 */
async function readable(connection: Connection, server: PostgresTarget, entries: readonly string[] | undefined, context?: CaptureContext): Promise<readonly PostgresTarget[]> {
  const { part } = context ?? {};
  if (entries === undefined || entries.length === 0) {
    await checkRights(connection, [server], [], part);
    return [server];
  }
  const listed = await listDatabases(connection);
  const chosen = chooseDatabases(entries, listed);
  refuseMissing(chosen, entries, listed);
  const targets = chosen.names.map((database) => ({ ...server, database }));
  await checkRights(connection, targets, chosen.closed, part);
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
