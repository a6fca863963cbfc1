/** `wal fetch`, a restore_command: gives a file of the archive back under the name that the server asks for. */
import { HoldfastError } from '../../base/errors.ts';
import { writeReplaceable } from '../../base/file.ts';
import { parseSegmentName } from '../../client/postgres/replication/lsn.ts';
import type { Repository } from '../../repository/repository.ts';
import { readWal, type StoredWal } from './read.ts';

export interface FetchOptions {
  readonly repository: Repository;
  readonly stack: string;
  readonly store: string;
  readonly name: string;
  readonly target: string;
}

/** Throws `path-missing` when the archive has no such file, which ends a recovery in order; everything else must stop it. */
export async function fetchWal({ repository, stack, store, name, target }: FetchOptions): Promise<{ readonly bytes: number; readonly partial: boolean }> {
  const wal = await readWal(repository, stack, store);
  const found = (await segmentOf(wal, name)) ?? (await otherOf(wal, name));
  if (found === undefined) throw new HoldfastError('path-missing', `there is no ${name} in the write-ahead log of ${store} that is stored`);
  await writeReplaceable(target, found.bytes);
  return { bytes: found.bytes.length, partial: found.partial };
}

async function otherOf(wal: StoredWal, name: string): Promise<{ readonly bytes: Buffer; readonly partial: boolean } | undefined> {
  const bytes = await wal.file(name);
  return bytes && { bytes, partial: false };
}

/** A segment of which only a part has come is filled up with zeros: that is where its log ends. */
async function segmentOf(wal: StoredWal, name: string): Promise<{ readonly bytes: Buffer; readonly partial: boolean } | undefined> {
  const map = wal.newest;
  const wanted = map && parseSegmentName(name, map.segmentBytes);
  const segment = wanted && map?.segments.find(({ timeline, startLsn }) => timeline === wanted.timeline && startLsn === wanted.start);
  if (map === undefined || segment === undefined) return undefined;
  const bytes = Buffer.alloc(map.segmentBytes);
  (await wal.segment(segment)).copy(bytes);
  return { bytes, partial: !segment.whole };
}
