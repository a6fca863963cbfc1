/** Two writers, one who forgets and one who prunes, at once on one repository; a seed decides who waits how long at which call. */
import { setTimeout } from 'node:timers/promises';
import { isHoldfastError, firstError, messageOf } from '../../src/base/errors.ts';
import { executeForget, planForget, type ForgetRequest } from '../../src/operation/forget.ts';
import { prune } from '../../src/operation/prune.ts';
import { below, randomOf, type Random } from '../../src/repository/fixture/mutation.ts';
import { openRepository } from '../../src/repository/repository.ts';
import type { Stack } from '../../src/stack/stack.ts';
import { faulty, type Choice } from '../../src/storage/faulty.ts';
import type { Storage } from '../../src/storage/storage.ts';
import type { Scratch } from '../fixture/scratch.ts';
import { checkAll, compareSnapshots, countFiles, faultOf } from './judge.ts';
import { backupOnce, contextOf, copyWorld, directoryStore, fill, foreignLock, noise, PASSWORD, snapshotsOf, type Content, type MovedClock, type World } from './world.ts';

const HOUR = 3600_000;
const TRIES = 60;

interface Stage {
  readonly world: World;
  readonly random: Random;
  readonly clock: MovedClock;
  /** What was made, and what was taken away on purpose. */
  readonly made: Map<string, Content>;
  readonly forgotten: Set<string>;
  readonly wrong: string[];
}

/** Every call is late: most by nothing much, some by more than a lock takes to settle. */
function lateness({ random }: Stage): Choice {
  return () => {
    const draw = random();
    return { kind: 'delay', ms: draw < 0.6 ? 0 : draw < 0.93 ? below(random, 15) : below(random, 350) };
  };
}

/** Runs until it is done; who finds the repository locked, or has lost its lock, comes again. */
async function insist(stage: Stage, who: string, work: (storage: Storage) => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await work(faulty(stage.world.storage, lateness(stage)));
    } catch (thrown) {
      const error = firstError(thrown);
      if (!isHoldfastError(error, 'repository-locked', 'lock-lost')) {
        stage.wrong.push(`${who}: ${messageOf(error)}`, ...faultOf(error));
        return;
      }
      if (tries === TRIES) {
        stage.wrong.push(`${who} never came to its turn: ${error.message}`);
        return;
      }
      await setTimeout(below(stage.random, 400));
    }
  }
}

async function writer(stage: Stage, place: Scratch, name: string): Promise<void> {
  const folder = place.path(name);
  const stack: Stack = { name, folder: place.folder, stores: [directoryStore('files', folder)], repositories: [] };
  for (let round = 0; round < 2; round++) {
    // What an old, forgotten snapshot had alone is met again: its blobs are there until the pruner takes them.
    const content = await fill(folder, { 'own.bin': noise(`${name} ${round}`, 4000), 'again.bin': noise(`own ${round}`, 3000), 'large.bin': noise('large 0', 700_000) });
    await insist(stage, `${name}'s backup ${round + 1}`, async (storage) => {
      for (const id of snapshotsOf(await backupOnce(storage, stack, stage.clock))) stage.made.set(id, content);
    });
  }
}

async function forgetter(stage: Stage): Promise<void> {
  const request: ForgetRequest = { stack: 'test', stores: [], ids: [], policy: { last: 1 }, plans: [], zone: 'UTC' };
  await insist(stage, 'forget', async (storage) => {
    const repository = await openRepository(storage, PASSWORD, stage.clock);
    const plan = await planForget(request, repository, stage.clock.now());
    // Also what it dies of half-way is gone on purpose.
    for (const { id } of plan.removals) stage.forgotten.add(id);
    await executeForget(plan, request, repository, contextOf(stage.clock));
  });
}

async function pruner(stage: Stage, graceMs: number): Promise<void> {
  for (let round = 1; round <= 3; round++) {
    await insist(stage, `prune ${round}`, async (storage) => {
      await prune(await openRepository(storage, PASSWORD, stage.clock), { maxUnused: { kind: 'bytes', bytes: 0 }, maxRepack: undefined, graceMs }, contextOf(stage.clock));
    });
  }
}

/** The clock of this host is set while everybody is at work: forward by hours, back, and forward by less than makes a lock stale. */
async function jumper({ random, clock, made, world }: Stage): Promise<void> {
  // Once somebody was let in, so that the stale lock is gone: seen from hours before, it would be one of the future, and held.
  for (let waited = 0; made.size === world.old.size && waited < 20_000; waited += 20) await setTimeout(20);
  for (let jumps = below(random, 3); jumps > 0; jumps--) {
    await setTimeout(below(random, 1500));
    clock.move([5 * HOUR, -5 * HOUR, 20 * 60_000][below(random, 3)] ?? 0);
  }
}

/** Lets all run, and answers what is not as it must be afterwards: sentences. */
export async function interleave(seed: number, base: World, place: Scratch): Promise<readonly string[]> {
  const world = await copyWorld(base);
  const random = randomOf(seed);
  const stage: Stage = { world, random, clock: world.clock, made: new Map(world.old), forgotten: new Set(), wrong: [] };
  await foreignLock(world.storage, world.clock, { exclusive: random() < 0.5, ageMs: HOUR });
  const graceMs = random() < 0.7 ? 0 : HOUR;
  await Promise.all([writer(stage, place, `ann-${seed}`), writer(stage, place, `bob-${seed}`), forgetter(stage), pruner(stage, graceMs), jumper(stage)]);
  return [...stage.wrong, ...(await afterwards(stage))];
}

async function afterwards({ world, clock, made, forgotten }: Stage): Promise<readonly string[]> {
  clock.move(6 * HOUR);
  const report = await checkAll(world.storage, clock);
  const damage = report.errors.map(({ subject, message }) => `check finds: ${subject} ${message}`);
  const kept = new Map([...made].filter(([id]) => !forgotten.has(id)));
  const lost = await compareSnapshots(world.storage, clock, kept);
  const locks = await countFiles(world.storage, 'lock');
  return [...damage, ...lost, ...(locks > 0 ? [`${locks} locks are left`] : [])];
}
