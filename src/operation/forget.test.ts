import { describe, expect, it } from 'vitest';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';
import { createRepository, type ProofDocument, type Repository } from '../repository/repository.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { faulty } from '../storage/faulty.ts';
import type { Plan } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { executeForget, planForget, type ForgetPlan, type ForgetRequest } from './forget.ts';

const NOW = new Date('2026-11-20T12:00:00Z');
const DAY = 86_400_000;
const clock: Clock = { now: () => NOW, elapsedMs: () => performance.now() };
const context: Context = { clock, signal: new AbortController().signal, emit: () => undefined };
const storage = faulty(new MemoryStorage());
const repository = await createRepository(storage, new Secret('x'), clock);

interface Given {
  readonly store?: string;
  readonly stack?: string;
  readonly state?: string;
  readonly plan?: string;
  /** Of the host and the paths, which must not count. */
  readonly host?: string;
  /** Days ago. */
  readonly age: number;
}

/** A snapshot without content: what is forgotten is the file of the snapshot. */
async function add({ store = 'files', stack = 's', state = 'ok', plan, host = 'h', age }: Given): Promise<string> {
  const none = { filesNew: 0, filesChanged: 0, filesUnmodified: 0, dirsNew: 0, dirsChanged: 0, dirsUnmodified: 0, dataBlobs: 0, treeBlobs: 0, dataAdded: 0, dataAddedPacked: 0, totalFiles: 0, totalBytes: 0 };
  const tags = store === '' ? [] : [`stack:${stack}`, `store:${store}`, `state:${state}`, ...(plan === undefined ? [] : [`plan:${plan}`])];
  const tree = 'a'.repeat(64);
  return await repository.saveSnapshot({ at: new Date(NOW.getTime() - age * DAY), parent: undefined, tree, paths: [`/${host}`], hostname: host, username: 'u', uid: 0, gid: 0, tags, program: 'p', archived: { ...none, tree } });
}

async function proof(snapshot: string, state: ProofDocument['state']): Promise<string> {
  return await repository.saveProof({ snapshot, tree: 'a'.repeat(64), time: NOW.toISOString(), program: 'p', hostname: 'h', seconds: 1, state, files: 0, bytes: 0, counts: {}, problems: [] });
}

async function clear(): Promise<void> {
  for (const kind of ['snapshot', 'proof'] as const) for await (const { id } of storage.list(kind)) await repository.remove(kind, id);
}

const request = (more: Partial<ForgetRequest>): ForgetRequest => ({ stack: 's', stores: [], ids: [], policy: undefined, plans: [], zone: 'UTC', ...more });
const plan = async (more: Partial<ForgetRequest>): Promise<ForgetPlan> => await planForget(request(more), repository, NOW);
const there = async (of: Repository = repository): Promise<number> => (await of.snapshots()).length;

describe('forget by rules', () => {
  it('counts by store, wherever a snapshot was made, and leaves other stacks and programs alone', async () => {
    await clear();
    const kept = [await add({ age: 0, host: 'one' }), await add({ age: 0, store: 'db' })];
    const gone = [await add({ age: 1, host: 'two' }), await add({ age: 2, host: 'three' }), await add({ age: 3, store: 'db' })];
    await add({ age: 9, stack: 'other' });
    await add({ age: 9, store: '' });
    const planned = await plan({ policy: { last: 1 } });
    expect(planned.removals.map(({ id }) => id).toSorted()).toEqual(gone.toSorted());
    expect(planned.leftAlone).toBe(2);
    expect(planned.groups.map(({ store, items }) => `${store} ${items.length}`).toSorted()).toEqual(['db 2', 'files 3']);
    expect((await plan({ policy: { last: 1 }, stores: ['db'] })).removals).toHaveLength(1);
    const report = await executeForget(planned, request({ policy: { last: 1 } }), repository, context);
    expect(report).toMatchObject({ removed: { length: 3 }, kept: [], passedOver: [] });
    const ids = (await repository.snapshots()).map(({ id }) => id);
    expect(kept.every((id) => ids.includes(id))).toBe(true);
    expect(ids).toHaveLength(4);
  });

  it('goes by proofs: the last proven stays, one that failed counts no more, and a store whose newest failed is left alone', async () => {
    await clear();
    const [newest, , proven] = [await add({ age: 0 }), await add({ age: 1 }), await add({ age: 5 })];
    const loser = await add({ age: 6 });
    const proofs = [await proof(proven, 'proven'), await proof(loser, 'proven')];
    expect((await plan({ policy: { last: 1 } })).removals).toHaveLength(2);
    await proof(newest, 'failed');
    const left = await plan({ policy: { last: 1 } });
    expect([left.removals.length, left.groups[0]?.refused]).toEqual([0, expect.stringContaining('did not pass its verification')]);
    await repository.remove('proof', (await repository.proofs()).proofs.find(({ snapshot }) => snapshot === newest)?.id ?? '');
    const report = await executeForget(await plan({ policy: { last: 1 } }), request({ policy: { last: 1 } }), repository, context);
    expect([report.removed.length, report.proofs]).toEqual([2, 1]);
    expect((await repository.proofs()).proofs.map(({ id }) => id)).toEqual(proofs.slice(0, 1));
  });

  it('of plans speak of the snapshots of each plan only', async () => {
    await clear();
    for (const age of [0, 1, 2]) await add({ age, plan: 'daily' });
    for (const age of [3, 4]) await add({ age, plan: 'weekly' });
    await add({ age: 5 });
    const plans: readonly Plan[] = [{ name: 'daily', stores: 'all', to: ['r'], keep: { last: 2 } }, { name: 'weekly', stores: 'all', to: ['r'], keep: { last: 1 } }, { name: 'bare', stores: 'all', to: ['r'] }];
    const planned = await plan({ plans });
    expect(planned.removals.map(({ time }) => time.slice(8, 10)).toSorted()).toEqual(['16', '18']);
    expect(planned.leftAlone).toBe(1);
    // The newest of the store is of another plan; it is not ok, so nothing of the store goes.
    await add({ age: -0, state: 'degraded', plan: 'bare' });
    await add({ age: -0.0005, state: 'degraded', plan: 'bare' });
    expect((await plan({ plans })).removals).toEqual([]);
    await expect(plan({ plans: [] })).rejects.toMatchObject({ code: 'usage', message: 'nothing says what to keep' });
  });
});

