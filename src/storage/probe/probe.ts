/** What a probe of the conformance list is, and what it works with. */
import { hash } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../../base/errors.ts';
import type { FileKind, ListedStoredFile, Storage, StoredFile } from '../storage.ts';

/** What was found out about a storage, each by trying it. */
export interface StorageFacts {
  /** With the credentials at hand. */
  readonly canRemove?: boolean;
  readonly canOverwrite?: boolean;
  /** An object lock keeps what was just stored until then; ISO 8601. */
  readonly keptUntil?: string;
  /** Of two who store under one name at the same moment, one is told that he was second. */
  readonly conditionalWrites?: boolean;
  /** How far the storage's clock is ahead of this host's. */
  readonly clockAheadSeconds?: number;
  readonly latencyMs?: number;
  readonly upBytesPerSecond?: number;
  readonly downBytesPerSecond?: number;
  readonly freeBytes?: number;
}

/** What a probe has to say, when there is more than "kept". */
export interface Finding {
  readonly sentence: string;
  /** Somebody should look at it. */
  readonly warning?: boolean;
  readonly facts?: StorageFacts;
}

export interface Probe {
  /** A sentence about the storage. */
  readonly name: string;
  /** Writes much: left out where what is written cannot be removed again. */
  readonly bulky?: boolean;
  /** Needs an empty storage of its own: in a repository in use, others would stumble over its files. */
  readonly alone?: boolean;
  /** Throws when the contract is not kept. */
  run(storage: Storage, tools: ProbeTools): Promise<void | Finding>;
}

export interface TestFile {
  readonly file: StoredFile;
  readonly bytes: Buffer;
}

export interface ToolOptions {
  readonly clock: Clock;
  /** So many random bytes. */
  random(bytes: number): Buffer;
  readonly signal?: AbortSignal | undefined;
}

/** Makes the files of the probes, and removes them again. Their names are hashes of random bytes: nobody else has such. */
export class ProbeTools {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** What was found out by the probes before. */
  facts: StorageFacts = {};
  readonly #random: (bytes: number) => Buffer;
  readonly #made = new Map<string, StoredFile>();

  constructor({ clock, random, signal }: ToolOptions) {
    this.clock = clock;
    this.signal = signal;
    this.#random = random;
  }

  /** A file that nobody has; packs hurt nobody, for no index names them. */
  file(size: number, kind: FileKind = 'pack'): TestFile {
    const bytes = this.#random(size);
    const file = { kind, id: kind === 'config' ? '' : hash('sha256', bytes, 'hex') };
    this.#made.set(`${kind}/${file.id}`, file);
    return { file, bytes };
  }

  async saved(storage: Storage, size: number, kind?: FileKind): Promise<TestFile> {
    const made = this.file(size, kind);
    await storage.save(made.file, made.bytes, { signal: this.signal });
    return made;
  }

  /** Removes all that the probes have made so far, also when they were stopped; answers what cannot be removed. */
  async cleanUp(storage: Storage): Promise<readonly StoredFile[]> {
    const left: StoredFile[] = [];
    const files = [...this.#made.values()];
    this.#made.clear();
    await inParallel(files, storage.parallel ?? 1, async (file) => {
      try {
        await storage.remove(file);
      } catch (error) {
        if (!isHoldfastError(error)) throw error;
        // Of those that were never stored nothing is left.
        if ((await storage.size(file).catch(() => 0)) !== undefined) left.push(file);
      }
    });
    return left;
  }
}

/** Does the work for each, so many at once. */
export async function inParallel<T>(all: readonly T[], slots: number, work: (one: T) => Promise<void>): Promise<void> {
  const rest = [...all];
  const worker = async (): Promise<void> => {
    for (let one = rest.shift(); one !== undefined; one = rest.shift()) await work(one);
  };
  await Promise.all(Array.from({ length: Math.max(1, slots) }, worker));
}

/** Throws the sentence, unless the condition holds. */
export function expectThat(holds: boolean, broken: string): asserts holds {
  if (!holds) throw new HoldfastError('failed', broken);
}

/** The error of what must not succeed. */
export async function refusal(work: Promise<unknown>, broken: string): Promise<unknown> {
  let result: unknown;
  try {
    result = await work;
  } catch (error) {
    return error;
  }
  void result;
  throw new HoldfastError('failed', broken);
}

/** The sizes of all files of a kind, by their ids. Throws when an id is answered twice. */
export async function listing(storage: Storage, kind: FileKind, signal?: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  const files: AsyncIterable<ListedStoredFile> = storage.list(kind, { signal });
  for await (const { id, size } of files) {
    expectThat(!sizes.has(id), `the listing answers ${kind} ${id.slice(0, 10)} twice`);
    sizes.set(id, size);
  }
  return sizes;
}
