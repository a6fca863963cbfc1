import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { startEmbedded, type EmbeddedServer } from '../../client/postgres/embedded.ts';
import { parseTarget } from '../../client/postgres/target.ts';
import type { ProofLine, Source } from '../source.ts';
import { archive, request, snapshotFiles } from './fixture/archive.ts';
import { zooSql } from './fixture/zoo.ts';
import { openPostgres } from './postgres.ts';

let folder: string;
let server: EmbeddedServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-pg-'));
  const binaries = process.env['HOLDFAST_TEST_POSTGRES'];
  server = await startEmbedded({ folder, ...(binaries === undefined ? {} : { binaries }) });
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
  expect(unequal(await source.compare(manifest))).toEqual([]);
  const again = await archive(source);
  expect(again.content.get('/db/zoo/catalog.json')?.toString()).toBe(content.get('/db/zoo/catalog.json')?.toString());
  expect(await sql(report.kept ?? '', 'SELECT count(*) FROM app.event WHERE what IS NULL')).toEqual([{ count: '500' }]);
}, 60_000);
