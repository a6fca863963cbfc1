/** A whole server that is restored in its place. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { Connection } from '../../src/client/postgres/connection.ts';
import { startEmbedded } from '../../src/client/postgres/embedded.ts';
import { parseTarget } from '../../src/client/postgres/target.ts';
import { scratch } from '../fixture/scratch.ts';
import { startRestored } from '../fixture/restored-server.ts';
import { backUp } from '../../src/source/suite.ts';
import { openCluster } from '../../src/source/cluster/cluster.ts';

const signal = new AbortController().signal;
const request = { signal, step: () => undefined, progress: () => undefined };
const sql = async (url: string, text: string): Promise<unknown> => await Connection.with(parseTarget(url, undefined, {}), async (connection) => await connection.query(text, 'testing'));

test('a server comes back in place once it is stopped, and what stood there is kept', async () => {
  await using place = await scratch('cluster');
  await chmod(place.folder, 0o711);
  await mkdir(place.path('server'), { mode: 0o711 });
  const directory = join(place.path('server'), 'data');
  await using server = await startEmbedded({ folder: place.path('server') });
  const source = openCluster({ url: server.url, directory, checkpoint: 'fast', clock: systemClock, environment: {} });
  await sql(server.url, `create table t as select g as id from generate_series(1, 1000) g`);
  const { repository, snapshot, manifest, problems } = await backUp(source);
  expect(problems).toEqual([]);
  await using opened = await repository.files(snapshot);
  expect((await source.compare(manifest, opened.files)).filter(({ equal }) => !equal)).toEqual([]);
  await sql(server.url, 'truncate t');

  await expect(source.restore(opened.files, manifest, request)).rejects.toMatchObject({ code: 'target-exists', message: expect.stringContaining('is running') as unknown });
  await server.stop();
  await chmod(place.path('server'), 0o711);
  const report = await source.restore(opened.files, manifest, request);
  expect(report.kept).toMatch(/data\.before-\d{8}-\d{6}$/);
  expect(report.proof.filter(({ equal }) => !equal)).toEqual([]);
  await using restored = await startRestored(directory, 18);
  expect(await sql(restored.url('postgres'), 'select count(*)::int as n, sum(id)::int as s from t')).toEqual([{ n: 1000, s: 500_500 }]);
  await expect(source.restore(opened.files, manifest, { ...request, part: 'public.t' })).rejects.toMatchObject({ code: 'usage' });
  await expect(source.restore(opened.files, manifest, { ...request, into: directory })).rejects.toMatchObject({ code: 'target-exists' });
}, 60_000);
