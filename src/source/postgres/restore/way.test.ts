import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RestoreReport, RestoreRequest, RestoreStep } from '../../source.ts';
import { archive, request, snapshotFiles, type Archived } from '../fixture/archive.ts';
import { startDatabases, type Databases } from '../fixture/database.ts';
import { zooSql } from '../fixture/zoo.ts';

let databases: Databases;

beforeAll(async () => void (databases = await startDatabases()), 60_000);
afterAll(async () => await databases[Symbol.asyncDispose]());

const open: Databases['open'] = (database) => databases.open(database);
const sql: Databases['sql'] = async (database, text) => await databases.sql(database, text);
const value = async (database: string, text: string): Promise<unknown> => Object.values((await sql(database, text))[0] ?? {})[0];

const SHOP = `CREATE TABLE person (id serial PRIMARY KEY, name text, upper text GENERATED ALWAYS AS (upper(name)) STORED);
  CREATE TABLE sale (id int PRIMARY KEY, person int REFERENCES person, amount numeric); COMMENT ON CONSTRAINT sale_person_fkey ON sale IS 'buyer';
  CREATE TABLE log (at int, what text) PARTITION BY RANGE (at); CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10); CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20);
  CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $$;
  CREATE TRIGGER shout BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION shout(); CREATE TRIGGER off BEFORE DELETE ON person FOR EACH ROW EXECUTE FUNCTION shout(); ALTER TABLE person DISABLE TRIGGER off;
  CREATE VIEW totals AS SELECT person, sum(amount) FROM sale GROUP BY 1; CREATE INDEX sale_amount ON sale (amount);
  INSERT INTO person (name) SELECT 'p' || i FROM generate_series(1, 100) i; INSERT INTO sale SELECT i, 1 + i % 100, i FROM generate_series(1, 2000) i; INSERT INTO log SELECT i % 20, i FROM generate_series(1, 500) i;`;

/** A database with a shop, and its backup. */
async function shop(name: string, more = ''): Promise<Archived & { restore(more?: Partial<RestoreRequest>): Promise<RestoreReport>; plan(more?: Partial<RestoreRequest>): Promise<readonly RestoreStep[]> }> {
  await sql('postgres', `CREATE DATABASE ${name}`);
  await sql(name, SHOP + more);
  const archived = await archive(open(name));
  const files = snapshotFiles(archived.content);
  return {
    ...archived,
    restore: async (wish = {}) => await open(name).restore(files, archived.manifest, { ...request(), ...wish }),
    plan: async (wish = {}) => (await open(name).planRestore?.(files, archived.manifest, { ...request(), ...wish })) ?? [],
  };
}

test('rows of a table that others refer to are replaced in one transaction, checked, and its trigger stays silent', async () => {
  const { restore } = await shop('rows');
  await sql('rows', `UPDATE person SET name = 'lost'; SELECT setval('person_id_seq', 5000); ALTER TABLE sale DISABLE TRIGGER ALL; ALTER TABLE sale ENABLE TRIGGER ALL`);
  await expect(restore({ only: 'data', tables: ['person'] })).rejects.toMatchObject({ code: 'target-exists', message: expect.stringContaining('public.person') });
  const report = await restore({ only: 'data', tables: ['person'], clean: true });
  expect(report.proof).toMatchObject([{ subject: 'public.person', equal: true }]);
  expect(await value('rows', `SELECT string_agg(name, ',' ORDER BY id) FROM person WHERE id < 3`)).toBe('p1!,p2!');
  expect(await value('rows', `SELECT nextval('person_id_seq')`)).toBe('101');
  expect(await value('rows', `SELECT string_agg(tgname::text || tgenabled::text, ',' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal`)).toBe('offD,shoutO');
  expect(await value('rows', `SELECT convalidated || obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'sale_person_fkey'`)).toBe('truebuyer');
});

