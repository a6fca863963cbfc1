import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { putInPlace, writeDurably } from './file.ts';

const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'holdfast-file-'));
afterAll(async () => await fs.rm(scratch, { recursive: true, force: true }));

it('a file is written whole, with the mode that was asked for, and nothing is left beside it', async () => {
  const file = path.join(scratch, 'whole');
  await writeDurably(file, Buffer.from('content'), { mode: 0o640, finalMode: 0o400 });
  expect(await fs.readFile(file, 'utf8')).toBe('content');
  expect((await fs.stat(file)).mode & 0o777).toBe(0o400);
  expect(await fs.readdir(scratch)).toEqual(['whole']);
});

it('a write that fails leaves nothing', async () => {
  const folder = path.join(scratch, 'folder');
  await fs.mkdir(path.join(folder, 'in-the-way', 'full'), { recursive: true });
  await expect(writeDurably(path.join(folder, 'in-the-way'), Buffer.from('x'))).rejects.toThrow();
  expect(await fs.readdir(folder)).toEqual(['in-the-way']);
});

it('what is put in place keeps what stood there', async () => {
  const [built, place, kept] = ['built', 'place', 'kept'].map((name) => path.join(scratch, name)) as [string, string, string];
  await fs.writeFile(built, 'new');
  await fs.writeFile(place, 'old');
  expect(await putInPlace(built, place, kept)).toBe(true);
  expect([await fs.readFile(place, 'utf8'), await fs.readFile(kept, 'utf8')]).toEqual(['new', 'old']);
  await fs.rename(place, built);
  expect(await putInPlace(built, place, path.join(scratch, 'other'))).toBe(false);
});
