import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { Secret } from '../../base/secret.ts';
import { MemoryStorage } from '../../storage/memory.ts';
import type { Entry } from '../entry.ts';
import { folder, streamed } from '../fixture/memory-tree.ts';
import { createRepository, type ArchiveResult, type Repository } from '../repository.ts';


async function archive(repository: Repository, children: readonly Entry[]): Promise<ArchiveResult> {
  return await repository.archive({
    root: folder('', children), parallel: 3, previousTree: undefined, closing: () => Promise.resolve([]), compression: 'off',
    signal: new AbortController().signal, problem: () => undefined, progress: () => undefined,
  });
}

/** 24 MB: noise, zeros, and the noise backwards. */
function content(): Buffer {
  const noise = Array.from({ length: 300_000 }, (_, i) => createHash('sha256').update(String(i)).digest());
  return Buffer.concat([...noise, Buffer.alloc(5_000_000), ...noise.slice(0, 300_000).toReversed()]);
}

it('a stream has the same chunks however it arrives and whatever else is under way', async () => {
  const bytes = content();
  const repository = await createRepository(new MemoryStorage(), new Secret('x'), systemClock);
  const first = await archive(repository, [streamed('first', bytes, 123_457)]);
  expect(first.dataBlobs).toBeGreaterThan(5);
  const again = await archive(repository, [streamed('a', bytes, 65_536), streamed('b', bytes, 999_983), streamed('c', bytes, bytes.length), streamed('d', bytes, 7_777_777)]);
  expect(again.dataBlobs).toBe(0);
  expect(again.totalBytes).toBe(4 * bytes.length);
});
