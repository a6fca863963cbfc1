import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Part } from '../../source.ts';
import { archive, type Archived } from '../fixture/archive.ts';
import { startDatabases, type Databases } from '../fixture/database.ts';
import { readDetail } from '../manifest.ts';

let databases: Databases;

beforeAll(async () => {
  databases = await startDatabases();
  await databases.make('shop', `CREATE TABLE users (id serial PRIMARY KEY, name text); CREATE TABLE orders (id int PRIMARY KEY, "user" int REFERENCES users); CREATE TABLE orders_old (id int); CREATE SCHEMA billing;
    CREATE TABLE billing.bill (id bigint GENERATED ALWAYS AS IDENTITY, n int) PARTITION BY RANGE (n); CREATE TABLE billing.low PARTITION OF billing.bill FOR VALUES FROM (0) TO (10); CREATE TABLE billing.high PARTITION OF billing.bill FOR VALUES FROM (10) TO (20);
    CREATE TABLE "odd.name" (n int); INSERT INTO users (name) VALUES ('a'); INSERT INTO orders VALUES (1, 1); INSERT INTO billing.bill (n) VALUES (1), (11); SELECT lo_create(70001)`);
  await databases.make('other', 'CREATE TABLE extra (n int)');
}, 60_000);
afterAll(async () => await databases[Symbol.asyncDispose]());

const part = async (part: Part, more: readonly string[] = []): Promise<Archived> => await archive(databases.open('shop', { databases: ['shop', ...more] }), { part });
const filesOf = ({ content }: Archived): string[] => [...content.keys()].map((path) => path.replace('/db/', '')).filter((path) => path.includes('/')).toSorted();
const tablesOf = ({ manifest }: Archived): string[] => readDetail(manifest).databases.flatMap(({ tables }) => tables.map(({ schema, name }) => `${schema}.${name}`)).toSorted();
const script = ({ content }: Archived): string => content.get('/db/shop/restore.sql')?.toString() ?? '';

test('the schema alone has its scripts and what describes it, and no rows', async () => {
  const schema = await part({ only: 'schema' });
  expect(filesOf(schema)).toEqual(['shop/catalog.json', 'shop/database.json', 'shop/post-data.sql', 'shop/pre-data.sql', 'shop/restore.sql', 'shop/schema.dump']);
  expect([...schema.content.keys()]).toContain('/db/globals.sql');
  expect(schema.manifest).toMatchObject({ part: { only: 'schema' }, counts: { tables: 0, rows: 0, sequences: 0 } });
  expect(script(schema)).not.toMatch(/copy|sequences/);
});

test('rows alone come without the scripts that make their tables', async () => {
  const data = await part({ only: 'data' });
  expect(filesOf(data)).not.toContain('shop/pre-data.sql');
  expect(filesOf(data)).toEqual(expect.arrayContaining(['shop/data/public.users.copy', 'shop/sequences.sql', 'shop/large-objects.sql']));
  expect([...data.content.keys()]).not.toContain('/db/globals.sql');
  expect(data.manifest).toMatchObject({ part: { only: 'data' }, counts: { tables: 6, rows: 4, sequences: 2, largeObjects: 1 } });
  expect(script(data)).not.toMatch(/(pre|post)-data/);
});

test('tables by name or pattern come with the schema, and with the sequences that belong to them', async () => {
  const users = await part({ tables: ['public.users'] });
  expect(tablesOf(users)).toEqual(['public.users']);
  expect(readDetail(users.manifest).databases[0]?.sequences).toMatchObject([{ name: 'users_id_seq' }]);
  expect(filesOf(users)).toEqual(expect.arrayContaining(['shop/pre-data.sql', 'shop/post-data.sql']));
  expect(filesOf(users)).not.toContain('shop/large-objects.sql');
  expect(tablesOf(await part({ tables: ['orders*'] }))).toEqual(['public.orders', 'public.orders_old']);
  expect(tablesOf(await part({ tables: ['public.odd.name', 'billing.*'] }))).toEqual(['billing.high', 'billing.low', 'public.odd.name']);
});

test('a partitioned table means its partitions', async () => {
  const bills = await part({ tables: ['billing.bill'] });
  expect(tablesOf(bills)).toEqual(['billing.high', 'billing.low']);
  expect(readDetail(bills.manifest).databases[0]?.sequences).toMatchObject([{ name: 'bill_id_seq' }]);
});

test('of several databases those are left out that have none of the tables', async () => {
  const extra = await part({ tables: ['extra'] }, ['other']);
  expect(readDetail(extra.manifest).databases.map(({ name }) => name)).toEqual(['other']);
  expect(filesOf(extra).some((path) => path.startsWith('shop/'))).toBe(false);
});

test('a pattern that finds nothing is named, with the table that may be meant', async () => {
  await expect(part({ tables: ['public.user', 'billing.*', 'nowhere.*'] })).rejects.toMatchObject({
    code: 'source-missing', message: 'The store db has no table public.user (did you mean public.users?), and none nowhere.*.', hint: expect.stringContaining('schema.table'),
  });
});
