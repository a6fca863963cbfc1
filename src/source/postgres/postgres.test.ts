import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { startEmbedded, type EmbeddedServer } from '../../client/postgres/embedded.ts';
import { parseTarget } from '../../client/postgres/target.ts';
import { Secret } from '../../base/secret.ts';
import type { ProofLine, Source } from '../source.ts';
import { archive, context, request, snapshotFiles, walk } from './fixture/archive.ts';
import { zooSql } from './fixture/zoo.ts';
import { openPostgres } from './postgres.ts';

let folder: string;
let server: EmbeddedServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-pg-'));
  const binaries = process.env['HOLDFAST_TEST_POSTGRES'];
  server = await startEmbedded({ folder, settings: { max_prepared_transactions: '5' }, ...(binaries === undefined ? {} : { binaries }) });
}, 60_000);

afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const urlOf = (database: string): string => server.url.replace(/\/postgres$/, `/${database}`);
const open = (database: string): Source => openPostgres({ url: urlOf(database), clock: systemClock });
const sql = async <T extends object>(database: string, text: string): Promise<T[]> =>
  await Connection.with(parseTarget(urlOf(database), undefined, {}), async (connection) => await connection.query<T>(text, 'testing'));
const make = async (database: string, text: string): Promise<void> => {
  await sql('postgres', `CREATE DATABASE ${database}`);
  await sql(database, text);
};
const unequal = (proof: readonly ProofLine[]): ProofLine[] => proof.filter((line) => !line.equal);

test('a database with everything comes back equal in place, and the old one is kept', async () => {
  await make('zoo', zooSql('zoo'));
  const source = open('zoo');
  await source.check();
  const { content, manifest } = await archive(source);
  expect(manifest.counts).toMatchObject({ databases: 1, tables: 9, largeObjects: 2 });
  await sql('zoo', 'DROP TABLE app.orders CASCADE; UPDATE app.event SET what = NULL');
  const report = await source.restore(snapshotFiles(content), manifest, request());
  expect(unequal(report.proof)).toEqual([]);
  expect(report.kept).toMatch(/^zoo_before_/);
  expect(unequal(await source.compare(manifest, snapshotFiles(content)))).toEqual([]);
  const again = await archive(source);
  expect(again.content.get('/db/zoo/catalog.json')?.toString()).toBe(content.get('/db/zoo/catalog.json')?.toString());
  expect(await sql(report.kept ?? '', 'SELECT count(*) FROM app.event WHERE what IS NULL')).toEqual([{ count: '500' }]);
}, 60_000);

const SHOP = `CREATE TABLE person (id serial PRIMARY KEY, name text); CREATE TABLE sale (id int PRIMARY KEY, person int REFERENCES person, amount numeric);
  CREATE INDEX sale_amount ON sale (amount); GRANT SELECT ON sale TO pg_monitor; COMMENT ON TABLE sale IS 'sold';
  INSERT INTO person (name) SELECT 'p' || i FROM generate_series(1, 1000) i; INSERT INTO sale SELECT i, 1 + i % 1000, i FROM generate_series(1, 20000) i;`;

test('a row that was changed in the copy is found, and nothing is put in place', async () => {
  await make('altered', SHOP);
  const { content, manifest } = await archive(open('altered'));
  const file = '/db/altered/data/public.sale.copy';
  content.set(file, Buffer.from((content.get(file)?.toString() ?? '').replace(/^777\t778\t777$/m, '777\t778\t778')));
  const failed = open('altered').restore(snapshotFiles(content), manifest, request());
  await expect(failed).rejects.toMatchObject({ code: 'restore-unproven', message: expect.stringContaining('public.sale: 20,000 rows, but the fingerprint') });
  expect(await sql('altered', 'SELECT amount FROM sale WHERE id = 777')).toEqual([{ amount: '777' }]);
});

test('a privilege that is missing after the restore is named', async () => {
  await make('ungranted', SHOP);
  const { content, manifest } = await archive(open('ungranted'));
  const file = '/db/ungranted/pre-data.sql';
  content.set(file, Buffer.from((content.get(file)?.toString() ?? '').replace('GRANT SELECT ON TABLE public.sale TO pg_monitor;', '')));
  const failed = open('ungranted').restore(snapshotFiles(content), manifest, request({ into: 'ungranted2' }));
  await expect(failed).rejects.toMatchObject({ code: 'restore-unproven', message: expect.stringContaining('missing: privileges of public.sale:') });
});

test('a restore into another name leaves the original alone, and never overwrites', async () => {
  await make('origin', SHOP);
  const { content, manifest } = await archive(open('origin'));
  const report = await open('origin').restore(snapshotFiles(content), manifest, request({ into: 'elsewhere' }));
  expect(report).toMatchObject({ target: 'elsewhere' });
  expect(report.kept).toBeUndefined();
  await expect(open('origin').restore(snapshotFiles(content), manifest, request({ into: 'elsewhere' }))).rejects.toMatchObject({ code: 'target-exists' });
});

