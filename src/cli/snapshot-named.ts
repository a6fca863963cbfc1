import { HoldfastError } from '../base/errors.ts';
import { parseMoment } from '../operation/select.ts';
import { findById, tagValue, type Repository, type Snapshot } from '../repository/repository.ts';

/** The snapshot that a person names: the newest of all, the newest of a store (also `STORE@TIME`), or by the beginning of an id. Of a store, snapshots of the whole count, and of these parts. Throws `snapshot-missing`. */
export async function snapshotNamed(repository: Repository, name: string, parts: readonly string[] = []): Promise<Snapshot> {
  const snapshots = await repository.snapshots();
  if (name === 'latest') {
    const newest = snapshots.at(-1);
    if (newest) return newest;
    throw new HoldfastError('snapshot-missing', `${repository.location} holds no snapshots yet`, { hint: 'Make one with `holdfast backup`.' });
  }
  const [, store, time] = /^(.+)@([^@]+)$/.exec(name) ?? [];
  if (store !== undefined && time !== undefined) {
    const at = parseMoment(time);
    const found = snapshots.findLast((snapshot) => tagValue(snapshot, 'store') === store && fits(snapshot, parts) && Date.parse(snapshot.time) <= at.getTime());
    if (found) return found;
    throw new HoldfastError('snapshot-missing', `there is no snapshot of ${store} from ${time} or before`, { hint: 'List them with `holdfast snapshots`.' });
  }
  const own = snapshots.filter((snapshot) => tagValue(snapshot, 'store') === name);
  return own.findLast((snapshot) => fits(snapshot, parts)) ?? own.at(-1) ?? findById(snapshots, name);
}

function fits(snapshot: Snapshot, parts: readonly string[]): boolean {
  const part = tagValue(snapshot, 'part');
  return part === undefined || parts.includes(part);
}
