/** The source `cluster`: a whole Postgres server as it lies on disk. */
import type { Clock } from '../../base/clock.ts';
import type { Secret } from '../../base/secret.ts';
import { parseTarget } from '../../client/postgres/target.ts';
import { TrafficMeter } from '../../client/postgres/traffic.ts';
import { telling } from '../metered.ts';
import type { Source } from '../source.ts';
import { captureCluster } from './capture.ts';
import { compareCluster } from './compare.ts';
import { restoreCluster } from './restore.ts';
import { openSession } from './session.ts';

export interface ClusterOptions {
  /** `postgres://user@host:port/database`; a user that may replicate. */
  readonly url: string;
  /** Wins over a password in the URL; undefined: PGPASSWORD or .pgpass. */
  readonly password?: Secret | undefined;
  /** The data directory on this host, absolute: where a restore puts it in place. */
  readonly directory?: string | undefined;
  /** A folder with the programs of the server's major version, absolute. */
  readonly programs?: string | undefined;
  readonly checkpoint: 'fast' | 'spread';
  /** Whether the server compresses what it sends (15 and newer). Default `auto`: when it is not on this host. */
  readonly compression?: 'auto' | 'server' | 'none' | undefined;
  /** Bytes per second that the server may send. */
  readonly maxRate?: number | undefined;
  readonly clock: Clock;
  /** The PG* variables. Default: those of this process. */
  readonly environment?: NodeJS.ProcessEnv;
}

/** Opens nothing yet. Throws `config` when the URL is no database's. */
export function openCluster(options: ClusterOptions): Source {
  const { clock, checkpoint, compression = 'auto', maxRate, directory } = options;
  const target = parseTarget(options.url, options.password, options.environment ?? process.env);
  return {
    kind: 'cluster',
    check: async () => {
      const { connection } = await openSession(target);
      await connection.close();
    },
    capture: async (context) => {
      const meter = new TrafficMeter();
      return await telling(meter, context, async () => await captureCluster({ target: { ...target, meter }, checkpoint, compression, maxRate, clock }, context));
    },
    restore: async (files, manifest, request) => await restoreCluster({ files, manifest, request, directory, clock }),
    compare: async (manifest) => await compareCluster(target, manifest),
  };
}
