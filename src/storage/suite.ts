/** What every storage must do: the one conformance suite, run by each adapter's test on a real place of its own. */
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FileKind, Storage, StoredFile } from './storage.ts';

const KINDS: readonly FileKind[] = ['key', 'snapshot', 'index', 'lock', 'pack'];

function file(kind: FileKind, bytes: Uint8Array): StoredFile {
  return { kind, id: kind === 'config' ? '' : createHash('sha256').update(bytes).digest('hex') };
}

async function names(storage: Storage, kind: FileKind): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { id } of storage.list(kind)) found.push(id);
  return found.sort();
}

/** Runs the suite; `open` answers an empty, prepared storage. */
export function storageSuite(name: string, open: () => Promise<Storage>): void {
  describe(`the storage ${name}`, () => {
    it.each([...KINDS, 'config' as const])('gives a %s back as it was saved', async (kind) => {
      const storage = await open();
      const bytes = randomBytes(1000);
      await storage.save(file(kind, bytes), bytes);
      expect((await storage.load(file(kind, bytes))).equals(bytes)).toBe(true);
      expect(await storage.size(file(kind, bytes))).toBe(1000);
      expect(await names(storage, kind)).toEqual([file(kind, bytes).id]);
    });

    it('gives ranges, and refuses one that goes beyond the end', async () => {
      const storage = await open();
      const bytes = randomBytes(1000);
      const pack = file('pack', bytes);
      await storage.save(pack, bytes);
      expect((await storage.load(pack, { offset: 100, length: 50 })).equals(bytes.subarray(100, 150))).toBe(true);
      expect((await storage.load(pack, { offset: 990, length: 10 })).equals(bytes.subarray(990))).toBe(true);
      await expect(storage.load(pack, { offset: 990, length: 11 })).rejects.toMatchObject({ code: 'repository-damaged' });
    });

    it('says that a file is missing, and does not mind removing it', async () => {
      const storage = await open();
      const absent = file('snapshot', Buffer.from('absent'));
      await expect(storage.load(absent)).rejects.toMatchObject({ code: 'file-missing' });
      expect(await storage.size(absent)).toBeUndefined();
      await storage.remove(absent);
    });

    it('removes what it has, and nothing else', async () => {
      const storage = await open();
      const [one, two] = [randomBytes(10), randomBytes(10)];
      await storage.save(file('index', one), one);
      await storage.save(file('index', two), two);
      await storage.remove(file('index', one));
      expect(await names(storage, 'index')).toEqual([file('index', two).id]);
    });

    it('keeps kinds apart and takes the same file twice', async () => {
      const storage = await open();
      const bytes = randomBytes(10);
      await storage.save(file('key', bytes), bytes);
      await storage.save(file('key', bytes), bytes);
      expect(await names(storage, 'key')).toHaveLength(1);
      expect(await names(storage, 'lock')).toEqual([]);
    });

    it('lists many files and large ones', async () => {
      const storage = await open();
      const packs = Array.from({ length: 40 }, (_, i) => randomBytes(i === 0 ? 5_000_000 : 20));
      await Promise.all(packs.map(async (bytes) => await storage.save(file('pack', bytes), bytes)));
      expect(await names(storage, 'pack')).toEqual(packs.map((bytes) => file('pack', bytes).id).sort());
      const [large = Buffer.alloc(0)] = packs;
      expect((await storage.load(file('pack', large))).equals(large)).toBe(true);
    });

    it('refuses names that would lead elsewhere', async () => {
      const storage = await open();
      await expect(async () => await storage.save({ kind: 'pack', id: '../../etc/passwd' }, Buffer.alloc(1))).rejects.toThrow();
    });
  });
}
