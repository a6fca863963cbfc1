import { readdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, it } from 'vitest';
import { createDemoDatabase } from '../../src/cli/demo/database.ts';
import { parseTarget } from '../../src/client/postgres/target.ts';
import { wasmDump } from '../../src/client/postgres/wasm-dump.ts';
import { embeddedPostgres } from '../fixture/postgres-server.ts';
import { HOLDFAST, PASSWORD } from '../fixture/holdfast.ts';
import { run, type RunResult } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

/** What pg_dump 18 says of the schema. Debian has none, so it is the one of WASM. */
async function schema(url: string): Promise<string> {
  const script = await wasmDump(parseTarget(url, undefined, {}), ['--schema-only'], new AbortController().signal);
  return script.toString().split('\n').filter((line) => !/^\\(un)?restrict /.test(line)).join('\n');
}

it('the schema of the demo database on PostgreSQL 18 comes back equal from Holdfast, and from restic and psql alone', async () => {
  await using server = await embeddedPostgres();
  const { url } = await createDemoDatabase(server.url);
  const before = await schema(url);
  for (const part of ['CREATE POLICY', 'ATTACH PARTITION', 'MATERIALIZED VIEW', 'CREATE TRIGGER', 'GENERATED ALWAYS', 'CREATE DOMAIN', 'GRANT ']) {
    expect(before).toContain(part);
  }
  await using place = await scratch('schema');
  const holdfast = (...args: readonly string[]): Promise<RunResult> => run(HOLDFAST, args, { cwd: place.folder });
  await writeFile(place.path('password'), PASSWORD, { mode: 0o600 });
  await holdfast('init', '--stack', 'test', '--postgres', url, '--repository', 'repository', '--password-file', 'password');
  await holdfast('backup');
  await run('psql', ['-XAtqc', 'drop database tempo_insights', server.url]);
  await holdfast('restore', '--yes');
  expect(await schema(url)).toBe(before);

  await run('restic', ['--repo', place.path('repository'), '--password-file', place.path('password'), '--no-cache', 'restore', 'latest', '--target', place.path('out')]);
  const script = (await readdir(place.path('out'), { recursive: true })).find((name) => name.endsWith('restore.sql')) ?? '';
  const folder = dirname(place.path('out', script));
  // On another server, which knows none of the roles.
  await using other = await embeddedPostgres();
  await run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', other.url, '-f', '../globals.sql'], { cwd: folder });
  await run('psql', ['-XAtqc', 'create database by_hand', other.url]);
  await run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', other.database('by_hand'), '-f', 'restore.sql'], { cwd: folder });
  expect(await schema(other.database('by_hand'))).toBe(before);
});
