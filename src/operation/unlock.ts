/** `unlock`: removes locks that nobody holds any more, or all. */
import type { PlannedLock, Repository, UnlockReport } from '../repository/repository.ts';

export async function planUnlock(repository: Repository, all: boolean): Promise<readonly PlannedLock[]> {
  return await repository.planUnlock(all);
}

export async function executeUnlock(repository: Repository, plan: readonly PlannedLock[]): Promise<UnlockReport> {
  return await repository.executeUnlock(plan);
}
