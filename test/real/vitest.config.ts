import { defineConfig } from 'vitest/config';

/** Tests on real servers and real file systems. Two files at once: much of the time each of them waits for a server, a lock or a disk. */
export default defineConfig({
  test: {
    include: ['test/real/**/*.test.ts', 'test/fault/**/*.test.ts'],
    globalSetup: ['test/fixture/ceph-run.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 600_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
    bail: 0,
  },
});
