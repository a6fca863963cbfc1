/** A storage that fails when told to: for tests of everything that must survive failures. */
import { sleep } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Call, FileKind, ListedStoredFile, Storage, StoredFile } from './storage.ts';

export type CallName = 'save' | 'load' | 'list' | 'size' | 'remove' | 'keepUntil' | 'keptUntil' | 'sweep';

export type Fault =
  /** Rejects with `error` (default: a permanent `storage-failed`). `after`: the storage has done it, and only the answer is lost. */
  | { readonly kind: 'fail'; readonly error?: Error; readonly after?: boolean }
  /** A save finds no room. */
  | { readonly kind: 'full' }
  /** No answer, until the call's signal fires (without one: for ever) or the storage dies. Nothing reaches the storage. */
  | { readonly kind: 'stall' }
  /** `load` answers without its last `bytes` (default 1); a listing ends without its last file. It looks like success. */
  | { readonly kind: 'short'; readonly bytes?: number }
  /** One bit is turned, in what `load` answers or in what `save` stores; its number is taken modulo the length. Default: in the middle. */
  | { readonly kind: 'flip'; readonly bit?: number }
  /**
   * The process dies: this call and every later one reject, and nothing reaches the storage any more. `after`: what was called
   * is done before; `halfway`, of a listing: its first file is still answered.
   */
  | { readonly kind: 'die'; readonly when?: 'before' | 'after' | 'halfway' }
  /** Works, but later; the waiting ends with the call's signal. */
  | { readonly kind: 'delay'; readonly ms: number };

/** Decides for every call, counted from 1 over all methods. */
export type Choice = (call: CallName, file: Partial<StoredFile>, n: number) => Fault | undefined;

/** This fault for the n-th call. */
export const onCall = (nth: number, fault: Fault): Choice => (_call, _file, n) => (n === nth ? fault : undefined);

/** This fault for the n-th call and all behind it. */
export const fromCall = (nth: number, fault: Fault): Choice => (_call, _file, n) => (n >= nth ? fault : undefined);

export interface LoggedCall {
  /** From 1, over all methods. */
  readonly n: number;
  readonly call: CallName;
  readonly file: Partial<StoredFile>;
  /** What was done to it. */
  readonly fault: Fault['kind'] | undefined;
}

export interface Faults {
  /** Fails the n-th call (from 1) of a method, counted for one kind of file or for all. */
  failOn(call: CallName, nth: number, options?: { readonly kind?: FileKind; readonly error?: Error }): void;
  /** Flips one bit of what `load` answers for this file. */
  corrupt(id: string, byte: number): void;
  /** Replaces the choice; undefined: no more faults by choice. */
  choose(choice: Choice | undefined): void;
  /** From now on every call rejects, stalled ones too. */
  die(): void;
  readonly dead: boolean;
  readonly calls: readonly LoggedCall[];
  count(call: CallName, kind?: FileKind): number;
}

export interface FaultyStorage extends Storage {
  readonly faults: Faults;
}

/**
 * The same storage with faults that the test decides. Without `localPath` and `holds`: nothing may pass by a fault. `prepare`
 * is not counted, but the dead do not prepare either.
 */
export function faulty(storage: Storage, choice?: Choice): FaultyStorage {
  const steps = new Steps(choice);
  const { prepare, keepUntil, keptUntil, sweep, close } = storage;
  return {
    faults: steps,
    location: `faulty ${storage.location}`,
    ...(storage.parallel === undefined ? {} : { parallel: storage.parallel }),
    ...(storage.keepDays === undefined ? {} : { keepDays: storage.keepDays }),
    save: async (file, bytes, call) => await steps.run('save', file, call, (fault) => storage.save(file, fault?.kind === 'flip' ? flipped(bytes, fault.bit) : bytes, call)),
    load: async (file, range, call) => {
      let seen: Fault | undefined;
      const bytes = await steps.run('load', file, call, (fault) => ((seen = fault), storage.load(file, range, call)));
      return steps.spoil(bytes, file, range?.offset ?? 0, seen);
    },
    list: (kind, call) => steps.list(kind, call, () => storage.list(kind, call)),
    size: async (file, call) => await steps.run('size', file, call, () => storage.size(file, call)),
    remove: async (file, call) => await steps.run('remove', file, call, () => storage.remove(file, call)),
    ...(prepare && { prepare: async () => (steps.refuseDead(), await prepare.call(storage)) }),
    ...(keepUntil && { keepUntil: async (file: StoredFile, until: Date, call?: Call) => await steps.run('keepUntil', file, call, () => keepUntil.call(storage, file, until, call)) }),
    ...(keptUntil && { keptUntil: async (file: StoredFile, call?: Call) => await steps.run('keptUntil', file, call, () => keptUntil.call(storage, file, call)) }),
    ...(sweep && { sweep: async (before: Date, call?: Call) => await steps.run('sweep', {}, call, () => sweep.call(storage, before, call)) }),
    ...(close && { close: () => close.call(storage) }),
  };
}

interface Plan {
  readonly call: CallName;
  readonly kind: FileKind | undefined;
  readonly error: Error;
  left: number;
}

