/** Base backups of servers that are reached otherwise: a standby, one that speaks TLS only, one that compresses, one that takes its time. */
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { contentOf, databaseStack, psql, type DatabaseStack } from '../fixture/database-stack.ts';
import { serverAccess } from '../fixture/postgres-access.ts';
import { DEBIAN_POSTGRES, debianPostgres, embeddedPostgres } from '../fixture/postgres-server.ts';
import { startRestored } from '../fixture/restored-server.ts';
import { run } from '../fixture/run.ts';
import { standbyOf } from '../fixture/standby.ts';
import { sleep } from '../../src/base/clock.ts';

const FILL = 'create table t (id int primary key, v text); insert into t select g, repeat(md5(g::text), 6) from generate_series(1, 20000) g;';

/** Restores to the folder `data`, has pg_verifybackup look at it, and says what a server that is started on it holds. */
async function restoredContent(stack: DatabaseStack): Promise<string> {
  await stack.holdfast('restore', 'db', '--into', stack.path('data'));
  expect((await run(join(DEBIAN_POSTGRES, 'pg_verifybackup'), [stack.path('data')])).stdout).toContain('successfully verified');
  await using restored = await startRestored(stack.path('data'), 15);
  return await contentOf(restored.url('postgres'));
}

test('a standby whose log lacks whole pages is refused, with what to change', async () => {
  await using primary = await debianPostgres({ full_page_writes: 'off' });
  await psql(primary.url, FILL);
  await using standby = await standbyOf(primary.url);
  await using stack = await databaseStack([`url: ${standby.url}`, 'physical: true']);
  const refused = await stack.attempt(['backup']);
  expect(refused.code).toBe(1);
  expect(refused.stdout + refused.stderr).toContain('set full_page_writes = on at the primary');
}, 60_000);

test('a standby is backed up, and what is restored of it is a server of its own', async () => {
  await using primary = await debianPostgres({ full_page_writes: 'on' });
  await psql(primary.url, FILL);
  await using standby = await standbyOf(primary.url);
  const [lsn = ''] = (await psql(primary.url, 'select pg_current_wal_lsn()')).split('\n');
  await until(async () => (await psql(standby.url, `select pg_last_wal_replay_lsn() >= '${lsn}'`)) === 't\n');
  await using stack = await databaseStack([`url: ${standby.url}`, 'physical: true']);
  await stack.holdfast('backup');
  expect(await restoredContent(stack)).toBe(await contentOf(primary.url));
}, 90_000);

test('over TLS with a verified name, compressed by the server, the same comes back, past what a killed restore has left', async () => {
  await using access = await serverAccess(['local all all trust', 'hostssl all postgres all trust']);
  await using server = await debianPostgres(access.settings);
  const url = `postgres://postgres@localhost:${new URL(server.url).port}/postgres?sslmode=verify-full&sslrootcert=`;
  await psql(server.url, FILL);
  await using stack = await databaseStack([`url: "${url}${access.path('ca.pem')}"`, 'physical: { compression: server }']);
  const first = JSON.parse((await stack.holdfast('backup', '--json')).stdout) as { readonly stores: readonly { readonly snapshot: string }[] };
  await mkdir(stack.path('data.holdfast-new'));
  expect(await restoredContent(stack)).toBe(await contentOf(server.url));
  await stat(stack.path('data.holdfast-new'));
  await psql(server.url, 'update t set v = upper(v)');
  await stack.holdfast('backup');
  expect((await stack.holdfast('diff', first.stores[0]?.snapshot ?? '', 'db')).stdout).toMatch(/^M +\/db\/data\/base\//m);
  await stack.holdfast('check');
  await stack.configure([`url: "${url}${access.path('other.pem')}"`, 'physical: true']);
  expect(await stack.attempt(['backup'])).toMatchObject({ code: 1 });
}, 90_000);

test('a server that cannot compress is backed up all the same', async () => {
  await using server = await embeddedPostgres();
  await using stack = await databaseStack([`url: ${server.url}`, 'physical: { compression: server }']);
  await stack.holdfast('backup');
  await stack.holdfast('verify', 'db');
}, 60_000);

test('a backup that waits for the next checkpoint begins with it', async () => {
  await using server = await debianPostgres({ checkpoint_timeout: '30s', checkpoint_completion_target: '0.1' });
  await using stack = await databaseStack([`url: ${server.url}`, 'physical: { checkpoint: spread }']);
  await psql(server.url, FILL);
  const backup = stack.holdfast('backup');
  await until(async () => (await psql(server.url, `select count(*) from pg_stat_progress_basebackup where phase = 'waiting for checkpoint to finish'`)) === '1\n');
  await psql(server.url, 'checkpoint');
  await backup;
  expect(await restoredContent(stack)).toBe(await contentOf(server.url));
}, 90_000);

async function until(met: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await met()) return;
    await sleep(50);
  }
  throw new Error('it did not come to pass');
}
