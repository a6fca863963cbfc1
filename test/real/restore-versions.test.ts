import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { openPostgres } from '../../src/source/postgres/postgres.ts';
import { archive, request, snapshotFiles, type Archived } from '../../src/source/postgres/fixture/archive.ts';
import { contentOf, psql } from '../fixture/database-stack.ts';
import { postgresOf, type TestServer } from '../fixture/postgres-server.ts';
import { SMALL_ZOO } from '../fixture/small-zoo.ts';

/** What changed its meaning or its spelling between the versions. */
const TRAPS = `create function app.larger(anyarray) returns int language sql immutable as 'select array_length($1, 1)';
create table app.needs (a int not null, b text not null default 'x', constraint a_set check (a is not null)); insert into app.needs values (1);
grant create on schema public to zoo_reader; comment on schema public is 'ours';
create publication news for table app.orders;
create index on app.event (day); create statistics app.st on customer, amount from app.orders;
create procedure app.p(a int) language sql as 'select 1'; create type app.r as range (subtype = float8);
create view app.who as select current_user, xmin::text from app.needs;`;

async function zoo(major: Parameters<typeof postgresOf>[0]): Promise<{ server: TestServer; archived: Archived; content: string }> {
  const server = await postgresOf(major);
  await psql(server.url, 'create database zoo');
  await psql(server.database('zoo'), SMALL_ZOO + TRAPS);
  const archived = await archive(openPostgres({ url: server.database('zoo'), clock: systemClock }));
  return { server, archived, content: await contentOf(server.database('zoo')) };
}

describe('a backup of an older server', () => {
  it.each([
    [12, 18], [13, 18], [14, 18], [15, 18], [16, 18], [17, 18], [12, 15], [14, 16], [15, 17],
  ] as const)('of PostgreSQL %s comes back on %s, every line of its catalogue accounted for', async (from, to) => {
    const { server, archived, content } = await zoo(from);
    await using _source = server;
    await using target = await postgresOf(to);
    const source = openPostgres({ url: target.database('zoo'), clock: systemClock });
    const report = await source.restore(snapshotFiles(archived.content), archived.manifest, request());
    expect(report.proof.filter(({ equal }) => !equal)).toEqual([]);
    expect(await contentOf(target.database('zoo'))).toBe(content);
  });

  it('of a newer server is refused by an older one, but its rows go there', async () => {
    const { server, archived } = await zoo(17);
    await using _source = server;
    await using target = await postgresOf(14);
    const source = openPostgres({ url: target.database('zoo'), clock: systemClock });
    const files = snapshotFiles(archived.content);
    await expect(source.restore(files, archived.manifest, request())).rejects.toMatchObject({ code: 'missing-on-target', message: expect.stringContaining('comes from PostgreSQL 17 and the server is 14') });
    await psql(target.url, 'create database zoo');
    await psql(target.database('zoo'), SMALL_ZOO + TRAPS);
    const report = await source.restore(files, archived.manifest, { ...request(), only: 'data', clean: true });
    expect(report.proof.every(({ equal }) => equal)).toBe(true);
  });
});
