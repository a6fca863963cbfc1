import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StoreManifest } from '../../source.ts';
import { archive, request, snapshotFiles, type Archived } from '../fixture/archive.ts';
import { startDatabases, type Databases } from '../fixture/database.ts';
import { addFingerprints, readDetail, type TableManifest } from '../manifest.ts';
import { dataFiles, proveDatabases } from '../prove-files.ts';

const SMALL = { threshold: 64 * 1024, piece: 32 * 1024 };
let databases: Databases;

beforeAll(async () => void (databases = await startDatabases()), 60_000);
afterAll(async () => await databases[Symbol.asyncDispose]());

function tableOf(manifest: StoreManifest, name: string): TableManifest {
  const found = readDetail(manifest).databases.flatMap(({ tables }) => tables).find((table) => table.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

const pathsOf = ({ content }: Archived, folder: string): string[] => [...content.keys()].filter((path) => path.includes(`/data/${folder}`)).toSorted();
const proofOf = async ({ content, manifest }: Archived) => (await proveDatabases(manifest, snapshotFiles(content), { signal: new AbortController().signal, step: () => undefined, progress: () => undefined })).filter(({ equal }) => !equal);

test('a large table is split into ranges of blocks that hold every row once, and add up to the table', async () => {
  await databases.make('split', `CREATE TABLE big (n int, t text); INSERT INTO big SELECT i, repeat(chr(97 + i % 26), i % 300) FROM generate_series(1, 5000) i;
    CREATE TABLE giant (t text); INSERT INTO giant SELECT string_agg(md5(i::text), '') FROM generate_series(1, 20000) i; ALTER TABLE giant ALTER t SET STORAGE external; UPDATE giant SET t = t || '';
    CREATE TABLE empty (n int); CREATE TABLE parent (n int); CREATE TABLE child () INHERITS (parent); INSERT INTO parent SELECT generate_series(1, 9000); INSERT INTO child SELECT generate_series(1, 7000)`);
  const whole = await archive(databases.open('split'));
  const split = await archive(databases.open('split', { sizes: SMALL }));
  const big = tableOf(split.manifest, 'big');
  expect(big.pieces?.length).toBeGreaterThan(10);
  expect(big).toMatchObject({ rows: 5000, fingerprint: tableOf(whole.manifest, 'big').fingerprint, bytes: tableOf(whole.manifest, 'big').bytes, split: { by: 'block', blocks: 4 } });
  expect(addFingerprints(big.pieces?.map(({ fingerprint }) => fingerprint) ?? [])).toBe(big.fingerprint);
  expect(Buffer.concat(pathsOf(split, 'public.big/').map((path) => split.content.get(path) ?? Buffer.alloc(0)))).toEqual(whole.content.get('/db/split/data/public.big.copy'));
  expect(pathsOf(split, 'public.big/')[0]).toBe('/db/split/data/public.big/00001.copy');
  for (const [name, rows] of [['giant', 1], ['empty', 0], ['parent', 9000], ['child', 7000]] as const) {
    expect(tableOf(split.manifest, name)).toMatchObject({ rows, fingerprint: tableOf(whole.manifest, name).fingerprint });
  }
  expect(dataFiles(split.manifest).toSorted()).toEqual(pathsOf(split, ''));
  expect(await proofOf(split)).toEqual([]);
  const report = await databases.open('split').restore(snapshotFiles(split.content), split.manifest, request({ into: 'split_copy' }));
  expect(report.proof.filter(({ equal }) => !equal)).toEqual([]);
});

test('a piece that is damaged, or that is missing from the manifest, is named', async () => {
  await databases.make('piece', 'CREATE TABLE big (n int, t text); INSERT INTO big SELECT i, md5(i::text) FROM generate_series(1, 5000) i');
  const split = await archive(databases.open('piece', { sizes: SMALL }));
  const path = '/db/piece/data/public.big/00002.copy';
  const text = split.content.get(path)?.toString() ?? '';
  split.content.set(path, Buffer.from(text.replace(/^\d/, (digit) => (digit === '9' ? '8' : '9'))));
  expect(await proofOf(split)).toMatchObject([{ subject: 'public.big', detail: expect.stringMatching(/^piece 2: \d+ rows, but the fingerprint/) }]);
  split.content.set(path, Buffer.from(text));
  tableOf(split.manifest, 'big');
  const lost = structuredClone(split.manifest) as { detail: { databases: { tables: TableManifest[] }[] } } & StoreManifest;
  lost.detail.databases[0]?.tables[0]?.pieces?.splice(1, 1);
  expect(await proofOf({ ...split, manifest: lost })).toMatchObject([{ detail: 'its pieces do not add up to the table' }]);
});
