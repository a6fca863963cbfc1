import { afterAll, beforeAll, expect, test } from 'vitest';
import { archive, request, snapshotFiles, type Archived } from '../fixture/archive.ts';
import { startDatabases, type Databases } from '../fixture/database.ts';
import { readDetail, type TableManifest } from '../manifest.ts';
import { dataFiles, proveDatabases } from '../prove-files.ts';

const SMALL = { threshold: 64 * 1024, piece: 32 * 1024 };
let databases: Databases;

beforeAll(async () => void (databases = await startDatabases()), 60_000);
afterAll(async () => await databases[Symbol.asyncDispose]());

const tablesOf = ({ manifest }: Archived): readonly TableManifest[] => readDetail(manifest).databases.flatMap(({ tables }) => tables);
const tableOf = (archived: Archived, name: string): TableManifest | undefined => tablesOf(archived).find((table) => table.name === name);
const unchanged = (archived: Archived): string[] => tablesOf(archived).filter((table) => table.unchanged === 'fingerprint').map(({ name }) => name).toSorted();
const keptPieces = (archived: Archived, name: string): boolean[] => (tableOf(archived, name)?.pieces ?? []).map((piece) => piece.unchanged === 'fingerprint');
/** Without the schema, which is taken over on grounds of its own. */
const keptRows = ({ kept }: Archived): string[] => kept.filter((path) => /\/data\/|large-objects/.test(path));
const frugal = async (database: string, previous?: Archived, sizes = SMALL): Promise<Archived> => await archive(databases.open(database, { sizes }), { frugal: true, previous });

/** What is stored is what a backup that knows nothing of earlier ones reads now. */
async function expectTrue(database: string, archived: Archived): Promise<void> {
  const fresh = await archive(databases.open(database));
  const facts = (one: Archived) => tablesOf(one).map(({ schema, name, rows, bytes, fingerprint, columns }) => ({ schema, name, rows, bytes, fingerprint, columns })).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  expect(facts(archived)).toEqual(facts(fresh));
  expect([...dataFiles(archived.manifest)].toSorted()).toEqual([...archived.content.keys()].filter((path) => path.includes('/data/')).toSorted());
  const proof = await proveDatabases(archived.manifest, snapshotFiles(archived.content), { signal: new AbortController().signal, step: () => undefined, progress: () => undefined });
  expect(proof.filter(({ equal }) => !equal)).toEqual([]);
}

test('what has not changed is taken over, with the fingerprint that was counted when it was read', async () => {
  await databases.make('still', `CREATE TABLE a (n int PRIMARY KEY, t text); INSERT INTO a SELECT i, 'x' || i FROM generate_series(1, 100) i; CREATE TABLE b (n int); INSERT INTO b VALUES (1), (1), (NULL);
    CREATE TABLE empty (n int); CREATE TABLE bare (); CREATE TABLE odd (odd int, "holdfast_row" text, "a ""b" int); INSERT INTO odd VALUES (1, NULL, 2)`);
  const first = await frugal('still');
  expect(keptRows(first)).toEqual([]);
  const second = await frugal('still', first);
  expect(unchanged(second)).toEqual(['a', 'b', 'bare', 'empty', 'odd']);
  expect(keptRows(second)).toHaveLength(5);
  await databases.sql('still', `UPDATE a SET t = 'y' WHERE n = 50; DELETE FROM b WHERE ctid = '(0,1)'; UPDATE odd SET odd = 2`);
  const third = await frugal('still', second);
  expect(unchanged(third)).toEqual(['bare', 'empty']);
  await expectTrue('still', third);
  expect(tableOf(await archive(databases.open('still'), { previous: third }), 'a')?.unchanged).toBeUndefined();
});

test('a column with a default, another type, a rewrite, TRUNCATE and a table of the same name are no reason to take over what is old', async () => {
  await databases.make('altered', `CREATE TABLE added (n int); INSERT INTO added VALUES (1); CREATE TABLE typed (n int); INSERT INTO typed VALUES (1); CREATE TABLE emptied (n int); INSERT INTO emptied VALUES (1);
    CREATE TABLE again (n int); INSERT INTO again VALUES (1); CREATE TABLE moved (n int, t text); INSERT INTO moved SELECT i, md5(i::text) FROM generate_series(1, 5000) i; CREATE TABLE gone (n int);
    CREATE TABLE made (n int, m int GENERATED ALWAYS AS (n + 1) STORED); INSERT INTO made VALUES (1); CREATE TABLE part (n int) PARTITION BY RANGE (n); CREATE TABLE leaf (n int); INSERT INTO leaf VALUES (5)`);
  const first = await frugal('altered');
  await databases.sql('altered', `ALTER TABLE added ADD m int DEFAULT 7; ALTER TABLE typed ALTER n TYPE text; TRUNCATE emptied; DROP TABLE again; CREATE TABLE again (n int); INSERT INTO again VALUES (2); DROP TABLE gone;
    ALTER TABLE made ALTER m DROP EXPRESSION; ALTER TABLE part ATTACH PARTITION leaf FOR VALUES FROM (0) TO (10); DELETE FROM moved WHERE n % 2 = 0; INSERT INTO moved SELECT i, md5(i::text) FROM generate_series(2, 5000, 2) i`);
  await databases.sql('altered', 'VACUUM FULL moved');
  const second = await frugal('altered', first);
  expect(unchanged(second)).toEqual(['leaf', 'moved']);
  await expectTrue('altered', second);
});

