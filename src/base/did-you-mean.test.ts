import { describe, expect, it } from 'vitest';
import { didYouMean, didYouMeanText } from './did-you-mean.ts';

describe('didYouMean', () => {
  it('finds the word behind a letter that is missing, doubled, wrong or swapped', () => {
    for (const word of ['drectory', 'dirrectory', 'dorectory', 'idrectory', 'Directory']) {
      expect(didYouMean(word, ['postgres', 'directory', 'tier'])).toBe('directory');
    }
  });

  it('keeps quiet when nothing is near', () => {
    expect(didYouMean('volume', ['postgres', 'directory', 'tier'])).toBeUndefined();
    expect(didYouMeanText('volume', ['postgres'])).toBe('');
    expect(didYouMean('x', [])).toBeUndefined();
  });

  it('says so in a form that follows a sentence', () => {
    expect(didYouMeanText('passwrd', ['path', 'password'])).toBe('; did you mean "password"?');
  });
});
