/** What every way of restoring databases is given, and what it gives back. */
import type { Clock } from '../../../base/clock.ts';
import type { PostgresTarget } from '../../../client/postgres/target.ts';
import type { SnapshotFiles } from '../../../repository/entry.ts';
import type { ProofLine, RestoreRequest, StoreManifest } from '../../source.ts';
import type { Lost } from './adapt.ts';

export interface RestoreJob {
  readonly server: PostgresTarget;
  readonly clock: Clock;
  readonly files: SnapshotFiles;
  readonly manifest: StoreManifest;
  readonly request: RestoreRequest;
}

/** A database that was filled: how it compares with the backup, and what could not be made as it was. */
export interface Built {
  readonly proof: readonly ProofLine[];
  readonly lost: readonly Lost[];
}
