import { describe, expect, it } from 'vitest';
import { faulty, fromCall, onCall, type Fault } from './faulty.ts';
import { MemoryStorage } from './memory.ts';
import type { Storage } from './storage.ts';

const pack = { kind: 'pack', id: 'ab'.repeat(32) } as const;
const other = { kind: 'pack', id: 'cd'.repeat(32) } as const;
const BYTES = Buffer.from('0123456789');

async function listed(storage: Storage): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { id } of storage.list('pack')) ids.push(id);
  return ids;
}

async function filled(): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await storage.save(pack, BYTES);
  await storage.save(other, BYTES);
  return storage;
}

describe('a faulty storage', () => {
  it('fails one call, or every call from one on, and keeps a log', async () => {
    const storage = faulty(await filled(), onCall(2, { kind: 'fail' }));
    expect(await storage.size(pack)).toBe(10);
    await expect(storage.size(pack)).rejects.toMatchObject({ code: 'storage-failed' });
    expect(await storage.size(pack)).toBe(10);
    storage.faults.choose(fromCall(4, { kind: 'fail' }));
    for (let i = 0; i < 3; i++) await expect(storage.remove(pack)).rejects.toThrow('remove');
    expect(storage.faults.calls.map(({ n, fault }) => `${n} ${fault ?? ''}`)).toEqual(['1 ', '2 fail', '3 ', '4 fail', '5 fail', '6 fail']);
    expect([storage.faults.count('size', 'pack'), storage.faults.count('remove'), storage.faults.count('save')]).toEqual([3, 3, 0]);
  });

  it('loses the answer to what was done', async () => {
    const memory = new MemoryStorage();
    const storage = faulty(memory, onCall(1, { kind: 'fail', after: true }));
    await expect(storage.save(pack, BYTES)).rejects.toThrow();
    expect(await memory.size(pack)).toBe(10);
  });

  it('answers short, flipped or cut listings as if all were well', async () => {
    const storage = faulty(await filled());
    const withFault = (fault: Fault): void => storage.faults.choose(() => fault);
    withFault({ kind: 'short', bytes: 3 });
    expect((await storage.load(pack)).toString()).toBe('0123456');
    expect(await listed(storage)).toEqual([pack.id]);
    withFault({ kind: 'flip', bit: 81 });
    expect((await storage.load(pack)).toString()).toBe('2123456789');
    await storage.save(pack, BYTES);
    storage.faults.choose(undefined);
    expect((await storage.load(pack)).toString()).toBe('2123456789');
  });

  it('stalls until the signal fires, or until it dies', async () => {
    const storage = faulty(await filled(), (call) => (call === 'load' ? { kind: 'stall' } : undefined));
    const abort = new AbortController();
    const [first, second] = [storage.load(pack, undefined, { signal: abort.signal }), storage.load(pack)];
    abort.abort(new Error('given up'));
    await expect(first).rejects.toThrow('given up');
    storage.faults.die();
    await expect(second).rejects.toMatchObject({ code: 'interrupted' });
  });

  it.each([['before', undefined], ['after', 10]] as const)('dies %s a save, and nothing reaches it any more', async (when, size) => {
    const memory = new MemoryStorage();
    const storage = faulty(memory, onCall(1, { kind: 'die', when }));
    const gone = { code: 'interrupted' };
    await expect(storage.save(pack, BYTES)).rejects.toMatchObject(gone);
    expect(await memory.size(pack)).toBe(size);
    await expect(storage.save(other, BYTES)).rejects.toMatchObject(gone);
    await expect(listed(storage)).rejects.toMatchObject(gone);
    await expect(storage.remove(pack)).rejects.toMatchObject(gone);
    expect([storage.faults.dead, await memory.size(other), await memory.size(pack)]).toEqual([true, undefined, size]);
  });

  it('dies in the middle of a listing', async () => {
    const storage = faulty(await filled(), onCall(1, { kind: 'die', when: 'halfway' }));
    const seen: string[] = [];
    await expect(async () => {
      for await (const { id } of storage.list('pack')) seen.push(id);
    }).rejects.toMatchObject({ code: 'interrupted' });
    expect(seen).toEqual([pack.id]);
  });

  it('is full for saves only', async () => {
    const storage = faulty(await filled(), () => ({ kind: 'full' }));
    await expect(storage.save(pack, BYTES)).rejects.toMatchObject({ code: 'storage-full' });
    await storage.remove(pack);
    expect(await listed(storage)).toEqual([other.id]);
  });
});
