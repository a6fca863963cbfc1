/**
 * `storage validate`: does the storage of a repository keep what Holdfast relies on, and what could somebody do who has the
 * credentials of this host? Tried with files of its own, on the place itself. In a repository in use these are packs that no index
 * names, so nobody misses or reads them; everything is removed again, also when it is stopped.
 */
import { randomBytes } from 'node:crypto';
import { HoldfastError, messageOf } from '../base/errors.ts';
import { openRepository, type Repository } from '../repository/repository.ts';
import type { RepositoryPlace } from '../stack/stack.ts';
import { PROBES, ProbeTools, type Finding, type Probe, type StorageFacts } from '../storage/conformance.ts';
import type { Storage, StoredFile } from '../storage/storage.ts';
import type { Context } from './context.ts';
import { passwordOf, storageOf } from './open.ts';

/** What the probes that write much may need at once, and as much again for whoever else writes. */
const BULKY_BYTES = 200e6;

export interface ProbeResult {
  readonly name: string;
  readonly result: 'ok' | 'warning' | 'failed' | 'left out';
  /** What was found, or how the contract was broken; undefined when all is said by the result. */
  readonly sentence: string | undefined;
  readonly seconds: number;
}

export interface StorageReport {
  readonly location: string;
  /** A repository in use, or a place where there is none yet. */
  readonly repository: boolean;
  /** No probe failed. */
  readonly kept: boolean;
  readonly probes: readonly ProbeResult[];
  readonly facts: StorageFacts & { readonly appendOnly: boolean };
  /** Plain sentences: what it all means. */
  readonly verdict: readonly string[];
  /** Test files that could not be removed. */
  readonly left: readonly StoredFile[];
}

export async function validateStorage(place: RepositoryPlace, context: Context): Promise<StorageReport> {
  const waiting = (sentence: string): void => context.emit({ type: 'step', store: undefined, sentence });
  const storage = await storageOf(place, { uncached: true, signal: context.signal, waiting });
  try {
    const isEmpty = await holdsNothing(storage);
    if (isEmpty) await storage.prepare?.();
    const isRepository = !isEmpty && (await storage.size({ kind: 'config', id: '' })) !== undefined;
    // Nobody prunes while it runs: a pack that no index names is what a prune removes.
    await using _lock = isRepository ? await lockOf(storage, place, context) : undefined;
    return { ...(await probeStorage(storage, !isEmpty, context)), repository: isRepository };
  } finally {
    await storage.close?.();
  }
}

/** Nothing that a repository is made of; a place with other things in it is no matter of ours. */
async function holdsNothing(storage: Storage): Promise<boolean> {
  for (const kind of ['config', 'key', 'snapshot', 'index', 'pack', 'lock', 'proof'] as const) {
    try {
      for await (const _ of storage.list(kind)) return false;
    } catch (error) {
      // The bucket is made when it is prepared.
      if (error instanceof HoldfastError && error.code === 'repository-missing') return true;
      throw error;
    }
  }
  return true;
}

async function lockOf(storage: Storage, place: RepositoryPlace, context: Context): Promise<AsyncDisposable> {
  const repository: Repository = await openRepository(storage, await passwordOf(place), context.clock);
  return await repository.lock(false);
}

/** The probes themselves, on an opened storage; `isInUse`: without those that others would stumble over. Rejects with the reason of a signal. */
export async function probeStorage(storage: Storage, isInUse: boolean, context: Context): Promise<StorageReport> {
  const tools = new ProbeTools({ clock: context.clock, random: randomBytes, signal: context.signal });
  const results: ProbeResult[] = [];
  const left: StoredFile[] = [];
  try {
    // Where nothing can be stored at all, for want of room or of rights, that is the answer, and not what each probe makes of it.
    await tools.saved(storage, 1000);
    for (const probe of PROBES) {
      if (isInUse && probe.alone === true) continue;
      context.emit({ type: 'step', store: undefined, sentence: `${results.length + 1} of ${PROBES.length}: ${probe.name}` });
      results.push(await runProbe(probe, storage, tools, context));
      context.signal.throwIfAborted();
      left.push(...(await tools.cleanUp(storage)));
    }
  } finally {
    left.push(...(await tools.cleanUp(storage)));
  }
  const { canRemove, canOverwrite } = tools.facts;
  const facts = { ...tools.facts, appendOnly: canRemove === false && canOverwrite === false };
  const kept = results.every(({ result }) => result !== 'failed');
  return { location: storage.location, repository: isInUse, kept, probes: results, facts, verdict: verdictOf(facts, results), left };
}

