import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Connection } from './connection.ts';
import { startEmbedded } from './embedded.ts';
import { parseTarget } from './target.ts';

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test('a server starts, answers over TCP when asked to listen, and stops', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-embedded-'));
  const server = await startEmbedded({ folder, settings: { listen_addresses: '127.0.0.1' } });
  expect(server.url).toMatch(/^postgres:\/\/postgres@127\.0\.0\.1:\d+\/postgres$/);
  const rows = await Connection.with(parseTarget(server.url, undefined, {}), async (connection) => await connection.query<{ v: string }>('SHOW server_version', 'testing'));
  expect(rows).toEqual([{ server_version: server.version }]);
  await server.stop();
  await server.stop();
  await rm(folder, { recursive: true });
}, 30_000);

test('a server does not outlive its parent, even when that is killed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-embedded-'));
  const module = new URL('./embedded.ts', import.meta.url).href;
  const script = `const { startEmbedded } = await import('${module}'); await startEmbedded({ folder: '${folder}' }); console.log('up'); setInterval(() => 0, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const pid = Number((await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
  expect(alive(pid)).toBe(true);
  child.kill('SIGKILL');
  for (let tries = 0; alive(pid) && tries < 100; tries++) await wait(50);
  expect(alive(pid)).toBe(false);
  await promisify(execFile)('rm', ['-r', folder]);
}, 30_000);
