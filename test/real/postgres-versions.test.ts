import { describe, expect, it } from 'vitest';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { MAJORS, postgresOf } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';
import { SMALL_ZOO } from '../fixture/small-zoo.ts';

/** The schema as pg_dump of Debian (15) says it; of newer servers it can say nothing. */
async function schemaOf(url: string, major: number): Promise<string> {
  if (major > 15) return '';
  return (await run('pg_dump', ['--schema-only', '--restrict-key=x', url])).stdout;
}

describe.each(MAJORS.map((major) => ({ major })))('a database of PostgreSQL $major', ({ major }) => {
  it('comes back equal from a superuser, and from a user with just the rights that were asked for', async () => {
    await using server = await postgresOf(major);
    await psql(server.url, 'create database zoo');
    const url = server.database('zoo');
    await psql(url, SMALL_ZOO);
    const [content, schema] = [await contentOf(url), await schemaOf(url, major)];

    await using stack = await databaseStack([`url: ${url}`]);
    await stack.holdfast('backup');
    await stack.holdfast('restore', '--into', 'by_superuser', 'db');
    expect(await contentOf(server.database('by_superuser'))).toBe(content);
    expect(await schemaOf(server.database('by_superuser'), major)).toBe(schema);

    await psql(url, 'create role keeper login');
    await stack.configure([`url: ${url.replace('postgres@', 'keeper@')}`]);
    const refused = await stack.attempt(['backup']);
    expect(refused.code).toBe(1);
    // What the error says to run is all that is needed, and psql takes it as it stands.
    const [, script = ''] = /Run with psql as a superuser:\n((?: {4}.*\n)+)/.exec(refused.stdout + refused.stderr) ?? [];
    await psql(server.url, script);
    await stack.holdfast('backup');
    await stack.configure([`url: ${url}`]);
    await stack.holdfast('restore', '--into', 'by_keeper', 'db');
    expect(await contentOf(server.database('by_keeper'))).toBe(content);
  });
});
