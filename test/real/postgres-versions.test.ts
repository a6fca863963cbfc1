import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { serverAccess, type ServerAccess } from '../fixture/postgres-access.ts';
import { MAJORS, postgresOf } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';
import { SMALL_ZOO } from '../fixture/small-zoo.ts';

let access: ServerAccess;

beforeAll(async () => {
  access = await serverAccess(['local all all trust', 'host all postgres all trust', 'hostssl all keeper all md5']);
});

afterAll(async () => await access[Symbol.asyncDispose]());

/** The schema as pg_dump of Debian (15) says it; of newer servers it can say nothing. */
async function schemaOf(url: string, major: number): Promise<string> {
  if (major > 15) return '';
  return (await run('pg_dump', ['--schema-only', '--restrict-key=x', url])).stdout;
}

describe.each(MAJORS.map((major) => ({ major })))('a database of PostgreSQL $major', ({ major }) => {
  it('comes back equal from a superuser over a Unix socket, and over TLS from a user with just the rights that were asked for', async () => {
    await using server = await postgresOf(major, access.settings);
    await psql(server.url, 'create database zoo');
    const url = server.database('zoo');
    await psql(url, SMALL_ZOO);
    const [content, schema] = [await contentOf(url), await schemaOf(url, major)];

    const { port } = new URL(url);
    const socket = (await psql(url, 'show unix_socket_directories')).trim();
    const bySocket = [`url: "postgres://postgres@${encodeURIComponent(socket)}:${port}/zoo"`];
    const passwords = access.path(`passwords-${major}`);
    await writeFile(passwords, `localhost:${port}:zoo:keeper:se\\:cret\n`, { mode: 0o600 });
    await using stack = await databaseStack(bySocket, { PGPASSFILE: passwords });
    await stack.holdfast('backup');
    await stack.holdfast('restore', '--into', 'by_superuser', 'db');
    expect(await contentOf(server.database('by_superuser'))).toBe(content);
    expect(await schemaOf(server.database('by_superuser'), major)).toBe(schema);

    await psql(url, `create role keeper login password 'se:cret'`);
    await stack.configure([`url: "postgres://keeper@localhost:${port}/zoo?sslmode=verify-full&sslrootcert=${access.path('ca.pem')}"`]);
    const refused = await stack.attempt(['backup']);
    expect(refused.code).toBe(1);
    // What the error says to run is all that is needed, and psql takes it as it stands.
    const [, script = ''] = /Run with psql as a superuser:\n((?: {4}.*\n)+)/.exec(refused.stdout + refused.stderr) ?? [];
    await psql(server.url, script);
    await stack.holdfast('backup');
    await stack.configure(bySocket);
    await stack.holdfast('restore', '--into', 'by_keeper', 'db');
    expect(await contentOf(server.database('by_keeper'))).toBe(content);
  });
});
