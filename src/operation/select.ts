/** Which snapshot a person means: by id, by store and time. Pure. */
import { HoldfastError } from '../base/errors.ts';
import { findById, tagValue, type Snapshot } from '../repository/repository.ts';

export interface Selection {
  readonly stack: string;
  readonly store: string;
  /** Snapshots of this part of the store (the tag `part:`); undefined: of the whole store. */
  readonly part?: string | undefined;
  /** Not after this moment. */
  readonly at?: Date | undefined;
  /** The beginning of an id, or `latest`. */
  readonly snapshot?: string | undefined;
}

/** The snapshots of a store of a stack, or of a part of it, oldest first as they came. */
export function snapshotsOf(snapshots: readonly Snapshot[], { stack, store, part }: Pick<Selection, 'stack' | 'store' | 'part'>): readonly Snapshot[] {
  return snapshots.filter((snapshot) => tagValue(snapshot, 'stack') === stack && tagValue(snapshot, 'store') === store && tagValue(snapshot, 'part') === part);
}

/** The newest snapshot of the store that answers. Throws `snapshot-missing`. */
export function selectSnapshot(snapshots: readonly Snapshot[], selection: Selection): Snapshot {
  const { store, at, snapshot } = selection;
  if (snapshot !== undefined && snapshot !== 'latest') return findById(snapshots, snapshot);
  const own = snapshotsOf(snapshots, selection);
  const newest = own.findLast(({ time }) => at === undefined || Date.parse(time) <= at.getTime());
  if (newest) return newest;
  const [first] = own;
  throw new HoldfastError('snapshot-missing', first && at ? `the oldest snapshot of ${store} is of ${first.time}, later than ${at.toISOString()}` : `there is no snapshot of ${store} in this repository`, {
    hint: first ? 'List them with `holdfast snapshots`.' : 'Make one with `holdfast backup`.',
  });
}

const LOCAL_TIME = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?$/;

/** A moment as people write it: `2026-11-20 14:30` in the local zone, or with a zone in ISO 8601. Throws `usage`. */
export function parseMoment(text: string): Date {
  const normal = text.trim().replace(' ', 'T');
  const moment = new Date(LOCAL_TIME.test(text.trim()) && normal.length === 10 ? `${normal}T23:59:59` : normal);
  if (Number.isNaN(moment.getTime())) {
    throw new HoldfastError('usage', `'${text}' is no time`, { hint: "Write it like '2026-11-20 14:30' (local time) or '2026-11-20T13:30:00Z'." });
  }
  return moment;
}
