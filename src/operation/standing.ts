/** How a snapshot stands: what it said of itself when it was made, and what verifications have found since. Pure. */
import type { RetentionState } from '../policy/retention.ts';
import { proofsOf, tagValue, type Proof, type Snapshot } from '../repository/repository.ts';

export interface Standing {
  /** `failed`: the last verification found that it does not restore to the same content. */
  readonly state: RetentionState;
  /** When it was last proven; undefined when it never was, or when the last verification failed. */
  readonly verified: Date | undefined;
  /** The last verification. */
  readonly proof: Proof | undefined;
}

/** `proofs` oldest first, as they are listed. The last word counts: a verification that failed for a loose cable may pass later. */
export function standingOf(snapshot: Snapshot, proofs: readonly Proof[]): Standing {
  const proof = proofsOf(proofs, snapshot).at(-1);
  const said = tagValue(snapshot, 'state');
  if (proof?.state === 'failed') return { state: 'failed', verified: undefined, proof };
  return { state: said === 'ok' || said === 'degraded' ? said : 'unknown', verified: proof && new Date(proof.time), proof };
}

/** The snapshots of each store, and of each kind of part of it, by what it is and never by host or path; those of other programs belong to none. */
export interface StoreSnapshots {
  readonly stack: string;
  readonly store: string;
  /** What part of the store they hold (`schema`, `data`, `tables-…`, `wal`); undefined: all of it. */
  readonly part: string | undefined;
  /** Oldest first. */
  readonly snapshots: readonly Snapshot[];
}

/** Groups in the order in which stores first appear; only of `stack` and of `stores`, where these are given. */
export function byStore(snapshots: readonly Snapshot[], { stack, stores }: { readonly stack?: string | undefined; readonly stores?: readonly string[] | undefined } = {}): readonly StoreSnapshots[] {
  const groups = new Map<string, StoreSnapshots & { readonly snapshots: Snapshot[] }>();
  for (const snapshot of snapshots) {
    const [ofStack, store] = [tagValue(snapshot, 'stack'), tagValue(snapshot, 'store')];
    if (ofStack === undefined || store === undefined) continue;
    if ((stack !== undefined && ofStack !== stack) || (stores !== undefined && stores.length > 0 && !stores.includes(store))) continue;
    const part = tagValue(snapshot, 'part');
    const key = JSON.stringify([ofStack, store, part]);
    const group = groups.get(key) ?? { stack: ofStack, store, part, snapshots: [] };
    group.snapshots.push(snapshot);
    groups.set(key, group);
  }
  return [...groups.values()];
}
