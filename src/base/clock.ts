/** Where time comes from. Nothing else reads the system's clock, so that tests can stand at any moment. */
export interface Clock {
  now(): Date;
  /** Milliseconds that only ever grow; for measuring how long something took. */
  elapsedMs(): number;
}

export const systemClock: Clock = {
  now: () => new Date(),
  elapsedMs: () => performance.now(),
};

/** Waits; ends early with a rejection when the signal fires. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  const { setTimeout } = await import('node:timers/promises');
  await setTimeout(ms, undefined, signal === undefined ? undefined : { signal });
}
