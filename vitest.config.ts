import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Every repository of a test starts threads, and each would compile our modules anew: half of the time of those tests.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/compile', import.meta.url));

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
