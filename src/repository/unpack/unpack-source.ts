import type { Accounts } from '../../base/accounts.ts';
import type { BlobIndex } from '../blob-index.ts';
import type { BlobReader } from '../blob-reader.ts';
import type { Core } from '../core.ts';
import type { UnpackerPool } from './unpacker-pool.ts';

/** All that is needed to read the contents of snapshots. */
export interface UnpackSource {
  readonly core: Core;
  readonly index: BlobIndex;
  readonly blobs: BlobReader;
  readonly pool: UnpackerPool;
  /** For restoring owners by name. */
  readonly accounts: Accounts;
}
