import { getHeapStatistics } from 'node:v8';

/**
 * Node's ciphers return their output in new buffers outside the heap, and V8 looks for garbage only after 64 MB of them, in every
 * thread. Threads that encrypt ask for a small collection (about a millisecond) after a few megabytes, so that memory stays
 * where it is warm. Works where Node was started with --expose-gc, as the launcher does; elsewhere it does nothing.
 */
const EVERY_BYTES = 4 << 20;

let bytes = 0;

/** Counts bytes that have become garbage outside the heap, and collects them from time to time. */
export function discarded(count: number): void {
  bytes += count;
  if (bytes < EVERY_BYTES) return;
  bytes = 0;
  globalThis.gc?.({ type: 'minor' });
}

const GROWTH_BYTES = 16 << 20;

let live = 0;

/**
 * Collects the heap when it has grown by so much since the last time. V8 itself would let it grow to several times of what lives,
 * since a machine with much memory makes it generous. For the main thread, between pieces of work.
 */
export function collectWhenGrown(growth = GROWTH_BYTES): void {
  if (globalThis.gc === undefined || getHeapStatistics().used_heap_size < live + growth) return;
  globalThis.gc({ type: 'major' });
  live = getHeapStatistics().used_heap_size;
}

/** For threads: a small young generation, since they make little garbage in the heap. */
export const THREAD_LIMITS = { maxYoungGenerationSizeMb: 4 } as const;
