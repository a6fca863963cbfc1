/** Probes of who else could do what, and of facts that are shown and not judged. */
import { isHoldfastError } from '../../base/errors.ts';
import type { Storage } from '../storage.ts';
import { expectThat, type Finding, type Probe, type ProbeTools, type TestFile } from './probe.ts';

const MIB = 1 << 20;
/** S3 refuses requests that are 15 minutes off; locks of other programs count as dead after 30. */
const CLOCK_SECONDS = 60;
const SPEED_BYTES = 16 * MIB;

type Outcome = 'yes' | 'no' | 'kept';

/** Changes what it stored itself, as somebody could who got hold of the credentials. */
const tamper: Probe = {
  name: 'keeps files from being changed and removed',
  async run(storage, tools) {
    const made = await tools.saved(storage, 1000);
    const until = await storage.keptUntil?.(made.file);
    const overwritten = await tryOverwrite(storage, made);
    const removed = await tryRemove(storage, made);
    // Nothing changed may stay in somebody's repository.
    if (overwritten === 'yes' && removed !== 'yes') await storage.save(made.file, made.bytes);
    const facts = { canRemove: removed === 'yes', canOverwrite: overwritten === 'yes', ...(until && { keptUntil: until.toISOString() }) };
    const left = removed === 'yes' || overwritten === 'yes' ? undefined : await storage.load(made.file);
    expectThat(left === undefined || left.equals(made.bytes), 'a file was changed although the storage had refused it');
    return { sentence: sentenceOf(facts), facts, warning: facts.canRemove || facts.canOverwrite };
  },
};

function sentenceOf({ canRemove, canOverwrite, keptUntil }: { readonly canRemove: boolean; readonly canOverwrite: boolean; readonly keptUntil?: string }): string {
  const lock = keptUntil === undefined ? '' : `; an object lock keeps what was just stored until ${keptUntil}`;
  if (canRemove && canOverwrite) return `no: these credentials can remove and overwrite${lock}`;
  if (canRemove) return `no: these credentials can remove, but not overwrite${lock}`;
  if (canOverwrite) return `no: these credentials can overwrite, but not remove${lock}`;
  return `yes, append-only: these credentials can neither remove nor overwrite${lock}`;
}

async function tryRemove(storage: Storage, { file }: TestFile): Promise<Outcome> {
  const refused = await attempt(() => storage.remove(file));
  if (refused) return refused;
  return (await storage.size(file)) === undefined ? 'yes' : 'no';
}

async function tryOverwrite(storage: Storage, { file, bytes }: TestFile): Promise<Outcome> {
  const other = Buffer.from(bytes);
  other.writeUInt8(other.readUInt8(500) ^ 1, 500);
  const refused = await attempt(() => storage.save(file, other));
  if (refused) return refused;
  return (await storage.load(file)).equals(bytes) ? 'no' : 'yes';
}

async function attempt(work: () => Promise<void>): Promise<Outcome | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (isHoldfastError(error, 'storage-kept')) return 'kept';
    if (isHoldfastError(error, 'storage-denied')) return 'no';
    throw error;
  }
}

const keeps: Probe = {
  name: 'locks what is stored for as long as it is configured to',
  async run(storage, tools) {
    if (storage.keepDays === undefined) return { sentence: 'no object lock is configured' };
    const { file } = await tools.saved(storage, 1000);
    const until = await storage.keptUntil?.(file);
    const days = until === undefined ? 0 : (until.getTime() - tools.clock.now().getTime()) / 86_400_000;
    expectThat(days > storage.keepDays - 0.5, `what is stored should be locked for ${storage.keepDays} days, and is for ${days.toFixed(1)}`);
    const refused = await attempt(() => storage.remove(file));
    expectThat(refused !== undefined, `what is locked for ${storage.keepDays} days was removed all the same`);
    return { sentence: `for ${storage.keepDays} days` };
  },
};

const clock: Probe = {
  name: 'has the same time as this host',
  async run(storage, tools): Promise<Finding> {
    if (!storage.serverTime) return { sentence: 'it does not tell its time' };
    const before = tools.clock.now().getTime();
    const theirs = (await storage.serverTime()).getTime();
    const after = tools.clock.now().getTime();
    // Servers tell whole seconds, and the answer has been under way.
    const ahead = theirs > after ? theirs - after : theirs + 1000 < before ? theirs + 1000 - before : 0;
    const seconds = Math.round(ahead / 1000);
    const facts = { clockAheadSeconds: seconds };
    if (Math.abs(seconds) < 2) return { sentence: 'yes', facts };
    const by = `its clock is ${Math.abs(seconds)} s ${seconds > 0 ? 'ahead' : 'behind'}`;
    return { sentence: by, warning: Math.abs(seconds) > CLOCK_SECONDS, facts };
  },
};

const speed: Probe = {
  name: 'answers and carries bytes',
  bulky: true,
  async run(storage, tools): Promise<Finding> {
    const ms = async (work: () => Promise<unknown>): Promise<number> => {
      const before = tools.clock.elapsedMs();
      await work();
      return Math.max(0.01, tools.clock.elapsedMs() - before);
    };
    const made = tools.file(SPEED_BYTES);
    const upBytesPerSecond = Math.round((SPEED_BYTES / (await ms(() => storage.save(made.file, made.bytes, { signal: tools.signal })))) * 1000);
    const downBytesPerSecond = Math.round((SPEED_BYTES / (await ms(() => storage.load(made.file, undefined, { signal: tools.signal })))) * 1000);
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) waits.push(await ms(() => storage.size(made.file)));
    const latencyMs = Math.round((waits.sort((a, b) => a - b)[4] ?? 0) * 100) / 100;
    const rate = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB/s`;
    return { sentence: `${rate(upBytesPerSecond)} up, ${rate(downBytesPerSecond)} down, ${latencyMs} ms to answer`, facts: { upBytesPerSecond, downBytesPerSecond, latencyMs } };
  },
};

const room: Probe = {
  name: 'has room',
  async run(storage): Promise<Finding> {
    const freeBytes = await storage.freeBytes?.();
    return freeBytes === undefined ? { sentence: 'it does not tell how much' } : { sentence: `${(freeBytes / 1e9).toFixed(1)} GB free`, facts: { freeBytes }, warning: freeBytes < 1e9 };
  },
};

const sweeps: Probe = {
  name: 'leaves what is whole when it sweeps',
  alone: true,
  async run(storage: Storage, tools: ProbeTools) {
    const { file } = await tools.saved(storage, 1000);
    if (!storage.sweep) return;
    await storage.sweep(new Date(tools.clock.now().getTime() + 60_000));
    expectThat((await storage.size(file)) === 1000, 'a file that is whole was swept away');
  },
};

/** The first: where nothing can be removed, the probes that write much are left out. */
export const TAMPER: Probe = tamper;
export const ABILITY_PROBES: readonly Probe[] = [keeps, clock, sweeps, speed, room];
