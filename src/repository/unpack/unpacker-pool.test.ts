import { expect, it } from 'vitest';
import { randomBytes } from 'node:crypto';
import type { Core } from '../core.ts';
import { SealedTree } from '../fixture/sealed-tree.ts';
import { UnpackerPool } from './unpacker-pool.ts';

it('a thread that dies fails what it had, and what comes later is not left waiting for it', async () => {
  const { core } = await SealedTree.open();
  // With a key of three bytes a thread ends as soon as it has started.
  const broken: Core = { ...core, key: { ...core.key, macK: randomBytes(3) } };
  await using pool = new UnpackerPool(broken);
  const jobs = Array.from({ length: 6 }, () => pool.run(() => Promise.resolve({ kind: 'finish', files: [] })));
  for (const outcome of await Promise.allSettled(jobs)) expect(outcome.status).toBe('rejected');
  await expect(pool.run(() => Promise.resolve({ kind: 'finish', files: [] }))).rejects.toThrow(/key/i);
});
