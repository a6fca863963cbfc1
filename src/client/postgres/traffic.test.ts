import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { embeddedPostgres } from '../../../test/fixture/postgres-server.ts';
import { tcpProxy } from '../../../test/fixture/tcp-proxy.ts';
import { Connection } from './connection.ts';
import { copyOut } from './copy-out.ts';
import { parseTarget } from './target.ts';
import { TrafficMeter } from './traffic.ts';

describe('the meter of connections', () => {
  it('counts what goes over their sockets, also after they are closed and while rows flow past the driver', async () => {
    await using server = await embeddedPostgres();
    await using proxy = await tcpProxy(Number(new URL(server.url).port));
    const meter = new TrafficMeter();
    const target = { ...parseTarget(`postgres://postgres@127.0.0.1:${proxy.port}/postgres`, undefined, {}), meter };
    const sent = randomBytes(50_000).toString('hex');
    await Connection.with(target, async (connection) => {
      await connection.query(`CREATE TABLE t AS SELECT '${sent}' AS a FROM generate_series(1, 100)`, 'filling');
      await copyOut(connection, 'COPY t TO STDOUT', 'reading', () => Promise.resolve());
    });
    await Connection.with(target, async (connection) => void (await connection.query('SELECT 1', 'asking')));
    expect(meter.sent).toBe(proxy.passed());
    expect(meter.received).toBeGreaterThan(100 * 100_001);
    expect(meter.received).toBeLessThan(101 * 100_001);
  });
});
