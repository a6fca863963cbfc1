/**
 * `forget`: drops snapshots by retention, or those that are named. The plan is a value that prints, with a reason for each snapshot;
 * what is carried out is never more than what was planned.
 */
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { isEmptyPolicy, LAST_VERIFIED, refusal, retain, type RetentionPolicy, type RetentionSnapshot } from '../policy/retention.ts';
import { findById, tagValue, type Proof, type Repository, type Snapshot } from '../repository/repository.ts';
import type { Plan } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { WAL_PART } from '../source/cluster/wal-archive.ts';
import { byStore, standingOf, type Standing, type StoreSnapshots } from './standing.ts';
import { decideWal } from './wal/forget.ts';

export interface ForgetRequest {
  /** Only stores of this stack; undefined: of all. */
  readonly stack: string | undefined;
  /** Only these stores. */
  readonly stores: readonly string[];
  /** Beginnings of ids: these go, whatever any rule says; but of a store that stays, not the last verified one. */
  readonly ids: readonly string[];
  /** For every store; undefined: each plan's own, for the snapshots of that plan. */
  readonly policy: RetentionPolicy | undefined;
  readonly plans: readonly Plan[];
  /** Of the calendar that days are counted on. */
  readonly zone: string;
}

export interface ForgetItem {
  readonly snapshot: Snapshot;
  readonly standing: Standing;
  readonly keep: boolean;
  readonly reasons: readonly string[];
}

export interface ForgetGroup {
  readonly stack: string | undefined;
  readonly store: string | undefined;
  /** The part of the store that these hold; undefined: all of it. */
  readonly part: string | undefined;
  /** The plan whose rules these are. */
  readonly plan: string | undefined;
  /** Why nothing of this group goes. */
  readonly refused: string | undefined;
  readonly notes: readonly string[];
  /** Newest first. */
  readonly items: readonly ForgetItem[];
}

export interface ForgetPlan {
  readonly groups: readonly ForgetGroup[];
  /** What goes. */
  readonly removals: readonly Snapshot[];
  /** Snapshots that no rule speaks of. */
  readonly leftAlone: number;
}

/** What stays although it was to go. */
export interface KeptByStorage {
  readonly snapshot: Snapshot;
  readonly message: string;
}

export interface ForgetReport {
  readonly removed: readonly Snapshot[];
  /** An object lock keeps these until its time has passed. */
  readonly kept: readonly KeptByStorage[];
  /** Planned, but meanwhile gone, or needed since other things changed. */
  readonly passedOver: readonly Snapshot[];
  /** Proofs that went with their snapshots. */
  readonly proofs: number;
}

/** Decides what goes; changes nothing. Throws `usage` when nothing says what to keep, or when the last verified one of a store is named; `snapshot-missing`. */
export async function planForget(request: ForgetRequest, repository: Repository, now: Date): Promise<ForgetPlan> {
  const snapshots = await repository.snapshots();
  const { proofs } = await repository.proofs();
  const ordinary = request.ids.length > 0 ? planNamed(snapshots, proofs, request, now) : planByRules(snapshots.filter((snapshot) => tagValue(snapshot, 'part') !== WAL_PART), proofs, request, now);
  const groups = request.ids.length > 0 ? ordinary : [...ordinary, ...(await planLog(snapshots, proofs, ordinary, repository))];
  const spokenOf = new Set(groups.flatMap(({ items }) => items.map(({ snapshot }) => snapshot.id)));
  const kept = new Set(groups.flatMap(({ items }) => items.filter(({ keep }) => keep).map(({ snapshot }) => snapshot.id)));
  const removals = groups.flatMap(({ items }) => items.map(({ snapshot }) => snapshot)).filter(({ id }) => !kept.has(id));
  return { groups, removals: [...new Set(removals)], leftAlone: snapshots.length - spokenOf.size };
}

