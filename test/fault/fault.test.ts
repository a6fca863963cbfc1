import { describe, expect, it } from 'vitest';
import { campaign, describeFailure, NAMES } from './campaign.ts';

/** Another sweep: `HOLDFAST_FAULT_SEED=7 HOLDFAST_FAULT_COUNT=50 npm run test:real -- fault`; longer ones with `npm run fault`. */
const seed = Number(process.env['HOLDFAST_FAULT_SEED'] ?? 1);
const count = Number(process.env['HOLDFAST_FAULT_COUNT'] ?? 12);

describe(`the fault campaign with seed ${seed}`, () => {
  it.each(NAMES)('%s survives whatever goes wrong at a storage call, and loses nothing', async (name) => {
    const report = await campaign({ seed, operations: [name], count: name === 'interleave' ? Math.ceil(count / 4) : count });
    expect(report.failures.map(describeFailure)).toEqual([]);
    expect(report.scenarios).toBeGreaterThan(0);
  });
});
