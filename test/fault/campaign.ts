/** The seeded sweep: which scenarios, in which order, and what came of them. */
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { messageOf } from '../../src/base/errors.ts';
import { randomOf } from '../../src/repository/fixture/mutation.ts';
import { scratch } from '../fixture/scratch.ts';
import { interleave } from './interleave.ts';
import { OPERATIONS, type Operation } from './operation.ts';
import { makeWorld } from './world.ts';
import { callsOf, judge, nameOf, threads, TROUBLES, type Scenario } from './scenario.ts';

export interface CampaignOptions {
  readonly seed: number;
  /** Names; undefined for all. */
  readonly operations?: readonly string[] | undefined;
  /** Scenarios of each operation, chosen by the seed; undefined for all. */
  readonly count?: number | undefined;
  /** Only scenarios whose name begins so: `backup:die:7`. */
  readonly only?: string | undefined;
  /** Told of every scenario that is done. */
  done?(name: string, wrong: readonly string[]): void;
}

export interface Failure {
  readonly scenario: string;
  readonly wrong: readonly string[];
  /** The command that lets it happen again. */
  readonly replay: string;
}

export interface CampaignReport {
  readonly scenarios: number;
  readonly failures: readonly Failure[];
}

/** What has no single operation: several at once, whose order is the seed's. */
const INTERLEAVE = 'interleave';

/** What a campaign can be asked for. */
export const NAMES: readonly string[] = [...OPERATIONS.map(({ name }) => name), INTERLEAVE];

// Every operation leaves hundreds of megabytes of shared memory to the collector, which has no reason to hurry.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Scenarios that are under way at once: each waits for locks to settle most of its time. */
const PARALLEL = 4;

export async function campaign(options: CampaignOptions): Promise<CampaignReport> {
  const failures: Failure[] = [];
  let scenarios = 0;
  const rejected: string[] = [];
  const listener = (reason: unknown): void => void rejected.push(reason instanceof Error ? (reason.stack ?? reason.message) : String(reason));
  process.on('unhandledRejection', listener);
  try {
    for (const operation of OPERATIONS.filter(({ name }) => (options.operations ?? [name]).includes(name))) {
      scenarios += await sweep(operation, options, failures, rejected);
    }
    if ((options.operations ?? [INTERLEAVE]).includes(INTERLEAVE)) scenarios += await sweepInterleavings(options, failures, rejected);
  } finally {
    process.off('unhandledRejection', listener);
  }
  return { scenarios, failures };
}


async function sweepInterleavings(options: CampaignOptions, failures: Failure[], rejected: string[]): Promise<number> {
  await using place = await scratch('fault');
  const base = await makeWorld(place, 3);
  const [from, count] = options.only === undefined ? [options.seed, options.count ?? 100] : [Number(options.only.split(':')[1]), 1];
  let next = from;
  const work = async (): Promise<void> => {
    for (let seed = next++; seed < from + count; seed = next++) {
      const wrong = await interleave(seed, base, place).catch((error: unknown) => [`judging failed: ${messageOf(error)}`]);
      collect();
      options.done?.(`${INTERLEAVE}:${seed}`, wrong);
      if (wrong.length > 0) failures.push({ scenario: `${INTERLEAVE}:${seed}`, wrong, replay: `npm run fault -- --only ${INTERLEAVE}:${seed}` });
    }
  };
  await Promise.all(Array.from({ length: 2 }, work));
  await expectNothingLeft(INTERLEAVE, options, failures, rejected);
  return count;
}

async function sweep(operation: Operation, options: CampaignOptions, failures: Failure[], rejected: string[]): Promise<number> {
  await using place = await scratch('fault');
  const base = await operation.prepare(place);
  const calls = await callsOf(operation, base);
  const todo = choose(operation, calls, options);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let scenario = todo[next++]; scenario; scenario = todo[next++]) {
      const name = nameOf(scenario);
      const wrong = await judge(scenario, base);
      collect();
      options.done?.(name, wrong);
      if (wrong.length > 0) failures.push({ scenario: name, wrong, replay: `npm run fault -- --seed ${options.seed} --only ${name}` });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  await expectNothingLeft(operation.name, options, failures, rejected);
  return todo.length;
}

async function expectNothingLeft(name: string, { seed }: CampaignOptions, failures: Failure[], rejected: string[]): Promise<void> {
  // Threads end a moment after they were told to.
  for (let waited = 0; threads.alive > 0 && waited < 3000; waited += 50) await setTimeout(50);
  const left = threads.alive > 0 ? [`${threads.alive} threads are left`] : [];
  const wrong = [...left, ...rejected.splice(0).map((reason) => `a rejection that nobody met: ${reason}`)];
  if (wrong.length > 0) failures.push({ scenario: name, wrong, replay: `npm run fault -- --seed ${seed} --operations ${name}` });
}

/** Every trouble at every call where it can happen, in the order of the seed. */
function choose(operation: Operation, calls: readonly string[], { seed, count, only }: CampaignOptions): readonly Scenario[] {
  const random = randomOf(seed);
  const all = TROUBLES.flatMap((trouble) =>
    calls.flatMap((call, i): readonly Scenario[] => (trouble.at === undefined || trouble.at.includes(call) ? [{ operation, trouble, nth: i + 1 }] : [])),
  );
  if (only !== undefined) return all.filter((scenario) => nameOf(scenario) === only || nameOf(scenario).startsWith(`${only}:`));
  const shuffled = all.map((scenario) => ({ scenario, at: random() })).sort((a, b) => a.at - b.at);
  return shuffled.slice(0, count).map(({ scenario }) => scenario);
}

export function describeFailure({ scenario, wrong, replay }: Failure): string {
  return `${scenario}\n${wrong.map((sentence) => `  ${sentence}`).join('\n')}\n  replay: ${replay}`;
}

