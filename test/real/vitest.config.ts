import { defineConfig } from 'vitest/config';

/** Tests on real servers and real file systems. One file after the other: they measure, and they share two cores. */
export default defineConfig({
  test: {
    include: ['test/real/**/*.test.ts', 'test/fault/**/*.test.ts'],
    globalSetup: ['test/fixture/ceph-run.ts'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
    bail: 0,
  },
});
