import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { postgresOf } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';

// Of 12 and 13 no range of blocks can be read without reading all, so there a table is one file.
it.each([{ major: 13, pieces: 1 }, { major: 15, pieces: 3 }] as const)('a large table on PostgreSQL $major comes back equal from Holdfast, and from restic and psql alone', async ({ major, pieces }) => {
  await using server = await postgresOf(major);
  await psql(server.url, 'create database large');
  const url = server.database('large');
  await psql(url, `create table big (id int, t text); insert into big select i, repeat(md5(i::text), 10) from generate_series(1, 400000) i; create table small (n int); insert into small values (1);`);
  await using stack = await databaseStack([`url: ${url}`]);
  const before = await contentOf(url);
  await stack.holdfast('backup');
  await stack.holdfast('verify');
  await stack.holdfast('restore', '--into', 'large_copy');
  expect(await contentOf(server.database('large_copy'))).toBe(before);

  await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'restore', 'latest', '--target', stack.path('out')]);
  const names = await readdir(stack.path('out'), { recursive: true });
  expect(names.filter((name) => /\/data\/public\.big.*\.copy$/.test(name))).toHaveLength(pieces);
  const script = stack.path('out', names.find((name) => name.endsWith('restore.sql')) ?? '');
  await psql(server.url, 'create database by_hand');
  await run('psql', ['-Xq', '-d', server.database('by_hand'), '-f', 'restore.sql'], { cwd: join(script, '..') });
  expect(await contentOf(server.database('by_hand'))).toBe(before);
});
