import type { Clock } from '../base/clock.ts';
import type { Listener } from './event.ts';

/** What every operation gets besides its own options. */
export interface Context {
  readonly clock: Clock;
  /** Fires when the user or a signal wants the operation to end. */
  readonly signal: AbortSignal;
  readonly emit: Listener;
}