test('of a large table with a key only the ranges that changed are read, and ranges that grow are divided', async () => {
  await databases.make('ranges', `CREATE TABLE big (id bigint PRIMARY KEY, t text); INSERT INTO big SELECT i, md5(i::text) FROM generate_series(1, 20000) i`);
  const first = await frugal('ranges');
  const pieces = tableOf(first, 'big')?.pieces?.length ?? 0;
  expect(pieces).toBeGreaterThan(20);
  expect(tableOf(first, 'big')?.split).toEqual({ by: 'key', column: 'id', type: 'pg_catalog.int8' });
  expect(unchanged(await frugal('ranges', first))).toEqual(['big']);
  await databases.sql('ranges', `UPDATE big SET t = 'changed' WHERE id IN (7, 19000); INSERT INTO big SELECT i, md5(i::text) FROM generate_series(20001, 30000) i`);
  const second = await frugal('ranges', first);
  expect(keptPieces(second, 'big').filter((kept) => kept)).toHaveLength(pieces - 3);
  expect(tableOf(second, 'big')?.pieces?.length).toBeGreaterThan(pieces * 1.3);
  await expectTrue('ranges', second);
  await databases.sql('ranges', 'DELETE FROM big WHERE id BETWEEN 5000 AND 15000 OR id > 29000');
  const third = await frugal('ranges', second);
  expect(keptPieces(third, 'big').filter((kept) => kept).length).toBeGreaterThan(pieces / 3);
  expect(tableOf(third, 'big')?.pieces?.length).toBeLessThan(pieces);
  await expectTrue('ranges', third);
  await databases.sql('ranges', 'DELETE FROM big');
  await expectTrue('ranges', await frugal('ranges', third));
});

test.each([
  { key: 'uuid', value: `md5(i::text)::uuid` },
  { key: 'text COLLATE "C"', value: `chr(33 + i % 90) || i || E'\\\\ \\'quote'` },
  { key: 'text', value: `chr(97 + i % 26) || '-' || i || 'é'` },
  { key: 'timestamptz', value: `CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN '0044-03-15 BC' ELSE '2026-01-01'::timestamptz + i * interval '1.000001 s' END` },
  { key: 'numeric', value: `CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN '-1e50' ELSE i / 3.0 END` },
])('ranges of $key hold every row once', async ({ key, value }) => {
  const name = `key_${key.replaceAll(/\W/g, '').toLowerCase()}`;
  await databases.make(name, `CREATE TABLE big (k ${key} PRIMARY KEY, t text); INSERT INTO big SELECT ${value}, md5(i::text) FROM generate_series(1, 8000) i`);
  const first = await frugal(name);
  expect(tableOf(first, 'big')).toMatchObject({ split: { by: 'key', column: 'k' } });
  expect(tableOf(first, 'big')?.pieces?.length).toBeGreaterThan(8);
  await databases.sql(name, `UPDATE big SET t = '' WHERE k = (SELECT k FROM big ORDER BY k OFFSET 4000 LIMIT 1)`);
  const second = await frugal(name, first);
  expect(keptPieces(second, 'big').filter((kept) => !kept)).toHaveLength(1);
  await expectTrue(name, second);
});

test('without a key that divides the rows, ranges of blocks are compared', async () => {
  await databases.make('blocks', `CREATE TABLE loose (n int, t text); INSERT INTO loose SELECT i, md5(i::text) FROM generate_series(1, 10000) i;
    CREATE TABLE tenant (tenant int, n int, t text, PRIMARY KEY (tenant, n)); INSERT INTO tenant SELECT 1, i, md5(i::text) FROM generate_series(1, 10000) i`);
  const first = await frugal('blocks');
  expect([tableOf(first, 'loose')?.split, tableOf(first, 'tenant')?.split]).toMatchObject([{ by: 'block' }, { by: 'block' }]);
  await databases.sql('blocks', `UPDATE loose SET t = 'x' WHERE n = 5; INSERT INTO tenant SELECT 2, i, 'new' FROM generate_series(1, 100) i`);
  const second = await frugal('blocks', first);
  expect(keptPieces(second, 'loose').filter((kept) => !kept)).toHaveLength(2);
  expect(keptPieces(second, 'tenant').filter((kept) => !kept).length).toBeLessThan(3);
  await expectTrue('blocks', second);
  await databases.sql('blocks', 'VACUUM FULL tenant');
  const third = await frugal('blocks', second);
  expect(unchanged(third)).toContain('tenant');
  await expectTrue('blocks', third);
});

