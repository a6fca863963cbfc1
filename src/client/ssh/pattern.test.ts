import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesList, matchesPattern } from './pattern.ts';

describe('patterns', () => {
  it.each([
    ['nas', 'nas', true], ['nas', 'NAS', false], ['nas.home', '*.home', true], ['home', '*.home', false], ['nas1', 'nas?', true], ['nas', 'nas?', false],
    ['10.0.0.7', '10.0.*', true], ['', '*', true], ['', '', true], ['a', '', false], ['abcabc', '*abc', true], ['aXbXc', 'a*b*c', true], ['aXbX', 'a*b*c', false],
    ['[nas]:2222', '[nas]:2222', true],
  ])('%s against %s: %s', (text, pattern, expected) => {
    expect(matchesPattern(text, pattern)).toBe(expected);
  });

  it('are what the regular expression of the same meaning is', () => {
    const letters = (alphabet: string): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...alphabet.split('')), maxLength: 10 });
    fc.assert(fc.property(letters('ab'), letters('ab*?'), (text, pattern) => {
      const expression = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`);
      expect(matchesPattern(text, pattern)).toBe(expression.test(text));
    }), { numRuns: 2000 });
  });

  it('do not take for ever, whatever they are', () => {
    expect(matchesPattern('a'.repeat(20_000), `${'*a'.repeat(500)}b`)).toBe(false);
  });

  it('in a list: one must match, and none that is negated', () => {
    expect(matchesList('nas.home', ['*.home', '!old.home'])).toBe(true);
    expect(matchesList('old.home', ['*.home', '!old.home'])).toBe(false);
    expect(matchesList('old.home', ['!old.home', '*.home'])).toBe(false);
    expect(matchesList('nas.home', ['!old.home'])).toBe(false);
    expect(matchesList('nas', [])).toBe(false);
  });
});
