import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openStorage } from './open.ts';
import { storageSuite } from './suite.ts';

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-open-'));
afterAll(async () => await fs.rm(scratch, { recursive: true, force: true }));

let next = 0;
const place = (): { readonly kind: 'local'; readonly path: string } => ({ kind: 'local', path: path.join(scratch, String(next++)) });

storageSuite('a local one, opened', async () => {
  const storage = await openStorage(place());
  await storage.prepare?.();
  return storage;
}, { bulky: false });

describe('an opened local storage', () => {
  it('lets threads read its files, unless a limit would be passed by', async () => {
    const here = place();
    const pack = { kind: 'pack', id: 'ab'.repeat(32) } as const;
    expect((await openStorage(here)).localPath?.(pack)).toBe(path.join(here.path, 'data/ab', pack.id));
    expect((await openStorage(here, { limit: {} })).localPath).toBeDefined();
    expect((await openStorage(here, { limit: { down: 1000 } })).localPath).toBeUndefined();
  });

  it('is called what people call it, whatever care it is given', async () => {
    const here = place();
    const storage = await openStorage(here, { limit: { up: 1000, requests: 1 }, cacheFolder: path.join(scratch, 'cache') });
    expect(storage.location).toBe(here.path);
    expect(storage.holds).toBeDefined();
  });
});