async function runProbe(probe: Probe, storage: Storage, tools: ProbeTools, { clock }: Context): Promise<ProbeResult> {
  const started = clock.elapsedMs();
  const answer = (result: ProbeResult['result'], sentence: string | undefined): ProbeResult => ({ name: probe.name, result, sentence, seconds: (clock.elapsedMs() - started) / 1000 });
  // A config that stays would be taken for a repository.
  if (probe.alone === true && tools.facts.canRemove !== true) return answer('left out', 'it writes files of all kinds, and what is stored here cannot be removed again');
  if (probe.bulky === true && tools.facts.canRemove !== true) return answer('left out', 'it writes much, and what is stored here cannot be removed again');
  const free = probe.bulky === true ? await storage.freeBytes?.() : undefined;
  if (free !== undefined && free < BULKY_BYTES) return answer('left out', 'it writes much, and there is little room');
  try {
    const finding = (await probe.run(storage, tools)) as Finding | undefined;
    tools.facts = { ...tools.facts, ...finding?.facts };
    return answer(finding?.warning === true ? 'warning' : 'ok', finding?.sentence);
  } catch (error) {
    tools.signal?.throwIfAborted();
    return answer('failed', messageOf(error));
  }
}

/** What an attacker could do with the credentials of this host, and what else somebody should know. */
function verdictOf(facts: StorageReport['facts'], probes: readonly ProbeResult[]): readonly string[] {
  const failed = probes.filter(({ result }) => result === 'failed').length;
  const sound = failed === 0
    ? 'This storage keeps everything that Holdfast relies on.'
    : `This storage breaks ${failed === 1 ? 'something' : `${failed} things`} that Holdfast relies on: do not trust backups to it.`;
  return [sound, ...attackSentences(facts), ...careSentences(facts)];
}

function attackSentences({ canRemove, canOverwrite, keptUntil, appendOnly }: StorageReport['facts']): readonly string[] {
  if (canRemove === undefined || canOverwrite === undefined) return ['What somebody could do with the credentials of this host was not found out.'];
  if (!canRemove && keptUntil !== undefined) {
    const over = canOverwrite ? ' Somebody with these credentials could store something else over it; what was stored before stays beneath, as an older version.' : '';
    return [`Kept by an object lock: nobody, not even with the credentials of this host, can remove what was stored just now before ${keptUntil}.${over}`];
  }
  if (appendOnly) return ['Append-only: somebody who gets hold of this host and its credentials can add to the repository, but neither remove nor change what is in it. Forgetting and pruning need other credentials.'];
  const can = canRemove && canOverwrite ? 'remove and overwrite' : canRemove ? 'remove' : 'overwrite';
  return [
    `Not append-only: somebody who gets hold of this host and its credentials can ${can} every backup in this repository.`,
    'Keep a copy that this host cannot reach, or use credentials that may only add, or a bucket with object lock (`object-lock:`).',
  ];
}

function careSentences({ clockAheadSeconds = 0, conditionalWrites, freeBytes }: StorageFacts): readonly string[] {
  return [
    ...(Math.abs(clockAheadSeconds) > 60 ? ['The clocks of this host and of the storage differ. Set them right: locks and object locks go by them.'] : []),
    ...(conditionalWrites === false ? ['Two hosts that make a repository here at the same moment would not notice each other; Holdfast needs nothing else of this kind.'] : []),
    ...(freeBytes !== undefined && freeBytes < 1e9 ? ['There is less than 1 GB free.'] : []),
  ];
}
