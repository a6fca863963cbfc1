import type { RestoreReport } from '../source.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { RestoreJob } from './restore.ts';

export async function restoreTable(_job: RestoreJob, part: string): Promise<RestoreReport> {
  throw new HoldfastError('failed', `${part} cannot be restored alone yet.`);
}
