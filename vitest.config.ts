import { defineConfig } from 'vitest/config';

/** The fast tests: no privileges, no network, no server but the embedded one. They run on every `npm test`. */
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/fast/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
  },
});
