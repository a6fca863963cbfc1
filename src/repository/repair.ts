/** What a damaged repository can do for itself: one object, so that the repository's face stays small. Plans need a lock, doing an exclusive one. */
import type { Clock } from '../base/clock.ts';
import type { Core } from './core.ts';
import { executeRepairIndex, planRepairIndex, type RepairIndexPlan } from './repair-index.ts';
import { executeRepairPacks, planRepairPacks, type DamagedPack, type RepairPacksReport } from './repair-packs.ts';
import { executeRepairSnapshots, planRepairSnapshots, type RepairSnapshotsPlan, type RepairSnapshotsReport } from './repair-snapshots.ts';

export type { RepairIndexPlan } from './repair-index.ts';
export type { DamagedPack, RepairPacksReport } from './repair-packs.ts';
export type { BrokenSnapshot, RepairSnapshotsPlan, RepairSnapshotsReport } from './repair-snapshots.ts';

export interface RepairWork {
  readonly signal: AbortSignal;
  step(sentence: string): void;
  /** Bytes read since the last call. */
  progress(bytes: number): void;
}

export class Repair {
  readonly #core: Core;
  readonly #clock: Clock;
  readonly #work: RepairWork;

  constructor(core: Core, clock: Clock, work: RepairWork) {
    this.#core = core;
    this.#clock = clock;
    this.#work = work;
  }

  async planIndex(all: boolean): Promise<RepairIndexPlan> {
    return (await planRepairIndex(this.#core, { ...this.#work, all })).plan;
  }

  /** Answers, beside what was done, the old index files that an object lock keeps. */
  async index(all: boolean): Promise<{ readonly plan: RepairIndexPlan; readonly kept: readonly string[] }> {
    const planned = await planRepairIndex(this.#core, { ...this.#work, all });
    return { plan: planned.plan, ...(await executeRepairIndex(this.#core, planned, all)) };
  }

  async planPacks(ids: readonly string[]): Promise<readonly DamagedPack[]> {
    return (await planRepairPacks(this.#core, ids, { ...this.#work, clock: this.#clock })).packs;
  }

  async packs(ids: readonly string[]): Promise<{ readonly packs: readonly DamagedPack[]; readonly report: RepairPacksReport }> {
    const options = { ...this.#work, clock: this.#clock };
    const planned = await planRepairPacks(this.#core, ids, options);
    return { packs: planned.packs, report: await executeRepairPacks(this.#core, planned, options) };
  }

  async planSnapshots(ids: ReadonlySet<string> | undefined): Promise<RepairSnapshotsPlan> {
    return (await planRepairSnapshots(this.#core, { ...this.#work, ids })).plan;
  }

  async snapshots(ids: ReadonlySet<string> | undefined, forget: boolean): Promise<{ readonly plan: RepairSnapshotsPlan; readonly report: RepairSnapshotsReport }> {
    const planned = await planRepairSnapshots(this.#core, { ...this.#work, ids });
    return { plan: planned.plan, report: await executeRepairSnapshots(this.#core, planned, forget, this.#clock, this.#work.signal) };
  }
}