test('rows that would leave others without what they refer to are not put in place, and sequences stay', async () => {
  const { restore } = await shop('dangling');
  await sql('dangling', `INSERT INTO person (id, name) VALUES (999, 'new'); INSERT INTO sale VALUES (9999, 999, 1); SELECT setval('person_id_seq', 5000)`);
  await expect(restore({ only: 'data', tables: ['public.person'], clean: true })).rejects.toMatchObject({ code: 'database-failed', message: expect.stringContaining('sale_person_fkey') });
  expect(await value('dangling', 'SELECT count(*) FROM person')).toBe('101');
  expect(await value('dangling', `SELECT nextval('person_id_seq')`)).toBe('5001');
});

test('all rows go into a database that has only the schema', async () => {
  const { restore } = await shop('filled');
  expect(await restore({ only: 'schema', into: 'bare' })).toMatchObject({ target: 'bare', counts: { databases: 1 } });
  expect(await value('bare', 'SELECT count(*) FROM sale')).toBe('0');
  const report = await restore({ only: 'data', into: 'bare' });
  expect(report.proof.every(({ equal }) => equal)).toBe(true);
  expect(await value('bare', 'SELECT count(*) FROM log')).toBe('500');
  await sql('bare', 'TRUNCATE person, sale, log; ALTER TABLE person DROP COLUMN name CASCADE; ALTER TABLE sale ADD must int NOT NULL; DROP TABLE log_2');
  await expect(restore({ only: 'data', into: 'bare' })).rejects.toMatchObject({ code: 'missing-on-target', message: expect.stringMatching(/sale has columns[\s\S]*must[\s\S]*log_2 is not there|log_2 is not there[\s\S]*must/) });
  const mapped = await restore({ only: 'data', into: 'bare', tables: ['person'] });
  expect(mapped.proof).toMatchObject([{ detail: expect.stringContaining('without the columns') }]);
  expect(await value('bare', 'SELECT max(id) FROM person')).toBe(100);
});

test('a partitioned table comes back with its partitions, and tables that refer to each other together', async () => {
  const { restore } = await shop('several');
  await sql('several', `DROP VIEW totals; DELETE FROM log; DELETE FROM sale; UPDATE person SET name = NULL`);
  const report = await restore({ tables: ['log'] });
  expect(report.kept).toMatch(/public\.log_before_\d+_\d+/);
  expect(await value('several', 'SELECT count(*) FROM log')).toBe('500');
  const both = await restore({ tables: ['public.person', 'public.sa*'] });
  expect(both.proof.filter(({ equal }) => !equal)).toEqual([]);
  expect(await value('several', `SELECT count(*) FROM sale JOIN person ON person.id = sale.person WHERE name LIKE 'p%'`)).toBe('2000');
  expect(await value('several', `SELECT count(*) FROM pg_constraint WHERE conname LIKE 'sale_person_fkey' AND confrelid = 'person'::regclass`)).toBe('1');
  const leaf = await restore({ tables: ['log_2'], into: 'leaf' });
  expect(leaf.counts).toMatchObject({ tables: 1, rows: 250 });
  await expect(restore({ tables: ['nothing.*'] })).rejects.toMatchObject({ code: 'path-missing' });
});

test('a table comes under another name beside the one that is there', async () => {
  const { restore } = await shop('renamed');
  await sql('renamed', 'DELETE FROM sale; CREATE SCHEMA old');
  await restore({ tables: ['sale'], as: 'old.sale_then' });
  expect(await value('renamed', 'SELECT count(*) FROM old.sale_then')).toBe('2000');
  expect(await value('renamed', 'SELECT count(*) FROM sale')).toBe('0');
  expect(await value('renamed', `SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'old'`)).toBe('sale_then_amount,sale_then_pkey');
  await expect(restore({ tables: ['sale'], as: 'old.sale_then' })).rejects.toMatchObject({ code: 'target-exists' });
});

