import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PASSWORD } from '../../src/repository/fixture/filled.ts';
import type { StoredFile } from '../../src/storage/storage.ts';
import { LocalStorage } from '../../src/storage/local.ts';
import { exchanges, flips, judgeDamage, lengths, nameOf, smallRepository, type Damage, type SmallRepository } from '../fault/corruption.ts';
import { runAnyway } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

const RESTIC_MS = 6000;

/** Of every file a few of each kind of damage, and every exchange. */
function sample(repository: SmallRepository): readonly (readonly Damage[])[] {
  const some = (damages: Iterable<Damage>, each: number): readonly (readonly Damage[])[] => {
    const of = new Map<StoredFile, Damage[]>();
    for (const damage of damages) of.set(damage.file, [...(of.get(damage.file) ?? []), damage]);
    return [...of.values()].flatMap((list) => list.filter((_, i) => i % Math.ceil(list.length / each) === 0).map((damage) => [damage]));
  };
  const removals = repository.files.map((file): readonly Damage[] => [{ file, what: 'removed', bytes: undefined }]);
  return [...some(flips(repository, 13), 2), ...some(lengths(repository, 41), 1), ...[...exchanges(repository)].filter((_, i) => i % 3 === 0), ...removals];
}

describe('what is damaged', () => {
  it('is found by Holdfast wherever restic finds it, and both call the whole repository sound', async () => {
    await using place = await scratch('corruption');
    const repository = await smallRepository();
    const local = new LocalStorage(place.path('repository'));
    await local.prepare();
    const write = async (file: StoredFile, bytes: Buffer | undefined): Promise<void> => {
      await local.remove(file);
      if (bytes === undefined) return;
      await mkdir(dirname(local.localPath(file)), { recursive: true });
      await writeFile(local.localPath(file), bytes);
      await chmod(local.localPath(file), 0o600);
    };
    await writeFile(place.path('password'), PASSWORD.reveal());
    const restic = async (): Promise<boolean> =>
      // It tries for a quarter of an hour to read what is missing; to be still at it is an answer, too.
      (await runAnyway('restic', ['--repo', join(place.folder, 'repository'), '--password-file', place.path('password'), '--no-cache', '--no-lock', 'check', '--read-data'], { signal: AbortSignal.timeout(RESTIC_MS) }).catch(() => undefined))?.code === 0;
    for (const file of repository.files) await write(file, file.bytes);
    expect(await restic()).toBe(true);
    const unseen: string[] = [];
    for (const damages of sample(repository)) {
      for (const { file, bytes } of damages) await write(file, bytes);
      const sound = await restic();
      const { found, wrong } = await judgeDamage(repository, damages);
      for (const { file } of damages) await write(file, repository.files.find(({ kind, id }) => kind === file.kind && id === file.id)?.bytes);
      expect({ damage: nameOf(damages), wrong }).toEqual({ damage: nameOf(damages), wrong: [] });
      if (!sound) expect({ damage: nameOf(damages), found: found.length > 0 }).toEqual({ damage: nameOf(damages), found: true });
      else if (found.length > 0) unseen.push(nameOf(damages));
    }
    // restic does not compare key files with their names: what it can still parse it takes.
    expect(unseen.filter((name) => !name.startsWith('key '))).toEqual([]);
    expect(await restic()).toBe(true);
  });
});
