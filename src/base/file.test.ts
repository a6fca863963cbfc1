import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { putInPlace, type Patch, writeDurably, writePiecesDurably } from './file.ts';

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

it('a stream is written whole or not at all, and its hash is told', async () => {
  const folder = path.join(scratch, 'pieces');
  await fs.mkdir(folder);
  async function* pieces(fail: boolean): AsyncGenerator<Uint8Array> {
    yield Buffer.from('one ');
    if (fail) throw new Error('no more');
    yield Buffer.from('two');
  }
  await expect(writePiecesDurably(path.join(folder, 'a'), pieces(true))).rejects.toThrow('no more');
  expect(await fs.readdir(folder)).toEqual([]);
  const sha256 = createHash('sha256').update('one two').digest('hex');
  expect(await writePiecesDurably(path.join(folder, 'a'), pieces(false), { onlyNew: true })).toEqual({ bytes: 7, sha256 });
  await expect(writePiecesDurably(path.join(folder, 'a'), pieces(false), { onlyNew: true })).rejects.toThrow('EEXIST');
  expect(await fs.readdir(folder)).toEqual(['a']);
  async function* patched(): AsyncGenerator<Uint8Array, readonly Patch[]> {
    yield Buffer.from('one ???');
    return [{ at: 4, bytes: Buffer.from('two') }];
  }
  expect(await writePiecesDurably(path.join(folder, 'a'), patched())).toEqual({ bytes: 7, sha256 });
});
