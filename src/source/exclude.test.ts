import { describe, expect, it } from 'vitest';
import { excludes } from './exclude.ts';

describe('what is excluded', () => {
  const excluded = (pattern: string, path: string): boolean => excludes([pattern], '/srv/data')(`/srv/data/${path}`);

  it.each([
    ['*.tmp', 'a/b.tmp', true],
    ['*.tmp', 'a/b.tmp.txt', false],
    ['node_modules', 'x/y/node_modules', true],
    ['cache/*', 'cache/a', true],
    ['cache/*', 'cache/a/b', false],
    ['/cache/**', 'cache/a/b', true],
    ['/cache/**', 'x/cache/a', false],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['(x)+[1]', '(x)+[1]', true],
  ])('%s: %s is %s', (pattern, path, expected) => {
    expect(excluded(pattern, path)).toBe(expected);
  });
});
