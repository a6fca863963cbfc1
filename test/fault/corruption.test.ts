import { describe, expect, it } from 'vitest';
import { exchanges, flips, judgeDamage, lengths, nameOf, smallRepository, type Damage, type SmallRepository } from './corruption.ts';

const repository = await smallRepository();

/** Damages that check has not found, and what was given out wrong; both must be empty. */
async function sweep(damages: Iterable<Damage | readonly Damage[]>, of: SmallRepository = repository): Promise<{ count: number; unfound: readonly string[]; wrong: readonly string[] }> {
  const [unfound, wrong]: [string[], string[]] = [[], []];
  let count = 0;
  for (const damage of damages) {
    const list = 'what' in damage ? [damage] : damage;
    const verdict = await judgeDamage(of, list);
    count++;
    if (verdict.found.length === 0) unfound.push(nameOf(list));
    wrong.push(...verdict.wrong.map((sentence) => `${nameOf(list)}: ${sentence}`));
  }
  return { count, unfound, wrong };
}

describe('a small repository of which every byte counts', () => {
  it('is whole to begin with, and everything in it can be read', async () => {
    expect(await judgeDamage(repository, [], true)).toEqual({ found: [], wrong: [] });
    expect([...repository.content.values()].filter((value) => value.startsWith('error'))).toEqual([]);
    expect(new Set(repository.files.map(({ kind }) => kind))).toEqual(new Set(['config', 'key', 'snapshot', 'index', 'pack']));
  });

  // No byte is harmless: the name of every file is the hash of all of it, and the config is sealed as a whole.
  it('any changed byte of any file is found, and nothing wrong is given out', async () => {
    const result = await sweep(flips(repository, 1));
    expect({ unfound: result.unfound, wrong: result.wrong }).toEqual({ unfound: [], wrong: [] });
    expect(result.count).toBeGreaterThan(3500);
  });

  it('any file that is cut at any length, or has bytes more, is found, and nothing wrong is given out', async () => {
    expect(await sweep(lengths(repository, 1))).toMatchObject({ unfound: [], wrong: [] });
  });

  it('any file in the place of another of its kind is found, and nothing wrong is given out', async () => {
    expect(await sweep(exchanges(repository))).toMatchObject({ unfound: [], wrong: [] });
  });

  // Who can remove a whole snapshot or a key cannot be found out from what is left: the format has no list of them (restic design.rst, "Threat Model").
  it('any file that is missing is found, but for a snapshot or one of several keys; nothing wrong is given out', async () => {
    for (const file of repository.files) {
      const { found, wrong } = await judgeDamage(repository, [{ file, what: 'removed', bytes: undefined }]);
      expect(wrong).toEqual([]);
      const own = file.kind === 'key' && found.some((sentence) => sentence.startsWith('wrong-password'));
      if (own) continue;
      expect(found.length > 0, `${file.kind} removed`).toBe(!['snapshot', 'key'].includes(file.kind));
    }
  });

  it('the threads of check find what they should in every part of every pack', async () => {
    for (const file of repository.files.filter(({ kind }) => kind === 'pack')) {
      for (let at = 0; at < file.bytes.length; at += Math.ceil(file.bytes.length / 5)) {
        const bytes = Buffer.from(file.bytes);
        bytes[at] = (bytes[at] ?? 0) ^ 0x40;
        const { found, wrong } = await judgeDamage(repository, [{ file, what: `byte ${at}`, bytes }], true);
        expect(found.join()).toContain(`pack ${file.id}`);
        expect(wrong).toEqual([]);
      }
    }
  });
});
