import { HoldfastError } from '../../base/errors.ts';

const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

/** What a system error met while writing restored files means: `target-full` or `target-failed`. */
export function targetError(code: string, message: string, cause?: unknown): HoldfastError {
  if (FULL.includes(code)) {
    return new HoldfastError('target-full', `no space left where the restored files are written: ${message}`, {
      hint: 'Free some space or restore to another place with --into.', cause,
    });
  }
  return new HoldfastError('target-failed', `a restored file could not be written: ${message}`, {
    hint: 'Look at the permissions and the disk of that folder, or restore to another place with --into.', cause,
  });
}
