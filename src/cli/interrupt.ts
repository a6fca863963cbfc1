/** Ctrl-C and friends: the first asks the operation to end and leave everything usable, the second ends at once. */
import { HoldfastError } from '../base/errors.ts';

let controller: AbortController | undefined;

/** A signal that fires when the user or the system wants the program to end. */
export function interruption(): AbortSignal {
  if (controller) return controller.signal;
  const abort = (controller = new AbortController());
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (abort.signal.aborted) process.exit(130);
      abort.abort(new HoldfastError('interrupted', `stopped by ${name}`, { hint: 'What was stored before is kept and will be used by the next run.' }));
    });
  }
  return abort.signal;
}
