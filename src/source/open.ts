/** From the description of a store to its source. */
import type { Clock } from '../base/clock.ts';
import type { Secret } from '../base/secret.ts';
import { openCluster, type ClusterOptions } from './cluster/cluster.ts';
import { openDirectory } from './directory.ts';
import { openPostgres } from './postgres/postgres.ts';
import type { Source } from './source.ts';

export type SourceSpec =
  | { readonly kind: 'directory'; readonly path: string; readonly exclude: readonly string[]; readonly ownershipByName?: boolean }
  | { readonly kind: 'postgres'; readonly url: string; readonly password: Secret | undefined; readonly databases: readonly string[] | undefined; readonly globals: boolean }
  | ({ readonly kind: 'cluster' } & Omit<ClusterOptions, 'clock' | 'environment'>);

/** Opens nothing outside yet; the source does that when it is asked to work. */
export function openSource(spec: SourceSpec, clock: Clock): Source {
  if (spec.kind === 'cluster') return openCluster({ ...spec, clock });
  return spec.kind === 'directory' ? openDirectory({ ...spec, clock }) : openPostgres({ ...spec, clock });
}
