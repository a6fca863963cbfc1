/** Snapshots: found by id, by `latest` and by tags. */
import { HoldfastError, messageOf } from '../base/errors.ts';
import { listIds, loadDocument, type Core } from './core.ts';
import type { SnapshotDocument } from './format/documents.ts';
import { parseTime } from './format/go-time.ts';

export interface Snapshot extends SnapshotDocument {
  readonly id: string;
}

/** All snapshots, oldest first. */
export async function listSnapshots(core: Core): Promise<readonly Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for (const id of await listIds(core.storage, 'snapshot')) snapshots.push({ ...(await loadSnapshot(core, id)), id });
  return snapshots.sort((a, b) => Number(parseTime(a.time) - parseTime(b.time)) || (a.id < b.id ? -1 : 1));
}

async function loadSnapshot(core: Core, id: string): Promise<SnapshotDocument> {
  const json = await loadDocument(core, 'snapshot', id);
  try {
    const document = JSON.parse(json) as SnapshotDocument;
    parseTime(document.time);
    return document;
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