test('sessions that use the database do not keep it from being swapped', async () => {
  await make('busy', SHOP);
  const { content, manifest } = await archive(open('busy'));
  const user = await Connection.connect(parseTarget(urlOf('busy'), undefined, {}));
  await user.query('BEGIN; SELECT count(*) FROM sale', 'testing');
  expect((await open('busy').restore(snapshotFiles(content), manifest, request())).target).toBe('busy');
});

test('one table comes back in place with its indexes and privileges, the old one is kept', async () => {
  await make('part', SHOP);
  const { content, manifest } = await archive(open('part'));
  await sql('part', 'UPDATE sale SET amount = 0; UPDATE person SET name = NULL');
  const report = await open('part').restore(snapshotFiles(content), manifest, request({ part: 'sale' }));
  expect(report.proof).toMatchObject([{ equal: true }]);
  expect(await sql('part', 'SELECT sum(amount) FROM sale')).toEqual([{ sum: '200010000' }]);
  expect(await sql('part', `SELECT sum(amount) FROM ${report.kept}`)).toEqual([{ sum: '0' }]);
  expect(await sql('part', `SELECT indexname FROM pg_indexes WHERE tablename = 'sale' ORDER BY 1`)).toEqual([{ indexname: 'sale_amount' }, { indexname: 'sale_pkey' }]);
  expect(await sql('part', `SELECT has_table_privilege('pg_monitor', 'sale', 'SELECT') AS may`)).toEqual([{ may: true }]);
  expect((await sql('part', 'SELECT 1 FROM person WHERE name IS NULL')).length).toBe(1000);
});

test('a table that others refer to is not replaced alone, but comes into a database of its own', async () => {
  await make('referred', SHOP);
  const { content, manifest } = await archive(open('referred'));
  const restore = async (more: { into?: string }) => await open('referred').restore(snapshotFiles(content), manifest, request({ part: 'public.person', ...more }));
  await expect(restore({})).rejects.toMatchObject({ code: 'target-exists', message: expect.stringContaining('sale_person_fkey') });
  expect(await restore({ into: 'only_person' })).toMatchObject({ proof: [{ equal: true }] });
  expect(await sql('only_person', 'SELECT count(*) FROM person')).toEqual([{ count: '1000' }]);
  await expect(open('referred').restore(snapshotFiles(content), manifest, request({ part: 'nothing' }))).rejects.toMatchObject({ code: 'path-missing' });
});

test('the content belongs to one moment, whatever is committed meanwhile', async () => {
  await make('moving', SHOP);
  const source = open('moving');
  await using capture = await source.capture(context());
  await sql('moving', 'DELETE FROM sale; INSERT INTO person (name) VALUES (1)');
  const content = await walk(capture);
  const manifest = await capture.manifest();
  expect(manifest.counts['rows']).toBe(21000);
  expect(content.get('/db/moving/data/public.sale.copy')?.length).toBeGreaterThan(100_000);
  expect(unequal(await source.compare(manifest, snapshotFiles(content))).map(({ subject }) => subject)).toEqual(['public.sale', 'public.person', 'sequences']);
});

test('a manifest is not given when a table was not read', async () => {
  await make('unread', SHOP);
  await using capture = await open('unread').capture(context());
  await expect(capture.manifest()).rejects.toMatchObject({ code: 'source-failed', message: expect.stringContaining('public.sale') });
});

