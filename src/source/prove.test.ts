import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { openDirectory } from './directory.ts';
import { filesRead, proveContent, type SeenContent } from './prove.ts';
import type { StoreManifest } from './source.ts';
import { backUp } from './suite.ts';

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-prove-'));
afterAll(async () => await fs.rm(scratch, { recursive: true, force: true }));
await fs.mkdir(path.join(scratch, 'store/deep'), { recursive: true });
await fs.writeFile(path.join(scratch, 'store/one'), 'one');
await fs.writeFile(path.join(scratch, 'store/deep/two'), 'two two');
await fs.link(path.join(scratch, 'store/one'), path.join(scratch, 'store/linked'));
await fs.symlink('nowhere', path.join(scratch, 'store/link'));

const request = { signal: new AbortController().signal, step: () => undefined, progress: () => undefined };
const { repository, snapshot, manifest } = await backUp(openDirectory({ path: path.join(scratch, 'store'), exclude: [], clock: systemClock }));
const opened = await repository.files(snapshot);
afterAll(async () => await opened[Symbol.asyncDispose]());
const seen = await opened.files.prove({ ...request, elsewhere: new Set(filesRead(manifest)) });

async function differs(changedManifest: Partial<StoreManifest>, changed: Partial<SeenContent>): Promise<string> {
  const lines = await proveContent({ ...manifest, ...changedManifest }, { ...seen, ...changed }, opened.files, request);
  return lines.filter(({ equal }) => !equal).map(({ detail }) => detail).join();
}

it('a tree has as many files, folders, links and bytes as were counted when it was read', async () => {
  expect(seen).toMatchObject({ files: 3, others: 1, bytes: 13, problems: [] });
  expect(await differs({}, {})).toBe('');
  expect(await differs({}, { files: seen.files - 1, bytes: 6 })).toBe('2 files instead of 3, 6 bytes instead of 13');
  expect(await differs({}, { files: seen.files + 1 })).toBe('4 files instead of 3');
  expect(await differs({}, { others: 0 })).toBe('0 others instead of 1');
});

it('what vanished under the backup may be missing, and no more than that', async () => {
  const problems: StoreManifest['problems'] = [{ subject: '/a', kind: 'vanished', message: 'was gone before it could be read' }];
  expect(await differs({ problems }, { files: seen.files - 1, bytes: 6 })).toBe('');
  expect(await differs({ problems }, { files: seen.files - 2 })).toBe('1 files instead of 3');
  expect(await differs({ problems }, { files: seen.files + 1 })).toBe('4 files instead of 3');
});

it('a database whose manifest is none cannot be proven', async () => {
  const wrong = { ...manifest, kind: 'postgres' };
  expect(() => filesRead(wrong)).toThrow(expect.objectContaining({ code: 'restore-unproven' }));
  await expect(proveContent(wrong, seen, opened.files, request)).rejects.toMatchObject({ code: 'restore-unproven' });
});
