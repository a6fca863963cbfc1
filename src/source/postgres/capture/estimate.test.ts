import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CaptureContext, Estimate, Traffic } from '../../source.ts';
import { archive, context, type Archived } from '../fixture/archive.ts';
import { startDatabases, type Databases } from '../fixture/database.ts';

const MIXED = `CREATE TABLE wide (id int PRIMARY KEY, j jsonb, b bytea, n numeric, t text);
  INSERT INTO wide SELECT i, jsonb_build_object('i', i, 'v', repeat('"', i % 20)), decode(repeat('00ff', i % 100), 'hex'), i / 7.0, CASE WHEN i % 3 > 0 THEN repeat('text ' || i, i % 30) END FROM generate_series(1, 20000) i;
  CREATE TABLE narrow AS SELECT i, i * 2 AS j FROM generate_series(1, 200000) i; CREATE TABLE small (t text); INSERT INTO small VALUES ('a'), (NULL); CREATE TABLE empty (n int);
  SELECT lo_from_bytea(70001, decode(repeat('00ff', 200000), 'hex'))`;
const SIZES = { threshold: 1024 * 1024, piece: 256 * 1024 };
let databases: Databases;

beforeAll(async () => {
  databases = await startDatabases();
  await databases.make('mixed', MIXED);
}, 60_000);
afterAll(async () => await databases[Symbol.asyncDispose]());

async function estimate(more: Partial<Omit<CaptureContext, 'previous'>>, previous?: Archived): Promise<Estimate> {
  const found = await databases.open('mixed', { sizes: SIZES }).estimate?.({ ...context(), ...more, previous: previous && { snapshotId: 'memory', manifest: previous.manifest } });
  if (found === undefined) throw new Error('no estimate');
  return found;
}

async function moved(more: Partial<Omit<CaptureContext, 'previous'>>, previous?: Archived): Promise<{ made: Archived; traffic: Traffic }> {
  const told: Traffic[] = [];
  const made = await archive(databases.open('mixed', { sizes: SIZES }), { ...more, previous, traffic: (traffic) => void told.push(traffic) });
  const [traffic] = told;
  if (traffic === undefined || told.length > 1) throw new Error('told other than once');
  return { made, traffic };
}

test('an estimate is near what the backup then receives, and costs next to nothing itself', async () => {
  const before = await estimate({});
  const first = await moved({ frugal: true });
  expect(before.bytes / first.traffic.received).toBeGreaterThan(0.75);
  expect(before.bytes / first.traffic.received).toBeLessThan(1.25);
  expect(before.spent.received).toBeLessThan(20_000);
  expect(before.items.map(({ subject }) => subject)).toEqual(['public.wide', 'public.narrow', 'large objects', 'public.small', 'public.empty']);
  // What the manifest says was counted before the sessions said goodbye.
  expect(first.made.manifest.traffic?.received).toBeLessThanOrEqual(first.traffic.received);

  await databases.sql('mixed', `UPDATE wide SET n = 0 WHERE id < 3000; INSERT INTO small VALUES ('b')`);
  const frugal = await estimate({ frugal: true }, first.made);
  const second = await moved({ frugal: true }, first.made);
  expect(frugal.bytes / second.traffic.received).toBeGreaterThan(0.75);
  expect(frugal.bytes / second.traffic.received).toBeLessThan(1.25);
  expect(frugal.items.filter(({ unchanged }) => unchanged).map(({ subject }) => subject).toSorted()).toEqual(['large objects', 'public.empty', 'public.narrow']);
  expect(second.traffic.received).toBeLessThan(first.traffic.received / 5);
});

test('an estimate of a part is of that part', async () => {
  const part = await estimate({ part: { tables: ['public.narrow'] } });
  expect(part.items.map(({ subject }) => subject)).toEqual(['public.narrow']);
  expect((await estimate({ part: { only: 'schema' } })).items).toEqual([]);
  await expect(estimate({ part: { tables: ['public.narow'] } })).rejects.toMatchObject({ code: 'source-missing', message: 'The store db has no table public.narow (did you mean public.narrow?).' });
});

test('what a failed backup has moved is told, too', async () => {
  const told: Traffic[] = [];
  const failed = databases.open('mixed').capture({ ...context(), part: { tables: ['nothing.here'] }, traffic: (traffic) => void told.push(traffic) });
  await expect(failed).rejects.toMatchObject({ code: 'source-missing' });
  expect(told).toHaveLength(1);
  expect(told[0]?.received).toBeGreaterThan(1000);
});