test('a session that is ended in the middle of a table fails with the name of the table', async () => {
  await make('killed', `CREATE TABLE big AS SELECT i, repeat('x', 500) AS t FROM generate_series(1, 60000) i`);
  await using capture = await open('killed').capture(context());
  const folderOf = async (name: string, from: typeof capture.root): Promise<typeof capture.root> => {
    const found = (await from.children()).find((entry) => entry.name === name);
    if (found?.type !== 'dir') throw new Error(name);
    return found;
  };
  const data = await folderOf('data', await folderOf('killed', await folderOf('db', capture.root)));
  const [table] = await data.children();
  if (table?.type !== 'file' || table.content.from !== 'stream') throw new Error('no stream');
  let first = true;
  const reading = table.content.write({
    write: async () => {
      if (!first) return;
      first = false;
      await sql('postgres', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'killed' AND query LIKE 'COPY%'`);
    },
  });
  await expect(reading).rejects.toMatchObject({ code: 'source-failed', message: expect.stringContaining('public.big') });
  await expect(capture.manifest()).rejects.toMatchObject({ code: 'source-failed' });
});

test('an archive that fails stops the reading with its own error', async () => {
  await make('fullstore', SHOP);
  await using capture = await open('fullstore').capture(context());
  const full = new Error('no space left');
  const write = async (folder: typeof capture.root): Promise<void> => {
    for (const entry of await folder.children()) {
      if (entry.type === 'dir') await write(entry);
      else if (entry.type === 'file' && entry.content.from === 'stream') await entry.content.write({ write: () => Promise.reject(full) });
    }
  };
  await expect(write(capture.root)).rejects.toThrow('no space left');
});

test('no server, no database and a wrong password are told apart, and the password is not shown', async () => {
  await writeFile(join(folder, 'data', 'pg_hba.conf'), 'local all guest scram-sha-256\nlocal all all trust\n');
  await sql('postgres', `CREATE ROLE guest LOGIN PASSWORD 'right'; SELECT pg_reload_conf()`);
  const guest = openPostgres({ url: urlOf('postgres').replace('postgres@', 'guest@'), password: new Secret('hunter2'), clock: systemClock });
  const refused: unknown = await guest.check().catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'database-unreachable', hint: expect.stringContaining('password') });
  expect(JSON.stringify(refused) + String(refused)).not.toContain('hunter2');
  await expect(open('nowhere').check()).rejects.toMatchObject({ code: 'database-unreachable', message: expect.stringContaining('nowhere') });
  await expect(openPostgres({ url: 'postgres://a@127.0.0.1:1/x', clock: systemClock }).check()).rejects.toMatchObject({ code: 'database-unreachable', transient: true });
});

test('all missing privileges are told at once', async () => {
  await make('closed', `${SHOP} CREATE ROLE weak LOGIN; ALTER TABLE person ENABLE ROW LEVEL SECURITY;`);
  const failed: unknown = await openPostgres({ url: urlOf('closed').replace('postgres@', 'weak@'), clock: systemClock }).check().catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: 'source-failed', message: expect.stringMatching(/BYPASSRLS for the policies of public.person.*SELECT on sequence public.person_id_seq.*SELECT on table public.person.*public.sale/), hint: expect.stringContaining('\\connect closed') });
});

test('a change that waits for a table neither blocks the backup nor is lost in it', async () => {
  await make('waiting', SHOP);
  await using capture = await open('waiting').capture(context());
  const changing = sql('waiting', 'TRUNCATE sale');
  while ((await sql('postgres', `SELECT FROM pg_locks WHERE NOT granted`)).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await walk(capture);
  expect((await capture.manifest()).counts['rows']).toBe(21000);
  await capture[Symbol.asyncDispose]();
  await changing;
});

test('a snapshot that was let go before the end gives no manifest', async () => {
  await make('letgo', SHOP);
  await using capture = await open('letgo').capture(context());
  await walk(capture);
  await sql('postgres', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'letgo' AND state = 'idle in transaction'`);
  await expect(capture.manifest()).rejects.toMatchObject({ code: 'database-failed' });
});

test('a restore that cannot be put in place leaves all as it was and says where the proven copy is', async () => {
  await make('pinned', SHOP);
  const { content, manifest } = await archive(open('pinned'));
  // A prepared transaction belongs to no session, so nobody can end it: the database cannot be renamed.
  await sql('pinned', `BEGIN; DELETE FROM sale; PREPARE TRANSACTION 'pin'`);
  await expect(open('pinned').restore(snapshotFiles(content), manifest, request())).rejects.toMatchObject({ code: 'target-failed', hint: expect.stringContaining('pinned_holdfast_new_') });
  await sql('pinned', `ROLLBACK PREPARED 'pin'`);
  expect(unequal(await open('pinned').compare(manifest, snapshotFiles(content)))).toEqual([]);
}, 40_000);

test('several databases come back together', async () => {
  await make('one', SHOP);
  await make('two', SHOP);
  const source = openPostgres({ url: urlOf('postgres'), databases: ['one', 'two'], clock: systemClock });
  const { content, manifest } = await archive(source);
  await sql('one', 'DROP TABLE sale');
  await sql('postgres', 'DROP DATABASE two');
  const report = await source.restore(snapshotFiles(content), manifest, request());
  expect(report).toMatchObject({ target: 'one, two', kept: expect.stringMatching(/^one_before_\d+_\d+$/) });
  expect(unequal(await source.compare(manifest, snapshotFiles(content)))).toEqual([]);
});

const OLDER = '/usr/lib/postgresql/15/bin';

test.skipIf(!existsSync(OLDER))('a backup of PostgreSQL 15 is restored to 18, proven by what both versions say alike', async () => {
  const older = await mkdtemp(join(tmpdir(), 'holdfast-pg-'));
  await using source = await startEmbedded({ folder: older, binaries: OLDER });
  const url = source.url.replace(/\/postgres$/, '/crossing');
  const run = async (at: string, text: string) => await Connection.with(parseTarget(at, undefined, {}), async (connection) => await connection.query(text, 'testing'));
  await run(source.url, 'CREATE DATABASE crossing');
  await run(url, zooSql('crossing'));
  const { content, manifest } = await archive(openPostgres({ url, clock: systemClock }));
  const report = await open('crossing').restore(snapshotFiles(content), manifest, request());
  expect(unequal(report.proof)).toEqual([]);
  await source.stop();
  await rm(older, { recursive: true });
}, 60_000);
