import { expect, it } from 'vitest';
import { exchanges, flips, judgeDamage, lengths, nameOf, smallRepository } from '../fault/corruption.ts';

// A sample; test/fault/corruption.test.ts does every byte.
it('changed, cut and exchanged files of a repository are found by check, and nothing wrong is given out', async () => {
  const repository = await smallRepository();
  for (const damage of [...flips(repository, 47), ...lengths(repository, 149), ...exchanges(repository)]) {
    const list = 'what' in damage ? [damage] : damage;
    const { found, wrong } = await judgeDamage(repository, list);
    expect({ damage: nameOf(list), found: found.length > 0, wrong }).toEqual({ damage: nameOf(list), found: true, wrong: [] });
  }
});
