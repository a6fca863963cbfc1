/** What every source must do, with the real repository between: the one conformance suite. */
import { describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import type { Problem } from '../repository/entry.ts';
import { createRepository, type Repository, type Snapshot } from '../repository/repository.ts';
import { MemoryStorage } from '../storage/memory.ts';
import type { Source, StoreManifest } from './source.ts';

/** A store that a test may fill, change and destroy. */
export interface TestStore extends AsyncDisposable {
  readonly source: Source;
  /** Another place to restore to, as `--into` takes it. */
  readonly elsewhere: string;
  change(): Promise<void>;
  destroy(): Promise<void>;
  /** All that must come back, as text. */
  content(place?: string): Promise<string>;
}

export interface Backed {
  readonly repository: Repository;
  readonly snapshot: Snapshot;
  readonly manifest: StoreManifest;
  readonly problems: readonly Problem[];
}

const signal = new AbortController().signal;

/** Backs a source up into a repository in memory. */
export async function backUp(source: Source, repository?: Repository): Promise<Backed> {
  const into = repository ?? (await createRepository(new MemoryStorage(), new Secret('test'), systemClock));
  const problems: Problem[] = [];
  const problem = (found: Problem): void => {
    problems.push(found);
  };
  await using capture = await source.capture({ store: 'store', startedAt: new Date(1_700_000_000_000), signal, problem, step: () => undefined });
  const previous = (await into.snapshots()).at(-1);
  const archived = await into.archive({
    root: capture.root, parallel: capture.parallel, previousTree: previous?.tree, closing: () => Promise.resolve([]), compression: 'auto', signal, problem, progress: () => undefined,
  });
  const manifest = await capture.manifest();
  const id = await into.saveSnapshot({
    at: new Date(1_700_000_000_000), parent: undefined, tree: archived.tree, paths: [...capture.paths], hostname: 'h', username: 'u', uid: 0, gid: 0, tags: [], program: 'test', archived,
  });
  const snapshot = (await into.snapshots()).find((candidate) => candidate.id === id);
  if (!snapshot) throw new Error('the snapshot is not listed');
  return { repository: into, snapshot, manifest, problems };
}

/** Runs the suite; `open` makes a store with something in it. */
export function sourceSuite(name: string, open: () => Promise<TestStore>): void {
  const request = { signal, step: () => undefined, progress: () => undefined };

  describe(`the source ${name}`, () => {
    it('brings everything back after it was destroyed, and proves it', async () => {
      await using store = await open();
      await store.source.check();
      const before = await store.content();
      const { repository, snapshot, manifest, problems } = await backUp(store.source);
      expect(problems).toEqual([]);
      await store.destroy();
      await using opened = await repository.files(snapshot);
      const report = await store.source.restore(opened.files, manifest, request);
      expect(report.kept).toBeUndefined();
      expect(report.proof.length).toBeGreaterThan(0);
      expect(report.proof.filter(({ equal }) => !equal)).toEqual([]);
      expect(await store.content()).toBe(before);
    });

    it('keeps what stands there when it restores over it', async () => {
      await using store = await open();
      const before = await store.content();
      const { repository, snapshot, manifest } = await backUp(store.source);
      await store.change();
      expect(await store.content()).not.toBe(before);
      await using opened = await repository.files(snapshot);
      const report = await store.source.restore(opened.files, manifest, request);
      expect(report.kept).toBeDefined();
      expect(await store.content()).toBe(before);
    });

    it('restores elsewhere, but never onto something', async () => {
      await using store = await open();
      const before = await store.content();
      const { repository, snapshot, manifest } = await backUp(store.source);
      await using opened = await repository.files(snapshot);
      await store.source.restore(opened.files, manifest, { ...request, into: store.elsewhere });
      expect(await store.content(store.elsewhere)).toBe(before);
      await expect(store.source.restore(opened.files, manifest, { ...request, into: store.elsewhere })).rejects.toMatchObject({ code: 'target-exists' });
    });

    it('tells a changed store from one that is as it was', async () => {
      await using store = await open();
      const { repository, snapshot, manifest } = await backUp(store.source);
      await using opened = await repository.files(snapshot);
      expect((await store.source.compare(manifest, opened.files)).filter(({ equal }) => !equal)).toEqual([]);
      await store.change();
      expect((await store.source.compare(manifest, opened.files)).filter(({ equal }) => !equal)).not.toEqual([]);
    });
  });
}