test('what the repository has lost is read again; what cannot be read alone is refused with what to do', async () => {
  await databases.make('lost', `CREATE TABLE big (id int PRIMARY KEY, t text); INSERT INTO big SELECT i, md5(i::text) FROM generate_series(1, 8000) i; CREATE TABLE loose (n int, t text); INSERT INTO loose SELECT i, md5(i::text) FROM generate_series(1, 8000) i`);
  const first = await frugal('lost');
  first.content.delete('/db/lost/data/public.big/00002.copy');
  const second = await frugal('lost', first);
  expect(keptPieces(second, 'big').indexOf(false)).toBe(1);
  await expectTrue('lost', second);
  await databases.sql('lost', 'DELETE FROM loose WHERE n < 4000; INSERT INTO loose SELECT i, md5(i::text) FROM generate_series(1, 3999) i');
  second.content.delete('/db/lost/data/public.loose/00003.copy');
  await expect(frugal('lost', second)).rejects.toMatchObject({ code: 'source-failed', hint: expect.stringContaining('without --frugal') });
});

test('a manifest without fingerprints of the server, or one that is not understood, only means that all is read', async () => {
  await databases.make('older', 'CREATE TABLE a (n int); INSERT INTO a VALUES (1)');
  const plain = await archive(databases.open('older'));
  expect(keptRows(await frugal('older', plain))).toEqual([]);
  expect(keptRows(await frugal('older', { ...plain, manifest: { ...plain.manifest, detail: { tables: 3 } } }))).toEqual([]);
});

test('content is taken over from another database of the same name only when it is equal', async () => {
  await databases.make('twin', 'CREATE TABLE a (n int); INSERT INTO a VALUES (1); CREATE TABLE b (n int); INSERT INTO b VALUES (1)');
  const first = await frugal('twin');
  await databases.sql('postgres', 'DROP DATABASE twin');
  await databases.make('twin', 'CREATE TABLE a (n int); INSERT INTO a VALUES (2); CREATE TABLE b (n int); INSERT INTO b VALUES (1)');
  const second = await frugal('twin', first);
  expect(unchanged(second)).toEqual(['b']);
  await expectTrue('twin', second);
});

test('an index that has lost rows is found out, and named with what to do', async () => {
  await databases.make('damaged', `CREATE TABLE big (id int PRIMARY KEY, t text); INSERT INTO big SELECT i, md5(i::text) FROM generate_series(1, 20000) i; ANALYZE big`);
  const first = await frugal('damaged');
  // An index that is not kept up to date while a row is written has lost it.
  await databases.sql('damaged', `UPDATE pg_index SET indisready = false WHERE indexrelid = 'big_pkey'::regclass`);
  await databases.sql('damaged', `INSERT INTO big VALUES (1000000, 'unseen')`);
  await databases.sql('damaged', `UPDATE pg_index SET indisready = true WHERE indexrelid = 'big_pkey'::regclass`);
  await expect(frugal('damaged', first)).rejects.toMatchObject({ code: 'source-failed', message: expect.stringContaining('an index of it is damaged'), hint: expect.stringContaining('REINDEX TABLE public.big') });
  expect(tableOf(await archive(databases.open('damaged'), { previous: first }), 'big')?.rows).toBe(20_001);
});

test('a restore of taken over and divided tables is proven', async () => {
  await databases.make('whole', `CREATE TABLE big (id int PRIMARY KEY, t text); INSERT INTO big SELECT i, md5(i::text) FROM generate_series(1, 8000) i; CREATE TABLE small (n int REFERENCES big); INSERT INTO small VALUES (5)`);
  const second = await frugal('whole', await frugal('whole'));
  expect(unchanged(second)).toEqual(['big', 'small']);
  const report = await databases.open('whole').restore(snapshotFiles(second.content), second.manifest, request({ into: 'whole_copy' }));
  expect(report.proof.filter(({ equal }) => !equal)).toEqual([]);
});

test('large objects are taken over while their content, owners and privileges are the same', async () => {
  await databases.make('large', `SELECT lo_from_bytea(70001, decode(repeat('00ff', 400000), 'hex')), lo_from_bytea(70002, '')`);
  const first = await frugal('large');
  const second = await frugal('large', first);
  expect(keptRows(second)).toEqual(['/db/large/large-objects.sql']);
  expect(readDetail(second.manifest).databases[0]?.largeObjects).toEqual(readDetail(first.manifest).databases[0]?.largeObjects);
  await databases.sql('large', `GRANT SELECT ON LARGE OBJECT 70002 TO PUBLIC`);
  const third = await frugal('large', second);
  expect(keptRows(third)).toEqual([]);
  await databases.sql('large', `SELECT lo_put(70001, 5, 'x')`);
  expect(keptRows(await frugal('large', third))).toEqual([]);
});
