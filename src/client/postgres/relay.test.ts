import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Connection } from './connection.ts';
import { startEmbedded } from './embedded.ts';
import { openRelay } from './relay.ts';
import { parseTarget } from './target.ts';
import { TrafficMeter } from './traffic.ts';

it('counts the bytes of whoever goes through it, and ends with its scope', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-relay-'));
  try {
    await using server = await startEmbedded({ folder, settings: { listen_addresses: '127.0.0.1' } });
    const target = parseTarget(server.url, undefined, {});
    if (target.host.startsWith('/')) throw new Error('the embedded server is asked by TCP');
    const meter = new TrafficMeter();
    const port = await (async () => {
      await using relay = await openRelay(target, meter);
      if (relay === undefined) throw new Error('no relay');
      expect(relay.target.host).toBe(target.host);
      const seen = await Connection.with(relay.target, async (connection) => await connection.query(`SELECT repeat('x', 100000) AS x`, 'testing'));
      expect(seen).toHaveLength(1);
      return relay.target.port;
    })();
    expect(meter.received).toBeGreaterThan(100_000);
    expect(meter.received).toBeLessThan(110_000);
    expect(meter.sent).toBeGreaterThan(50);
    await expect(Connection.connect({ ...target, address: '127.0.0.1', port })).rejects.toMatchObject({ code: 'database-unreachable' });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 30_000);

it('is none for a Unix socket, over which nothing goes through a network', async () => {
  expect(await openRelay(parseTarget('postgres://u@%2Frun%2Fpostgresql/d', undefined, {}), new TrafficMeter())).toBeUndefined();
});
