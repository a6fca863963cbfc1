import { describe, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { faulty } from '../storage/faulty.ts';
import type { Storage } from '../storage/storage.ts';
import { folder, streamed } from './fixture/memory-tree.ts';
import { noise, storeTree } from './fixture/store-tree.ts';
import { createRepository, openRepository, proofsOf, type ProofDocument, type Repository, type Snapshot } from './repository.ts';

const password = new Secret('x');
const signal = new AbortController().signal;

const large = noise('large', 3_000_000);
const same = [streamed('one', Buffer.from('one')), streamed('large', large)];
const tree = [folder('a', same), folder('b', same), streamed('empty', Buffer.alloc(0)), streamed('three', Buffer.from('three'))];

async function prove(repository: Repository, snapshot: Snapshot, elsewhere: readonly string[] = []): Promise<Awaited<ReturnType<Awaited<ReturnType<Repository['files']>>['files']['prove']>> & { readonly progress: number }> {
  await using opened = await repository.files(snapshot);
  let progress = 0;
  const proof = await opened.files.prove({ elsewhere: new Set(elsewhere), signal, step: () => undefined, progress: (bytes) => void (progress += bytes) });
  return { ...proof, progress };
}

/** Stored packs, largest first. */
async function packs(storage: Storage): Promise<readonly { readonly id: string; readonly size: number }[]> {
  const found: { id: string; size: number }[] = [];
  for await (const file of storage.list('pack')) found.push(file);
  return found.sort((a, b) => b.size - a.size);
}

describe('the content of a snapshot', () => {
  it('is counted as often as it is there, and read once', async () => {
    const storage = new MemoryStorage();
    const repository = await createRepository(storage, password, systemClock);
    const snapshot = await storeTree(repository, tree);
    const proof = await prove(repository, snapshot);
    expect(proof).toMatchObject({ problems: [], files: 6, folders: 2, others: 0, bytes: 2 * (3 + large.length) + 5 });
    const [data] = await packs(storage);
    expect(proof.storedBytes).toBeLessThan(data?.size ?? 0);
    expect(proof.storedBytes).toBeGreaterThan(large.length);
    expect(proof.progress).toBe(proof.storedBytes);
    expect((await prove(repository, snapshot, ['/a/large', '/b/large'])).storedBytes).toBeLessThan(1000);
  });

  it('that is damaged is named by each file that it belongs to', async () => {
    const storage = faulty(new MemoryStorage());
    const snapshot = await storeTree(await createRepository(storage, password, systemClock), tree);
    const [data] = await packs(storage);
    // The first blob of the large file or one behind it: all others stay readable.
    storage.faults.corrupt(data?.id ?? '', 1_000_000);
    const { problems } = await prove(await openRepository(storage, password, systemClock), snapshot);
    expect(problems.map(({ subject }) => subject).toSorted()).toEqual(['/a/large', '/b/large']);
    expect(problems[0]?.message).toMatch(/^cannot be read: blob [0-9a-f]{10} in pack [0-9a-f]{10} is damaged/);
  });

  it('of which a pack is missing or cut short is named too', async () => {
    for (const harm of ['missing', 'cut'] as const) {
      const storage = new MemoryStorage();
      const snapshot = await storeTree(await createRepository(storage, password, systemClock), tree);
      const [data] = await packs(storage);
      const file = { kind: 'pack', id: data?.id ?? '' } as const;
      const bytes = await storage.load(file);
      if (harm === 'missing') await storage.remove(file);
      else await storage.save(file, bytes.subarray(0, 1_500_000));
      const { problems } = await prove(await openRepository(storage, password, systemClock), snapshot);
      const subjects = problems.map(({ subject }) => subject);
      expect(subjects, harm).toContain('/a/large');
      expect(subjects.includes('/a/one'), harm).toBe(harm === 'missing');
    }
  });

  it('below a folder that cannot be read is said to be lost', async () => {
    const storage = new MemoryStorage();
    const snapshot = await storeTree(await createRepository(storage, password, systemClock), tree);
    for (const { id } of (await packs(storage)).slice(1)) await storage.remove({ kind: 'pack', id });
    const { problems } = await prove(await openRepository(storage, password, systemClock), snapshot);
    expect(problems).toMatchObject([{ subject: '/', kind: 'unreadable', message: expect.stringContaining('and nothing below it') }]);
  });

  it('is not called damaged when the storage fails', async () => {
    const storage = faulty(new MemoryStorage());
    const snapshot = await storeTree(await createRepository(storage, password, systemClock), tree);
    const repository = await openRepository(storage, password, systemClock);
    await using opened = await repository.files(snapshot);
    storage.faults.failOn('load', 2, { kind: 'pack' });
    await expect(opened.files.prove({ elsewhere: new Set(), signal, step: () => undefined, progress: () => undefined })).rejects.toMatchObject({ code: 'storage-failed' });
  });
});

describe('a proof', () => {
  const proof: ProofDocument = {
    snapshot: 'a'.repeat(64), tree: 'b'.repeat(64), time: '2026-11-20T12:00:00Z', program: 'holdfast', hostname: 'h', seconds: 1.5, state: 'proven', files: 2, bytes: 3, counts: { rows: 4 }, problems: [],
  };

  it('is sealed, listed oldest first, and removed by its id', async () => {
    const storage = new MemoryStorage();
    const repository = await createRepository(storage, password, systemClock);
    const id = await repository.saveProof(proof);
    await repository.saveProof({ ...proof, time: '2026-11-19T12:00:00Z', state: 'failed', problems: [{ subject: '/a', message: 'differs' }] });
    expect((await storage.load({ kind: 'proof', id })).includes('proven')).toBe(false);
    expect((await repository.proofs()).proofs.map(({ state }) => state)).toEqual(['failed', 'proven']);
    expect((await repository.proofs()).proofs[1]).toEqual({ ...proof, id });
    await repository.remove('proof', id);
    expect((await repository.proofs()).proofs).toHaveLength(1);
  });

  it('that is damaged proves nothing, and keeps nobody from the others', async () => {
    const storage = faulty(new MemoryStorage());
    const repository = await createRepository(storage, password, systemClock);
    const id = await repository.saveProof(proof);
    await repository.saveProof({ ...proof, seconds: 2 });
    storage.faults.corrupt(id, 40);
    const { proofs, unreadable } = await repository.proofs();
    expect([proofs.length, unreadable]).toEqual([1, [id]]);
  });

  it('holds for a snapshot whose tags were changed, and for no other', () => {
    const proofs = [{ ...proof, id: 'p' }];
    const { snapshot, tree: root } = proof;
    expect(proofsOf(proofs, { id: snapshot, tree: root })).toHaveLength(1);
    expect(proofsOf(proofs, { id: 'c', original: snapshot, tree: root })).toHaveLength(1);
    expect(proofsOf(proofs, { id: 'c', original: snapshot, tree: 'other' })).toHaveLength(0);
    expect(proofsOf(proofs, { id: 'c', tree: root })).toHaveLength(0);
  });
});
