import { defineConfig } from 'vitest/config';

/** `npm run check:rules`: the rules of the house, checked over the whole tree. */
export default defineConfig({
  test: { include: ['build/rules/**/*.test.ts'], pool: 'forks', maxWorkers: 1, testTimeout: 60_000 },
});
