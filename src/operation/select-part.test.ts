import { expect, test } from 'vitest';
import { holds } from './select-part.ts';

test.each([
  [undefined, { tables: ['public.a'] }, true],
  [{ only: 'schema' }, { only: 'schema' }, true],
  [{ only: 'schema' }, { tables: ['public.a'] }, false],
  [{ only: 'data' }, { only: 'data', tables: ['public.a'] }, true],
  [{ only: 'data' }, { tables: ['public.a'] }, false],
  [{ tables: ['public.*'] }, { tables: ['public.a', 'public.b*'] }, true],
  [{ tables: ['public.a'] }, { tables: ['public.a', 'public.b'] }, false],
  [{ tables: ['public.a'] }, { only: 'data' }, false],
  [{ tables: ['public.a'] }, { only: 'schema' }, false],
] as const)('a snapshot of %o answers the wish %o: %s', (part, wish, answer) => {
  expect(holds({ part }, wish)).toBe(answer);
});