/** Write-ahead log follows the base backups of its store: ordinary rules would tear holes into it. */
async function planLog(snapshots: readonly Snapshot[], proofs: readonly Proof[], ordinary: readonly ForgetGroup[], repository: Repository): Promise<readonly ForgetGroup[]> {
  const stays = (snapshot: Snapshot): boolean => {
    const items = ordinary.flatMap((group) => group.items.filter((item) => item.snapshot.id === snapshot.id));
    return items.length === 0 || items.some(({ keep }) => keep);
  };
  const groups: ForgetGroup[] = [];
  for (const { stack, store, part, snapshots: own } of byStore(snapshots)) {
    if (part !== WAL_PART || !ordinary.some((group) => group.stack === stack && group.store === store)) continue;
    const bases = snapshots.filter((snapshot) => tagValue(snapshot, 'stack') === stack && tagValue(snapshot, 'store') === store && tagValue(snapshot, 'part') === undefined);
    const decisions = new Map((await decideWal(repository, own, bases.filter(stays))).map((decision) => [decision.id, decision]));
    const items = own.toReversed().map((snapshot) => ({ snapshot, standing: standingOf(snapshot, proofs), keep: decisions.get(snapshot.id)?.keep ?? true, reasons: decisions.get(snapshot.id)?.reasons ?? [] }));
    groups.push({ stack, store, part, plan: undefined, refused: undefined, notes: [], items });
  }
  return groups;
}

function planNamed(snapshots: readonly Snapshot[], proofs: readonly Proof[], { ids }: ForgetRequest, now: Date): readonly ForgetGroup[] {
  const named = [...new Set(ids.map((id) => findById(snapshots, id)))];
  const notes = byStore(snapshots).flatMap((group) => {
    const gone = new Set(named.filter((snapshot) => group.snapshots.includes(snapshot)).map(({ id }) => id));
    if (gone.size === group.snapshots.length) return [`${group.store} of ${group.stack} has no snapshot ${group.part === undefined ? '' : `of this part (${group.part}) `}left then`];
    // A rule that keeps nothing shows what retention would never drop.
    const { refused, decisions } = retain(group.snapshots.map((snapshot) => factsOf(snapshot, proofs)), { tags: [['']] }, { now, zone: 'UTC' });
    const guarded = refused === undefined ? decisions.filter(({ id, keep }) => keep && gone.has(id)) : [];
    const verified = guarded.find(({ reasons }) => reasons.includes(LAST_VERIFIED));
    if (!verified) return guarded.map(({ id, reasons }) => `${id.slice(0, 8)} is ${reasons.join(' and ')} of ${group.store}`);
    throw new HoldfastError('usage', `${verified.id.slice(0, 8)} is ${LAST_VERIFIED} of ${group.store}: it stays`, {
      hint: `Verify another one first. To give ${group.store} up, name all of its snapshots.`,
    });
  });
  const items = named.map((snapshot) => ({ snapshot, standing: standingOf(snapshot, proofs), keep: false, reasons: ['named'] }));
  return [{ stack: undefined, store: undefined, part: undefined, plan: undefined, refused: undefined, notes, items }];
}

function planByRules(snapshots: readonly Snapshot[], proofs: readonly Proof[], request: ForgetRequest, now: Date): readonly ForgetGroup[] {
  const { stack, stores, policy, zone } = request;
  const groups = byStore(snapshots, { stack, stores });
  if (policy !== undefined && !isEmptyPolicy(policy)) return groups.map((group) => planGroup(group, group.snapshots, policy, proofs, { now, zone, plan: undefined }));
  const plans = request.plans.flatMap(({ name, keep }) => (keep === undefined ? [] : [{ name, keep }]));
  if (plans.length === 0) {
    throw new HoldfastError('usage', 'nothing says what to keep', { hint: 'Give rules, as in `holdfast forget --keep-daily 7 --keep-weekly 5`, or a plan with `keep:` in holdfast.yaml, or ids of snapshots.' });
  }
  return groups.flatMap((group) =>
    plans.flatMap(({ name, keep }) => {
      const own = group.snapshots.filter((snapshot) => snapshot.tags?.includes(`plan:${name}`));
      return own.length === 0 ? [] : [planGroup(group, own, keep, proofs, { now, zone, plan: name })];
    }),
  );
}

