import { describe, expect, it } from 'vitest';
import { fromText } from '../base/raw-name.ts';
import { matcher } from './find.ts';

const matches = (pattern: string, path: string, ignoreCase = false): boolean => matcher([pattern], ignoreCase)(fromText(path), fromText(path.slice(path.lastIndexOf('/') + 1)));

describe('a pattern', () => {
  it.each([
    ['*.jpg', '/a/b/c.jpg', true], ['*.jpg', '/a/c.jpg/d', false], ['b', '/a/b', true], ['b', '/b/a', false], ['gr?ße', '/a/größe', true],
    ['b/*.jpg', '/a/b/c.jpg', true], ['b/*.jpg', '/a/bb/c.jpg', false], ['b/*.jpg', '/b/x/c.jpg', false], ['b/**.jpg', '/b/x/c.jpg', true],
    ['/a/*', '/a/b', true], ['/a/*', '/x/a/b', false], ['/a/**/d', '/a/d', true], ['/a/**/d', '/a/b/c/d', true], ['**/d', '/a/d', true], ['/a/', '/a', true],
    ['[a-c]x', '/bx', true], ['[!a-c]x', '/bx', false], ['[!a-c]x', '/zx', true], ['[^a]x', '/bx', true], ['[[]x', '/[x', true], ['[]', '/[]', true],
    ['a.b', '/aXb', false], ['(a)+{1}$^|\\', '/(a)+{1}$^|\\', true], ['*', '/line\nbreak', true],
  ])('%s and %s: %s', (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected);
  });

  it('can be deaf to case', () => {
    expect([matches('*.JPG', '/a.jpg'), matches('*.JPG', '/a.jpg', true), matches('ÄRGER', '/ärger', true)]).toEqual([false, true, true]);
  });

  it('that means nothing is refused', () => {
    expect(() => matcher(['[z-a]'], false)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
