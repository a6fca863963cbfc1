import { spawn } from 'node:child_process';
import { rename } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { sleep } from '../../src/base/clock.ts';
import { restlessServer, type RestlessServer } from '../fixture/restless-server.ts';
import { run } from '../fixture/run.ts';
import { tcpProxy } from '../fixture/tcp-proxy.ts';
import { expectWhole, walStack } from '../fixture/wal-follower.ts';

const WRITES = 'create table if not exists t (i bigserial primary key, x text)';

/** Writes for as long as it is not disposed, whatever happens to the server. */
function writer(server: RestlessServer): Disposable {
  const loop = `while true; do psql -XAtq '${server.url}' -c "insert into t (x) select repeat(md5(random()::text), 8) from generate_series(1, 400)" >/dev/null 2>&1 || sleep 0.1; done`;
  const child = spawn('/bin/bash', ['-c', loop], { detached: true, stdio: 'ignore' });
  return { [Symbol.dispose]: () => void (child.pid !== undefined && process.kill(-child.pid, 'SIGKILL')) };
}

const acknowledged = (server: RestlessServer): Promise<string> => server.sql("select restart_lsn from pg_replication_slots where slot_name = 'holdfast_db'");

/** Milliseconds that differ from time to time and from run to run: what is tried is any moment. */
const moment = (): number => 200 + Math.random() * 1200;

it('kill -9 of the follower at any moment loses no log that the server was told is safe', async () => {
  await using server = await restlessServer();
  await server.sql(WRITES);
  await using stack = await walStack(server.url);
  using _writer = writer(server);
  for (let round = 0; round < 8; round++) {
    const follower = stack.follow();
    // The first one gets so far that there is something to judge.
    await follower.event(({ kind }) => kind === (round === 0 ? 'stored' : 'connected'));
    await sleep(moment());
    await follower.kill();
    await expectWhole(stack, server.data, await acknowledged(server));
  }
  const follower = stack.follow('--once');
  expect(await follower.ended).toBe(0);
  expect((await stack.holdfast(['check', '--read-data'])).code).toBe(0);
});

it('kill -9 of the server, and of both at once, loses none either', async () => {
  await using server = await restlessServer();
  await server.sql(WRITES);
  await using stack = await walStack(server.url);
  using _writer = writer(server);
  let follower = stack.follow();
  await follower.event(({ kind }) => kind === 'stored');
  for (let round = 0; round < 4; round++) {
    await sleep(moment());
    const seen = follower.events.length;
    await server.kill();
    if (round % 2 === 1) await follower.kill();
    await server.start();
    if (round % 2 === 1) follower = stack.follow();
    await follower.event(({ kind }) => kind === 'stored', round % 2 === 1 ? 0 : seen);
    await expectWhole(stack, server.data, await acknowledged(server));
  }
  await server.stop();
  follower.signal('SIGTERM');
  expect(await follower.ended).toBe(0);
});

it('a connection that is cut, and a server that stops in order, are waited for', async () => {
  await using server = await restlessServer();
  await server.sql(WRITES);
  await using proxy = await tcpProxy(server.port);
  await using stack = await walStack(server.url.replace(String(server.port), String(proxy.port)));
  using _writer = writer(server);
  const follower = stack.follow();
  for (let round = 0; round < 3; round++) {
    const seen = follower.events.length;
    await follower.event(({ kind }) => kind === 'stored', seen);
    proxy.cutAfter(100, 1500);
    await follower.event(({ kind }) => kind === 'connected', seen + 1);
  }
  await follower.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  const began = performance.now();
  await server.stop();
  // The server waits for the follower, which stores at once what it has.
  expect(performance.now() - began).toBeLessThan(15_000);
  await server.start();
  const seen = follower.events.length;
  await follower.event(({ kind }) => kind === 'connected', seen);
  await follower.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  follower.signal('SIGTERM');
  expect(await follower.ended).toBe(0);
  await expectWhole(stack, server.data, await acknowledged(server));
});

it('a repository that is out of reach is waited for, and nothing is acknowledged meanwhile', async () => {
  await using server = await restlessServer();
  await server.sql(WRITES);
  await using stack = await walStack(server.url);
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'stored');
  await rename(stack.path('repository'), stack.path('away'));
  const before = await acknowledged(server);
  await server.sql("insert into t (x) select md5(i::text) from generate_series(1, 300000) i");
  await follower.event(({ kind }) => kind === 'retry');
  expect(await acknowledged(server)).toBe(before);
  await rename(stack.path('away'), stack.path('repository'));
  await follower.stored(await server.sql('select pg_current_wal_flush_lsn()'));
  follower.signal('SIGTERM');
  expect(await follower.ended).toBe(0);
  await expectWhole(stack, server.data, await acknowledged(server));
});

it('a standby that is promoted is followed onto its new timeline, with its history', async () => {
  await using primary = await restlessServer();
  await primary.sql(WRITES);
  await using standby = await restlessServer({}, primary);
  await using stack = await walStack(standby.url);
  const follower = stack.follow();
  await primary.sql("insert into t (x) select md5(i::text) from generate_series(1, 100000) i");
  await follower.stored(await primary.sql('select pg_current_wal_flush_lsn()'));
  await standby.sql('select pg_promote()');
  await follower.event(({ kind, to }) => kind === 'timeline' && to === 2);
  await standby.sql("insert into t (x) select md5(i::text) from generate_series(1, 100000) i");
  await follower.stored(await standby.sql('select pg_current_wal_flush_lsn()'));
  follower.signal('SIGTERM');
  expect(await follower.ended).toBe(0);
  const ranges = await expectWhole(stack, standby.data, await acknowledged(standby));
  expect(ranges.map(({ timeline }) => timeline)).toEqual([1, 2]);
  const wal = await stack.wal();
  expect(String(await wal.history(wal.newest?.systemId ?? '', 2))).toMatch(/^1\t0\//);
  // The old primary has gone its own way: it is refused.
  await stack.configure(primary.url);
  await primary.sql("insert into t (x) values ('alone')");
  const refused = await stack.holdfast(['wal', 'follow', '--once']);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('timeline');
});

it('as a synchronous standby it makes commits wait until they are stored', async () => {
  await using server = await restlessServer();
  await server.sql(WRITES);
  await using stack = await walStack(server.url, 'flush: 60s');
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  await server.sql("alter system set synchronous_standby_names = 'holdfast'; select pg_reload_conf()");
  await follower.kill();
  const waiting = stack.follow();
  await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', server.url, '-c', "insert into t (x) values ('safe')"]);
  const end = await server.sql('select pg_current_wal_flush_lsn()');
  await waiting.kill();
  await server.kill();
  const wal = await stack.wal();
  expect(wal.newest?.segments.at(-1)?.ended?.count).toBeGreaterThan(0);
  await server.start();
  await expectWhole(stack, server.data, end.replace(/.$/, '0'));
});
