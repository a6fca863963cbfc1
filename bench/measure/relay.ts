/** Stands between clients and a server and counts, in the same way for every program, what the server sends. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Bytes that the server has sent since this was asked last. */
  received(): number;
}

/**
 * Passes on to a port of this host, in a thread, for the harness waits for many programs without turning its loop.
 * It costs processor time, so nothing is timed through it.
 */
export async function countingRelay(target: number): Promise<Relay> {
  const counter = new BigInt64Array(new SharedArrayBuffer(8));
  const thread = new Worker(new URL('relay-thread.ts', import.meta.url), { workerData: { target, counter } });
  const [port]: unknown[] = await once(thread, 'message');
  return {
    port: Number(port),
    received: () => Number(Atomics.exchange(counter, 0, 0n)),
    async [Symbol.asyncDispose]() {
      await thread.terminate();
    },
  };
}
