import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { startEmbedded } from '../../client/postgres/embedded.ts';
import { scratch } from '../../../test/fixture/scratch.ts';
import { backUp } from '../suite.ts';
import { openCluster } from './cluster.ts';
import { readClusterDetail } from './manifest.ts';

const signal = new AbortController().signal;
const request = { signal, step: () => undefined, progress: () => undefined };

test('a running server is backed up and compared, and never overwritten', async () => {
  await using place = await scratch('cluster');
  await chmod(place.folder, 0o711);
  await mkdir(place.path('server'), { mode: 0o711 });
  const directory = join(place.path('server'), 'data');
  await using server = await startEmbedded({ folder: place.path('server') });
  const source = openCluster({ url: server.url, directory, checkpoint: 'fast', clock: systemClock, environment: {} });
  const { repository, snapshot, manifest, problems } = await backUp(source);
  expect(problems).toEqual([]);
  expect(manifest).toMatchObject({ kind: 'cluster', consistency: 'transactional', leftOut: [] });
  expect(readClusterDetail(manifest)).toMatchObject({ timeline: 1, segmentBytes: 16 << 20, blockBytes: 8192, standby: false, settings: { wal_level: 'replica' } });
  await using opened = await repository.files(snapshot);
  expect((await source.compare(manifest, opened.files)).filter(({ equal }) => !equal)).toEqual([]);
  await expect(source.restore(opened.files, manifest, request)).rejects.toMatchObject({ code: 'target-exists', message: expect.stringContaining('is running') as unknown });
  await expect(source.restore(opened.files, manifest, { ...request, part: 'public.t' })).rejects.toMatchObject({ code: 'usage' });
  await expect(source.restore(opened.files, manifest, { ...request, into: directory })).rejects.toMatchObject({ code: 'target-exists' });
}, 60_000);

test('a server that writes too little log is refused, with what to change', async () => {
  await using place = await scratch('cluster');
  await chmod(place.folder, 0o711);
  await using server = await startEmbedded({ folder: place.path('server'), settings: { wal_level: 'minimal', max_wal_senders: '0' } });
  const source = openCluster({ url: server.url, checkpoint: 'fast', clock: systemClock, environment: {} });
  await expect(source.check()).rejects.toMatchObject({ hint: expect.stringContaining('max_wal_senders') as unknown });
}, 30_000);
