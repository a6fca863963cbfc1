/** Snapshots: found by id, by `latest` and by tags. */
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import { listIds, loadDocument, type Core } from './core.ts';
import { parseSnapshot, type SnapshotDocument } from './format/documents.ts';
import type { ArchiveResult } from './archive.ts';
import { formatDate, parseTime } from './format/go-time.ts';

export interface Snapshot extends SnapshotDocument {
  readonly id: string;
}

/**
 * All snapshots, oldest first, without those that are taken back while they are read: a follower of write-ahead log replaces its own
 * under a lock that others share. For those who remove nothing on the strength of it.
 */
export async function presentSnapshots(core: Core, damaged: (error: HoldfastError, id: string) => void = fail): Promise<readonly Snapshot[]> {
  return await readSnapshots(core, async (error, id) => {
    if (isHoldfastError(error, 'repository-damaged')) return damaged(error, id);
    if (!isHoldfastError(error, 'file-missing') || (await core.storage.size({ kind: 'snapshot', id })) !== undefined) throw error;
  });
}

function fail(error: HoldfastError): never {
  throw error;
}

/** All snapshots, oldest first. `damaged` hears of those that cannot be read, and may go on without them. */
export async function listSnapshots(core: Core, damaged?: (error: HoldfastError, id: string) => void): Promise<readonly Snapshot[]> {
  return await readSnapshots(core, (error, id) => {
    if (!damaged || !isHoldfastError(error, 'repository-damaged')) throw error;
    damaged(error, id);
  });
}

async function readSnapshots(core: Core, failed: (error: unknown, id: string) => Promise<void> | void): Promise<readonly Snapshot[]> {
  const parallel = new Semaphore(core.storage.parallel ?? 4);
  const load = async (id: string): Promise<readonly Snapshot[]> => {
    try {
      return [{ ...(await loadSnapshot(core, id)), id }];
    } catch (error) {
      await failed(error, id);
      return [];
    }
  };
  const ids = await listIds(core.storage, 'snapshot');
  const snapshots = (await Promise.all(ids.map((id) => parallel.run(() => load(id))))).flat();
  return snapshots.sort((a, b) => Number(parseTime(a.time) - parseTime(b.time)) || (a.id < b.id ? -1 : 1));
}

async function loadSnapshot(core: Core, id: string): Promise<SnapshotDocument> {
  const json = await loadDocument(core, 'snapshot', id);
  try {
    return parseSnapshot(json);
  } catch (error) {
    throw new HoldfastError('repository-damaged', `snapshot ${id.slice(0, 10)} in ${core.storage.location} is not understood: ${messageOf(error)}`, { cause: error });
  }
}

const ID_PREFIX = /^[0-9a-f]{1,64}$/;

/** The one snapshot whose id begins so. Throws `snapshot-missing` when there is none, or more than one. */
export function findById(snapshots: readonly Snapshot[], prefix: string): Snapshot {
  const found = ID_PREFIX.test(prefix) ? snapshots.filter(({ id }) => id.startsWith(prefix)) : [];
  const [first, ...others] = found;
  if (first && others.length === 0) return first;
  const why = first ? `${found.length} snapshots have an id that begins with '${prefix}'` : `no snapshot has an id that begins with '${prefix}'`;
  throw new HoldfastError('snapshot-missing', why, { hint: 'List them with `holdfast snapshots`.' });
}

/** The value of a tag `name:value`. */
export function tagValue(snapshot: Pick<Snapshot, 'tags'>, name: string): string | undefined {
  const prefix = `${name}:`;
  return snapshot.tags?.find((tag) => tag.startsWith(prefix))?.slice(prefix.length);
}

/** What a new snapshot says. */
export interface SnapshotFacts {
  /** When the backup began: the time of the snapshot. */
  readonly at: Date;
  readonly parent: string | undefined;
  readonly tree: string;
  readonly paths: readonly string[];
  readonly hostname: string;
  readonly username: string;
  readonly uid: number;
  readonly gid: number;
  readonly tags: readonly string[];
  /** Name and version of the program. */
  readonly program: string;
  readonly archived: ArchiveResult;
}

/** The document of a snapshot that was finished at `end`, its fields in restic's order. */
export function snapshotDocument(facts: SnapshotFacts, end: Date): SnapshotDocument {
  const { archived, at } = facts;
  return {
    time: formatDate(at),
    ...(facts.parent === undefined ? {} : { parent: facts.parent }),
    tree: facts.tree, paths: facts.paths, hostname: facts.hostname, username: facts.username,
    ...(facts.uid > 0 ? { uid: facts.uid } : {}), ...(facts.gid > 0 ? { gid: facts.gid } : {}),
    tags: facts.tags, program_version: facts.program,
    summary: {
      backup_start: formatDate(at), backup_end: formatDate(end),
      files_new: archived.filesNew, files_changed: archived.filesChanged, files_unmodified: archived.filesUnmodified,
      dirs_new: archived.dirsNew, dirs_changed: archived.dirsChanged, dirs_unmodified: archived.dirsUnmodified,
      data_blobs: archived.dataBlobs, tree_blobs: archived.treeBlobs, data_added: archived.dataAdded, data_added_packed: archived.dataAddedPacked,
      total_files_processed: archived.totalFiles, total_bytes_processed: archived.totalBytes,
    },
  };
}
