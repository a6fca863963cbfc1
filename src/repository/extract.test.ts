import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { localAccounts } from '../base/accounts.ts';
import { systemClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { MemoryStorage } from '../storage/memory.ts';
import { folder, streamed } from './fixture/memory-tree.ts';
import { createRepository } from './repository.ts';

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-extract-'));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

it('a file goes to the account of its owner’s name when that is asked for, and the proof knows it', async () => {
  const me = os.userInfo();
  const name = localAccounts().userName(me.uid) ?? me.username;
  const entry = streamed('file', Buffer.from('content'));
  // Recorded on a host where this name had another number.
  const elsewhere = { ...entry, metadata: { ...entry.metadata, user: name, uid: 54321, gid: me.gid } };
  const repository = await createRepository(new MemoryStorage(), new Secret('x'), systemClock);
  const signal = new AbortController().signal;
  const archived = await repository.archive({
    root: folder('', [elsewhere]), parallel: 1, previousTree: undefined, closing: () => Promise.resolve([]), compression: 'auto', signal, problem: () => undefined, progress: () => undefined,
  });
  const at = new Date(1_700_000_000_000);
  await repository.saveSnapshot({ at, parent: undefined, tree: archived.tree, paths: ['/file'], hostname: 'h', username: 'u', uid: 0, gid: 0, tags: [], program: 'test', archived });
  const [snapshot] = await repository.snapshots();
  if (!snapshot) return expect.unreachable();
  await using opened = await repository.files(snapshot);
  const report = await opened.files.extract('/file', path.join(scratch, 'file'), { ownershipByName: true, signal, progress: () => undefined });
  expect(report.problems).toEqual([]);
  expect(fs.statSync(path.join(scratch, 'file')).uid).toBe(me.uid);
});
