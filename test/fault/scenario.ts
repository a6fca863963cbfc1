/** One thing that goes wrong at one storage call of one operation, and everything that must hold then. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Worker } from 'node:worker_threads';
import { firstError, HoldfastError, isHoldfastError, messageOf } from '../../src/base/errors.ts';
import { faulty, fromCall, onCall, type Choice, type Fault, type FaultyStorage } from '../../src/storage/faulty.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { withRetry } from '../../src/storage/with-retry.ts';
import { checkAll, compareSnapshots, countFiles, faultOf } from './judge.ts';
import { lostSnapshots, type Operation } from './operation.ts';
import { copyWorld, type Content, type World } from './world.ts';

const HOUR = 3600_000;
/** A stall is noticed after so long here; a minute in earnest. */
const STALL_MS = 400;

export interface Trouble {
  readonly name: string;
  /** The fault from the n-th call on, or at it alone; undefined where it is the clock that goes wrong. */
  readonly choice: (n: number, world: World) => Choice;
  /** Through `withRetry`, as storages that are far away are. */
  readonly retry: boolean;
  /** The operation must come to its end as if nothing had happened. */
  readonly survived?: boolean;
  /** The user stops it so long after the fault. */
  readonly interrupt?: boolean;
  /** Calls at which it can happen. */
  readonly at?: readonly string[];
}

const transient = new HoldfastError('storage-failed', 'the test lets the connection break', { transient: true });
const at = (fault: Fault) => (n: number): Choice => onCall(n, fault);
const from = (fault: Fault) => (n: number): Choice => fromCall(n, fault);
const jump = (ms: number) => (n: number, world: World): Choice => (_call, _file, now) => {
  if (now === n) world.clock.move(ms);
  return undefined;
};

export const TROUBLES: readonly Trouble[] = [
  { name: 'die', choice: at({ kind: 'die' }), retry: false },
  { name: 'die-after', choice: at({ kind: 'die', when: 'after' }), retry: false },
  { name: 'fail', choice: at({ kind: 'fail' }), retry: false },
  { name: 'fail-after', choice: at({ kind: 'fail', after: true }), retry: false },
  { name: 'fail-always', choice: from({ kind: 'fail' }), retry: false },
  { name: 'full', choice: at({ kind: 'full' }), retry: false, at: ['save'] },
  { name: 'full-always', choice: from({ kind: 'full' }), retry: false, at: ['save'] },
  { name: 'short', choice: at({ kind: 'short' }), retry: false, at: ['load', 'list'] },
  { name: 'short-empty', choice: at({ kind: 'short', bytes: 1 << 30 }), retry: false, at: ['load'] },
  { name: 'flip', choice: at({ kind: 'flip' }), retry: false, at: ['load', 'save'] },
  { name: 'flip-first', choice: at({ kind: 'flip', bit: 3 }), retry: false, at: ['load', 'save'] },
  { name: 'retry-fail', choice: at({ kind: 'fail', error: transient }), retry: true, survived: true },
  { name: 'retry-fail-after', choice: at({ kind: 'fail', error: transient, after: true }), retry: true, survived: true },
  { name: 'retry-stall', choice: at({ kind: 'stall' }), retry: true, survived: true },
  { name: 'retry-stall-always', choice: from({ kind: 'stall' }), retry: true },
  { name: 'retry-fail-always', choice: from({ kind: 'fail', error: transient }), retry: true },
  { name: 'interrupt', choice: at({ kind: 'stall' }), retry: true, interrupt: true },
  { name: 'clock-forward', choice: jump(5 * HOUR), retry: false, survived: true },
  { name: 'clock-back', choice: jump(-5 * HOUR), retry: false, survived: true },
];

export interface Scenario {
  readonly operation: Operation;
  readonly trouble: Trouble;
  readonly nth: number;
}

export function nameOf({ operation, trouble, nth }: Scenario): string {
  return `${operation.name}:${trouble.name}:${nth}`;
}

/** The calls that the operation makes when nothing fails; they tell at which calls what can go wrong. */
export async function callsOf(operation: Operation, base: World): Promise<readonly string[]> {
  const world = await copyWorld(base);
  const storage = faulty(world[operation.failing]);
  await operation.run(world, storage, world.clock, new AbortController().signal);
  return storage.faults.calls.map(({ call }) => call);
}

/** Threads that were started and have not ended. */
class Threads implements Disposable {
  readonly #alive = new Set<Worker>();
  readonly #started = (message: unknown): void => {
    const { worker } = message as { worker: Worker };
    this.#alive.add(worker);
    worker.once('exit', () => this.#alive.delete(worker));
  };

