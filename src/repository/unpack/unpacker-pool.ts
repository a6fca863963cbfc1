/** The threads that open packs, seen from the main thread. */
import { Worker } from 'node:worker_threads';
import { ERRORS, HoldfastError, type ErrorCode } from '../../base/errors.ts';
import { THREAD_LIMITS } from '../../base/garbage.ts';
import type { Core } from '../core.ts';
import type { SealKey } from '../format/cipher.ts';
import { targetError } from './target-error.ts';
import type { UnpackAnswer, UnpackerData, UnpackRequest } from './messages.ts';

const THREADS = 2;
/** Requests that a thread has before it: one to work on, one waiting so that it never stands idle. What is far away is loaded one further ahead; two cost 60 MB. */
const AHEAD = 2;
const FAR_AHEAD = 3;

type Done = Extract<UnpackAnswer, { kind: 'done' }>;

interface Job {
  readonly make: () => Promise<UnpackRequest>;
  readonly resolve: (done: Done) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  /** Jobs that it has, and of those the ones that were posted to it: it answers them in this order. */
  readonly jobs: Set<Job>;
  readonly posted: Job[];
}

export class UnpackerPool implements AsyncDisposable {
  readonly #core: Core;
  readonly #ahead: number;
  readonly #sealKey: SealKey | undefined;
  readonly #threads: Thread[] = [];
  readonly #queue: Job[] = [];

  /** `sealKey`: of another repository that blobs are moved to. */
  constructor(core: Core, sealKey?: SealKey) {
    this.#core = core;
    this.#ahead = (core.storage.parallel ?? 1) > 2 * AHEAD ? FAR_AHEAD : AHEAD;
    this.#sealKey = sealKey;
  }

  /** Runs a request in a thread. `make` is called when a thread has room, so that what it loads is never far ahead. */
  run(make: () => Promise<UnpackRequest>): Promise<Done> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ make, resolve, reject });
      this.#dispatch();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = this.#threads.length < THREADS && this.#threads.every(({ jobs }) => jobs.size > 0) ? this.#start() : this.#leastBusy();
      if (!thread || thread.jobs.size >= this.#ahead) return;
      const job = this.#queue.shift();
      if (job) this.#send(thread, job);
    }
  }

  #leastBusy(): Thread | undefined {
    return this.#threads.reduce<Thread | undefined>((least, thread) => (least && least.jobs.size <= thread.jobs.size ? least : thread), undefined);
  }

  #send(thread: Thread, job: Job): void {
    thread.jobs.add(job);
    job.make().then(
      (request) => {
        // The thread may have died while this was made; then the job was told.
        if (!thread.jobs.has(job)) return;
        thread.posted.push(job);
        thread.worker.postMessage(request, transferables(request));
      },
      (error: unknown) => {
        thread.jobs.delete(job);
        job.reject(error);
        this.#dispatch();
      },
    );
  }

  #start(): Thread {
    const data: UnpackerData = { key: this.#core.key, sealKey: this.#sealKey };
    const worker = new Worker(new URL('./unpacker.ts', import.meta.url), { workerData: data, trackUnmanagedFds: false, resourceLimits: THREAD_LIMITS });
    const thread: Thread = { worker, jobs: new Set(), posted: [] };
    worker.on('message', (answer: UnpackAnswer) => {
      const job = thread.posted.shift();
      if (job) thread.jobs.delete(job);
      if (answer.kind === 'done') job?.resolve(answer);
      else job?.reject(toError(answer));
      this.#dispatch();
    });
    worker.on('error', (error) => {
      // It answers no more: what comes later goes to another thread.
      this.#threads.splice(this.#threads.indexOf(thread), 1);
      for (const job of thread.jobs) job.reject(error);
      thread.jobs.clear();
      this.#dispatch();
    });
    this.#threads.push(thread);
    return thread;
  }
}

function transferables(request: UnpackRequest): ArrayBuffer[] {
  if (request.kind === 'finish' || request.kind === 'compare') return [];
  const ranges = request.kind === 'write' ? request.ranges.map(({ range }) => range) : [request.range];
  return ranges.flatMap(({ bytes }) => (bytes?.buffer instanceof ArrayBuffer && bytes.length === bytes.buffer.byteLength ? [bytes.buffer] : []));
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** An error that a thread has met. System errors can only come from what is restored: those of packs are told in pack-range.ts. */
function toError({ code, message, hint }: Extract<UnpackAnswer, { kind: 'error' }>): HoldfastError {
  if (isErrorCode(code)) return new HoldfastError(code, message, hint === undefined ? {} : { hint });
  return targetError(code, message);
}