class Steps implements Faults {
  readonly calls: LoggedCall[] = [];
  readonly #plans: Plan[] = [];
  readonly #corruptions = new Map<string, number>();
  readonly #death = new AbortController();
  #choice: Choice | undefined;

  constructor(choice: Choice | undefined) {
    this.#choice = choice;
  }

  failOn(call: CallName, nth: number, options: { readonly kind?: FileKind; readonly error?: Error } = {}): void {
    this.#plans.push({ call, kind: options.kind, error: options.error ?? failure(call), left: nth });
  }

  corrupt(id: string, byte: number): void {
    this.#corruptions.set(id, byte);
  }

  choose(choice: Choice | undefined): void {
    this.#choice = choice;
  }

  die(): void {
    this.#death.abort(new HoldfastError('interrupted', 'the test let the process die here'));
  }

  get dead(): boolean {
    return this.#death.signal.aborted;
  }

  count(call: CallName, kind?: FileKind): number {
    return this.calls.filter((entry) => entry.call === call && (kind === undefined || entry.file.kind === kind)).length;
  }

  refuseDead(): void {
    this.#death.signal.throwIfAborted();
  }

  async run<T>(name: CallName, file: Partial<StoredFile>, call: Call | undefined, work: (fault: Fault | undefined) => Promise<T>): Promise<T> {
    const fault = await this.#before(name, file, call);
    const result = await work(fault);
    // A call that was under way when another one died: done, but nobody hears of it.
    this.refuseDead();
    if (fault?.kind === 'fail') throw fault.error ?? failure(name);
    if (fault?.kind === 'die') throw this.#killed();
    return result;
  }

  async *list(kind: FileKind, call: Call | undefined, list: () => AsyncIterable<ListedStoredFile>): AsyncIterable<ListedStoredFile> {
    const fault = await this.#before('list', { kind }, call);
    let held: ListedStoredFile | undefined;
    for await (const file of list()) {
      this.refuseDead();
      if (held) yield held;
      if (held && fault?.kind === 'die' && fault.when === 'halfway') throw this.#killed();
      held = file;
    }
    if (fault?.kind === 'fail') throw fault.error ?? failure('list');
    if (held && fault?.kind !== 'short') yield held;
    if (fault?.kind === 'die') throw this.#killed();
  }

  /** Counts the call; what must not reach the storage rejects here. Answers what is left to be done. */
  async #before(name: CallName, file: Partial<StoredFile>, call: Call | undefined): Promise<Fault | undefined> {
    this.refuseDead();
    const n = this.calls.length + 1;
    const planned = this.#planned(name, file);
    const fault = planned ? ({ kind: 'fail', error: planned } as const) : this.#choice?.(name, file, n);
    this.calls.push({ n, call: name, file, fault: fault?.kind });
    switch (fault?.kind) {
      case 'fail':
        if (fault.after !== true) throw fault.error ?? failure(name);
        break;
      case 'full':
        if (name === 'save') throw new HoldfastError('storage-full', `the test lets ${name} find no space left`);
        break;
      case 'die':
        if (fault.when === undefined || fault.when === 'before') throw this.#killed();
        break;
      case 'stall':
        await never(AbortSignal.any([this.#death.signal, ...(call?.signal ? [call.signal] : [])]));
        break;
      case 'delay':
        await sleep(fault.ms, call?.signal);
        this.refuseDead();
        break;
      case 'short':
      case 'flip':
      case undefined:
        break;
    }
    return fault;
  }

  #planned(name: CallName, file: Partial<StoredFile>): Error | undefined {
    let error: Error | undefined;
    for (const plan of this.#plans) {
      if (plan.call !== name || (plan.kind !== undefined && plan.kind !== file.kind)) continue;
      if (--plan.left === 0) error = plan.error;
    }
    return error;
  }

  #killed(): unknown {
    this.die();
    return this.#death.signal.reason;
  }

  /** What `load` answers, from `offset` of the file. */
  spoil(bytes: Buffer, file: StoredFile, offset: number, fault: Fault | undefined): Buffer {
    const at = (this.#corruptions.get(file.id) ?? -1) - offset;
    if (at >= 0 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ 1;
    if (fault?.kind === 'flip') return flipped(bytes, fault.bit);
    return fault?.kind === 'short' ? bytes.subarray(0, Math.max(0, bytes.length - (fault.bytes ?? 1))) : bytes;
  }
}

function failure(call: CallName): HoldfastError {
  return new HoldfastError('storage-failed', `the test lets ${call} fail`);
}

function flipped(bytes: Uint8Array, bit = bytes.length * 4): Buffer {
  const copy = Buffer.from(bytes);
  if (copy.length === 0) return copy;
  const at = Math.floor(bit / 8) % copy.length;
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit % 8));
  return copy;
}

async function never(signal: AbortSignal): Promise<never> {
  // A timer keeps the process alive while it waits, as an open socket would.
  const alive = setInterval(() => undefined, 60_000);
  try {
    return await new Promise<never>((_, reject) => {
      const give = (): void => reject(signal.reason as Error);
      if (signal.aborted) give();
      signal.addEventListener('abort', give, { once: true });
    });
  } finally {
    clearInterval(alive);
  }
}