  constructor() {
    subscribe('worker_threads', this.#started);
  }

  get alive(): number {
    return this.#alive.size;
  }

  [Symbol.dispose](): void {
    unsubscribe('worker_threads', this.#started);
  }
}

/** Threads of all scenarios that are under way at once. */
export const threads = new Threads();

interface Outcome {
  readonly made: ReadonlyMap<string, Content>;
  readonly error: unknown;
  readonly storage: FaultyStorage;
}

async function attempt({ operation, trouble, nth }: Scenario, world: World): Promise<Outcome> {
  const storage = faulty(world[operation.failing], trouble.choice(nth, world));
  const abort = new AbortController();
  const through: Storage = trouble.retry
    ? withRetry(storage, world.clock, { random: () => 0.02, totalMs: 50, stallMs: trouble.interrupt === true ? 3000 : STALL_MS, signal: abort.signal })
    : storage;
  const timer = trouble.interrupt === true ? setInterval(() => storage.faults.calls.length >= nth && abort.abort(new HoldfastError('interrupted', 'the test interrupts it')), 20) : undefined;
  try {
    return { made: await operation.run(world, through, world.clock, abort.signal), error: undefined, storage };
  } catch (error) {
    return { made: new Map(), error, storage };
  } finally {
    clearInterval(timer);
  }
}

/** Packs that were marked are there by intent, until a later prune. */
const WAITING = /wait/;

const LONGEST_MS = 90_000;

/** Lets it happen, and answers everything that is not as it must be: sentences, none when all is well. */
export async function judge(scenario: Scenario, base: World): Promise<readonly string[]> {
  const world = await copyWorld(base);
  const late = Promise.withResolvers<readonly string[]>();
  const timer = setTimeout(() => late.resolve([`hung: not done after ${LONGEST_MS / 1000} s`]), LONGEST_MS);
  try {
    return await Promise.race([late.promise, judgeIn(world, scenario)]);
  } catch (error) {
    return [`judging failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`];
  } finally {
    clearTimeout(timer);
  }
}

async function judgeIn(world: World, scenario: Scenario): Promise<readonly string[]> {
  const { operation, trouble } = scenario;
  const wrong: string[] = [];
  const { made, error, storage } = await attempt(scenario, world);
  const died = storage.faults.dead;
  if (error !== undefined) {
    wrong.push(...faultOf(error));
    if (trouble.survived === true) wrong.push(`was not survived: ${messageOf(error)}`);
    // Locks come and go whatever the user wants; a lock that stands still is given up by the watchdog.
    const lock = storage.faults.calls[scenario.nth - 1]?.file.kind === 'lock';
    if (trouble.interrupt === true && !lock && !isHoldfastError(firstError(error), 'interrupted')) wrong.push(`was interrupted and says ${messageOf(error)}`);
  }
  // A listing that ends early hides what was to be mended; nobody can know, and the next run mends it.
  const hidden = operation.mends === true && trouble.name === 'short' && storage.faults.calls[scenario.nth - 1]?.call === 'list';
  // What is stored is looked at through a storage without faults.
  if (error === undefined ? !hidden : operation.mends !== true) wrong.push(...(await soundness(world, operation, error === undefined ? 'said that it was done' : `failed (${messageOf(error)})`)));
  if (made.size > 0) wrong.push(...(await compareSnapshots(world[operation.makes ?? operation.failing], world.clock, made)));
  if (error === undefined && !hidden) wrong.push(...(await operation.done(world)));
  // What was done stays done when only the lock could not be taken away; it goes stale.
  const outOfReach = trouble.name.includes('always') || storage.faults.calls[scenario.nth - 1]?.file.kind === 'lock';
  if (!died && !outOfReach && error === undefined && (await countFiles(world[operation.failing], 'lock')) > 0) wrong.push('it ended and left its lock');
  wrong.push(...(await again(world, scenario)));
  return wrong;
}

function placesOf({ failing, makes = failing }: Operation): ReadonlySet<'storage' | 'second'> {
  return new Set([failing, makes]);
}

async function soundness(world: World, operation: Operation, after: string): Promise<readonly string[]> {
  const damage: string[] = [];
  for (const place of placesOf(operation)) {
    const report = await checkAll(world[place], world.clock);
    damage.push(...report.errors.map(({ subject, message }) => `after it ${after}, check finds: ${subject} ${message}`));
  }
  return [...damage, ...(await lostSnapshots(world, operation))];
}

/** The next run, when the locks of the dead have become stale, comes to its end, and leaves nothing behind. */
async function again(world: World, { operation }: Scenario): Promise<readonly string[]> {
  world.clock.move(6 * HOUR);
  const wrong: string[] = [];
  try {
    const made = await operation.run(world, world[operation.failing], world.clock, new AbortController().signal);
    wrong.push(...(await compareSnapshots(world[operation.makes ?? operation.failing], world.clock, made)), ...(await operation.done(world)));
  } catch (error) {
    return [`cannot be run again: ${messageOf(error)}`, ...faultOf(error)];
  }
  for (const place of placesOf(operation)) {
    const report = await checkAll(world[place], world.clock);
    wrong.push(...report.errors.map(({ subject, message }) => `after the second run: ${subject} ${message}`), ...report.hints.filter((hint) => operation.mends !== true && !WAITING.test(hint)).map((hint) => `after the second run: ${hint}`));
    if ((await countFiles(world[place], 'lock')) > 0) wrong.push('after the second run a lock is left');
  }
  return [...wrong, ...(await lostSnapshots(world, operation))];
}