test('a schema gets another name in a new database', async () => {
  const { restore } = await shop('schemas', 'CREATE SCHEMA app; CREATE TABLE app.t AS SELECT 1 AS a;');
  await restore({ into: 'schemas2', schemas: { app: 'app_old' } });
  expect(await value('schemas2', 'SELECT a FROM app_old.t')).toBe(1);
});

test('with --clean what the backup holds is replaced, and what else is there stays', async () => {
  const { restore, plan, manifest, content } = await shop('cleaned');
  await sql('cleaned', `DROP TABLE sale CASCADE; ALTER TABLE person ADD more int; DELETE FROM log; CREATE TABLE mine (a int); INSERT INTO mine VALUES (7)`);
  expect((await plan({ clean: true })).map(({ subject, action }) => `${action} ${subject}`)).toEqual(expect.arrayContaining(['replace table public.person', 'replace table public.log', 'note safety']));
  const report = await restore({ clean: true });
  expect(report.proof.filter(({ equal }) => !equal)).toEqual([]);
  expect(await value('cleaned', 'SELECT a FROM mine')).toBe(7);
  const unequal = (await open('cleaned').compare(manifest, snapshotFiles(content))).filter(({ equal }) => !equal);
  expect(unequal).toMatchObject([{ subject: 'catalogue', detail: expect.stringContaining('surplus: column public.mine') }]);
});

test('with --clean what depends from outside is named, and dropped only with --cascade; a failure leaves all as it was', async () => {
  const { restore, plan, content } = await shop('outside');
  await sql('outside', `CREATE VIEW theirs AS SELECT name FROM person; CREATE TABLE ref (p int REFERENCES person); UPDATE person SET name = 'x'`);
  await expect(plan({ clean: true })).rejects.toMatchObject({ code: 'target-exists', message: expect.stringMatching(/ref_p_fkey on table public\.ref[\s\S]*view public\.theirs/) });
  await expect(restore({ clean: true })).rejects.toMatchObject({ code: 'target-exists' });
  const file = '/db/outside/data/public.sale.copy';
  const rows = content.get(file) ?? Buffer.alloc(0);
  content.set(file, rows.subarray(0, rows.length - 20));
  await expect(restore({ clean: true, cascade: true })).rejects.toBeDefined();
  expect(await value('outside', `SELECT count(*) FROM theirs WHERE name = 'x'`)).toBe('100');
  content.set(file, rows);
  await restore({ clean: true, cascade: true });
  expect(await value('outside', `SELECT to_regclass('theirs') IS NULL AND to_regclass('ref') IS NOT NULL`)).toBe(true);
});

test('a target that takes no changes, and a snapshot that holds only a part, are told before anything', async () => {
  const { restore, manifest, content } = await shop('readonly');
  await sql('postgres', 'ALTER ROLE postgres SET default_transaction_read_only = on');
  await expect(restore({ into: 'never' })).rejects.toMatchObject({ code: 'missing-on-target', message: expect.stringContaining('takes no changes') });
  await expect(restore({ only: 'data', clean: true })).rejects.toMatchObject({ code: 'missing-on-target' });
  await sql('postgres', 'BEGIN READ WRITE; ALTER ROLE postgres RESET default_transaction_read_only; COMMIT');
  const part = { ...manifest, part: { only: 'schema' as const } };
  await expect(open('readonly').restore(snapshotFiles(content), part, request())).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('only the schema') });
});

test('with --clean a database with everything is replaced by itself', async () => {
  await sql('postgres', 'CREATE DATABASE menagerie');
  await sql('menagerie', zooSql('menagerie'));
  const { content, manifest } = await archive(open('menagerie'));
  await sql('menagerie', `UPDATE app.event SET what = NULL; DROP FUNCTION app.atomic; SELECT lo_unlink(4712)`);
  const report = await open('menagerie').restore(snapshotFiles(content), manifest, { ...request(), clean: true });
  expect(report.proof.filter(({ equal }) => !equal)).toEqual([]);
  expect((await open('menagerie').compare(manifest, snapshotFiles(content))).filter(({ equal }) => !equal)).toEqual([]);
}, 60_000);
