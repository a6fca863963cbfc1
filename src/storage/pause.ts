import { sleep } from '../base/clock.ts';

/** Waits so many milliseconds, or rejects when the signal fires. Tests give one that goes with their clock. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** Waits; a signal that fires ends the waiting with its own reason. */
export async function pause(ms: number, signal: AbortSignal | undefined, wait: Sleep = sleep): Promise<void> {
  signal?.throwIfAborted();
  try {
    await wait(ms, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** A signal that fires with either; unlike `AbortSignal.any` it leaves nothing behind on one that lives long. */
export function eitherOf(...signals: readonly (AbortSignal | undefined)[]): Disposable & { readonly signal: AbortSignal } {
  const abort = new AbortController();
  const links = signals.map((signal) => ({ signal, give: () => abort.abort(signal?.reason) }));
  for (const { signal, give } of links) {
    if (signal?.aborted === true) give();
    signal?.addEventListener('abort', give, { once: true });
  }
  return { signal: abort.signal, [Symbol.dispose]: () => links.forEach(({ signal, give }) => signal?.removeEventListener('abort', give)) };
}