/** Rules over `own`, which are all snapshots of the store or those of one plan. Whether the store's newest is ok counts in any case. */
function planGroup(
  { stack, store, part, snapshots }: StoreSnapshots, own: readonly Snapshot[], policy: RetentionPolicy, proofs: readonly Proof[],
  { now, zone, plan }: { readonly now: Date; readonly zone: string; readonly plan: string | undefined },
): ForgetGroup {
  const ofStore = refusal(snapshots.map((snapshot) => factsOf(snapshot, proofs)), now);
  const { refused = ofStore, decisions, notes } = retain(own.map((snapshot) => factsOf(snapshot, proofs)), policy, { now, zone });
  const byId = new Map(own.map((snapshot) => [snapshot.id, snapshot]));
  const items = decisions.flatMap(({ id, keep, reasons }) => {
    const snapshot = byId.get(id);
    return snapshot ? [{ snapshot, standing: standingOf(snapshot, proofs), keep: keep || refused !== undefined, reasons: refused === undefined ? reasons : ['the store is left alone'] }] : [];
  });
  return { stack, store, part, plan, refused, notes, items };
}

function factsOf(snapshot: Snapshot, proofs: readonly Proof[]): RetentionSnapshot {
  const { state, verified } = standingOf(snapshot, proofs);
  return { id: snapshot.id, time: new Date(snapshot.time), state, verified, tags: snapshot.tags ?? [] };
}

/**
 * Removes what the plan says. Under an exclusive lock it is decided once more, and only what goes by both decisions is removed:
 * two people who forget at once cannot each remove what the other keeps. A snapshot goes before its proofs: dying between the two
 * leaves proofs that speak of nothing, which the next run removes. Throws `storage-denied` where nothing may be removed.
 */
export async function executeForget(plan: ForgetPlan, request: ForgetRequest, repository: Repository, { clock, emit, signal }: Context): Promise<ForgetReport> {
  await using _lock = await repository.lock(true);
  const there = new Set((await repository.snapshots()).map(({ id }) => id));
  const present = { ...request, ids: plan.removals.filter(({ id }) => there.has(id)).map(({ id }) => id) };
  const again = request.ids.length > 0 ? present.ids : (await planForget(request, repository, clock.now())).removals.map(({ id }) => id);
  const agreed = new Set(again);
  const removed: Snapshot[] = [];
  const kept: KeptByStorage[] = [];
  const passedOver = plan.removals.filter(({ id }) => !agreed.has(id) || !there.has(id));
  for (const snapshot of plan.removals) {
    if (passedOver.includes(snapshot)) continue;
    signal.throwIfAborted();
    emit({ type: 'step', store: tagValue(snapshot, 'store'), sentence: `removing snapshot ${snapshot.id.slice(0, 8)}` });
    try {
      await repository.remove('snapshot', snapshot.id);
      removed.push(snapshot);
    } catch (error) {
      if (isHoldfastError(error, 'storage-denied')) throw denied(error, removed.length);
      if (!isHoldfastError(error, 'storage-kept')) throw error;
      kept.push({ snapshot, message: error.message });
    }
  }
  return { removed, kept, passedOver, proofs: await removeProofs(repository) };
}

function denied(error: HoldfastError, removed: number): HoldfastError {
  return new HoldfastError('storage-denied', `${removed === 0 ? 'no snapshot was removed' : `${removed} snapshots were removed, the others not`}: ${error.message}`, {
    hint: 'These credentials may only add. Run `holdfast forget` on a host that you trust, with credentials that may delete.', cause: error,
  });
}

/** Removes the proofs of snapshots that are no more. Those that the storage keeps do no harm: nothing looks at them. */
async function removeProofs(repository: Repository): Promise<number> {
  const ids = new Set((await repository.snapshots()).flatMap(({ id, original }) => [id, original]));
  let count = 0;
  for (const { id, snapshot } of (await repository.proofs()).proofs) {
    if (ids.has(snapshot)) continue;
    try {
      await repository.remove('proof', id);
      count++;
    } catch (error) {
      if (!isHoldfastError(error, 'storage-kept', 'storage-denied')) throw error;
    }
  }
  return count;
}
