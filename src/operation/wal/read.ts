/** What write-ahead log of a store is stored, and the bytes of it. */
import { hash } from 'node:crypto';
import { HoldfastError } from '../../base/errors.ts';
import { Semaphore } from '../../base/semaphore.ts';
import { fromText } from '../../base/raw-name.ts';
import { mapWal, type StoredSegment, type WalMap, type WalSource } from '../../policy/wal-map.ts';
import { superseded } from '../../policy/wal-window.ts';
import { tagValue, type Repository, type Snapshot } from '../../repository/repository.ts';
import { parseCovered, parseWalManifest, WAL_FILE, WAL_FOLDER, WAL_PART } from '../../source/cluster/wal-archive.ts';
import { snapshotsOf } from '../select.ts';

export interface StoredWal {
  /** By the system id of the cluster. */
  readonly clusters: ReadonlyMap<string, WalMap>;
  /** Of the newest snapshot; undefined when there is none. */
  readonly newest: WalMap | undefined;
  readonly sources: readonly (WalSource & { readonly stored: Snapshot })[];
  /** The bytes that were received of a segment, as many as its `end` says: a partial one is not padded. Throws `repository-damaged`. */
  segment(segment: StoredSegment): Promise<Buffer>;
  /** The history file of a timeline; undefined when none is stored, as for the first one. */
  history(systemId: string, timeline: number): Promise<Buffer | undefined>;
  /** A file that is no segment, by its name (`.history`, `.backup`); undefined when none is stored. */
  file(name: string): Promise<Buffer | undefined>;
}

/** Reads the manifests of all snapshots of write-ahead log of a store. Needs a lock, or to bear that a snapshot is replaced meanwhile. */
export async function readWal(repository: Repository, stack: string, store: string, listed?: readonly Snapshot[]): Promise<StoredWal> {
  const all = snapshotsOf(listed ?? (await repository.snapshots()), { stack, store, part: WAL_PART });
  const replaced = new Set(superseded(all.map((snapshot) => ({ id: snapshot.id, parent: snapshot.parent, window: tagValue(snapshot, 'window') }))).map(({ id }) => id));
  const snapshots = all.filter(({ id }) => !replaced.has(id));
  const parallel = new Semaphore(4);
  const sources = await Promise.all(snapshots.map((snapshot) => parallel.run(async () => ({ ...(await readWalSource(repository, snapshot)), stored: snapshot }))));
  const clusters = mapWal(sources);
  const byId = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const bytes = async (id: string, name: string): Promise<Buffer> => {
    const snapshot = byId.get(id);
    if (!snapshot) throw new Error('a segment of a snapshot that was not read');
    await using opened = await repository.files(snapshot);
    return await opened.files.bytes(fromText(`/${WAL_FOLDER}/${name}`));
  };
  return {
    clusters, sources, newest: clusters.get(sources.at(-1)?.manifest.systemId ?? ''),
    segment: async (segment) => checked(segment, await bytes(segment.snapshot, segment.file)),
    history: async (systemId, timeline) => {
      const found = clusters.get(systemId)?.histories.find((history) => history.timeline === timeline);
      return found && (await bytes(found.snapshot, found.file));
    },
    file: async (name) => {
      const found = sources.findLast(({ manifest }) => manifest.histories.includes(name) || manifest.others?.includes(name) === true);
      return found && (await bytes(found.snapshot, name));
    },
  };
}

/** The manifest of one snapshot of write-ahead log. */
export async function readWalSource(repository: Repository, snapshot: Snapshot): Promise<WalSource> {
  await using opened = await repository.files(snapshot);
  const manifest = parseWalManifest(await opened.files.bytes(fromText(`/${WAL_FILE}`)), `snapshot ${snapshot.id.slice(0, 10)}`);
  return { snapshot: snapshot.id, manifest, covered: parseCovered(tagValue(snapshot, 'covered')) };
}

/** The repository has authenticated every byte; this says that it is also what the server sent. */
function checked(segment: StoredSegment, bytes: Buffer): Buffer {
  if (hash('sha256', bytes, 'hex') === segment.sha256) return bytes;
  throw new HoldfastError('repository-damaged', `the write-ahead log ${segment.file} in snapshot ${segment.snapshot.slice(0, 10)} is not what ${WAL_FILE} says of it`, { hint: 'Run `holdfast verify` on this snapshot.' });
}