describe('forget by id', () => {
  it('drops what is named and warns of what should not go', async () => {
    await clear();
    const [newest, old] = [await add({ age: 0 }), await add({ age: 1 })];
    const foreign = await add({ age: 0, store: '' });
    await proof(old, 'proven');
    const planned = await plan({ ids: [newest.slice(0, 12), foreign] });
    expect(planned.removals).toHaveLength(2);
    expect(planned.groups[0]?.notes).toEqual([`${newest.slice(0, 8)} is the newest that is ok of files`]);
    await expect(plan({ ids: [old] })).rejects.toMatchObject({ code: 'usage', message: `${old.slice(0, 8)} is the last verified one of files: it stays` });
    expect((await plan({ ids: [old, newest] })).groups[0]?.notes).toEqual(['files of s has no snapshot left then']);
    await expect(plan({ ids: ['ffff'] })).rejects.toMatchObject({ code: 'snapshot-missing' });
    await executeForget(planned, request({ ids: [newest.slice(0, 12), foreign] }), repository, context);
    expect((await repository.snapshots()).map(({ id }) => id)).toEqual([old]);
  });
});

describe('what was planned', () => {
  it('is decided once more: two who forget at once cannot each remove what the other keeps', async () => {
    await clear();
    const ids = [await add({ age: 0 }), await add({ age: 1 }), await add({ age: 2 })];
    const byRule = await plan({ policy: { last: 1 } });
    await executeForget(await plan({ ids: ids.slice(0, 1) }), request({ ids: ids.slice(0, 1) }), repository, context);
    const report = await executeForget(byRule, request({ policy: { last: 1 } }), repository, context);
    expect(report.passedOver.map(({ id }) => id)).toEqual([ids[1]]);
    expect((await repository.snapshots()).map(({ id }) => id)).toEqual([ids[1]]);
  });

  it('stays where an object lock keeps it, and the rest goes', async () => {
    await clear();
    for (const age of [0, 1, 2]) await add({ age });
    storage.faults.failOn('remove', 1, { kind: 'snapshot', error: new HoldfastError('storage-kept', 'locked until tomorrow') });
    const report = await executeForget(await plan({ policy: { last: 1 } }), request({ policy: { last: 1 } }), repository, context);
    expect(report).toMatchObject({ removed: { length: 1 }, kept: [{ message: 'locked until tomorrow' }] });
    expect(await there()).toBe(2);
  });

  it('ends with a clear sentence where nothing may be removed', async () => {
    await clear();
    for (const age of [0, 1, 2]) await add({ age });
    storage.faults.failOn('remove', 1, { kind: 'snapshot', error: new HoldfastError('storage-denied', 'access denied') });
    await expect(executeForget(await plan({ policy: { last: 1 } }), request({ policy: { last: 1 } }), repository, context)).rejects.toMatchObject({
      code: 'storage-denied', message: 'no snapshot was removed: access denied', hint: expect.stringContaining('may only add'),
    });
    expect(await there()).toBe(3);
  });

  it('leaves, killed between a snapshot and its proof, a proof of nothing, which the next run removes', async () => {
    await clear();
    for (const age of [0, 1, 2]) await proof(await add({ age }), 'proven');
    storage.faults.failOn('remove', 1, { kind: 'proof' });
    await expect(executeForget(await plan({ policy: { last: 1 } }), request({ policy: { last: 1 } }), repository, context)).rejects.toThrow();
    expect([await there(), (await repository.proofs()).proofs.length]).toEqual([1, 3]);
    await executeForget(await plan({ policy: { last: 1 } }), request({ policy: { last: 1 } }), repository, context);
    expect((await repository.proofs()).proofs).toHaveLength(1);
  });
});
