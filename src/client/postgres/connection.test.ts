import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sleep } from '../../base/clock.ts';
import { Connection } from './connection.ts';
import { copyOut } from './copy-out.ts';
import { startEmbedded } from './embedded.ts';
import { parseTarget } from './target.ts';

const READY = Buffer.from([0x5a, 0, 0, 0, 5]);

/** A relay from which what the server says at the end of a command, that it is ready, comes a moment after the rest. */
async function lateReady(port: number): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far);
    near.on('error', () => far.destroy());
    let before = Promise.resolve();
    far.on('data', (bytes) => {
      const at = bytes.indexOf(READY);
      before = before.then(async () => {
        if (at > 0) near.write(bytes.subarray(0, at));
        if (at > 0) await sleep(40);
        near.write(at > 0 ? bytes.subarray(at) : bytes);
      });
    });
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: async () => void (await new Promise((resolve) => server.close(resolve))) };
}

test('a command that takes the connection over is not ended by the late end of one that was refused before it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-connection-'));
  try {
    await using server = await startEmbedded({ folder, settings: { listen_addresses: '127.0.0.1' } });
    await using relay = await lateReady(Number(new URL(server.url).port));
    await using connection = await Connection.connect(parseTarget(server.url.replace(/:\d+\//, `:${relay.port}/`), undefined, {}));
    await expect(connection.query('SELECT * FROM nowhere', 'asking for what is not there')).rejects.toMatchObject({ code: 'database-failed' });
    expect(await copyOut(connection, 'COPY (SELECT generate_series(1, 5)) TO STDOUT', 'copying', () => undefined)).toMatchObject({ rows: 5 });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
