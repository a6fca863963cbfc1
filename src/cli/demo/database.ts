/** The demo's database: at least 150 MB in the shape of a real product's, loaded in seconds. */
import pg from 'pg';
import { JUMPS, jumpsSql, peopleSql, pointsSql, sessionSql } from './data-sql.ts';
import { changeSql, finishSql, jumpKeysSql, pointKeysSql } from './finish-sql.ts';
import { schemaSql } from './schema-sql.ts';

export const DEMO_DATABASE = 'tempo_insights';

export interface DemoDatabase {
  readonly url: string;
  /** As `pg_database_size` says. */
  readonly bytes: number;
}

/** Makes the database on the server of this URL (of a superuser) and fills it. There must be none of that name. */
export async function createDemoDatabase(serverUrl: string, name: string = DEMO_DATABASE): Promise<DemoDatabase> {
  await using server = await connect(serverUrl);
  await server.run(`create database ${pg.escapeIdentifier(name)}`);
  const url = withDatabase(serverUrl, name);
  // Two sessions, because a query of one session computes on one core only.
  await using one = await connect(url);
  await using two = await connect(url);
  for (const sql of schemaSql) await one.run(sql);
  await Promise.all([one.run(sessionSql), two.run(sessionSql)]);
  const half = Math.floor(JUMPS * 0.6);
  await Promise.all([
    one.run(peopleSql, jumpsSql(1, JUMPS), pointsSql(half + 1, JUMPS)),
    two.run(pointsSql(1, half)),
  ]);
  await Promise.all([one.run(jumpKeysSql), two.run(pointKeysSql)]);
  await one.run(...finishSql);
  return { url, bytes: await one.number('select pg_database_size(current_database())') };
}

/** One per cent of the rows, as a day of use changes them: new jumps, a few edits. */
export async function changeOnePercent(databaseUrl: string): Promise<void> {
  await using session = await connect(databaseUrl);
  const added = JUMPS / 100;
  const last = await session.number('select max(id) from logbook.jumps');
  await session.run(sessionSql, jumpsSql(last + 1, last + added), pointsSql(last + 1, last + added), changeSql);
}

/** The same server and user, another database. */
function withDatabase(url: string, name: string): string {
  return url.replace(/^(\w+:\/\/[^/?#]*)(\/[^?#]*)?/, (_all, server: string) => `${server}/${encodeURIComponent(name)}`);
}

interface Session extends AsyncDisposable {
  run(...statements: readonly string[]): Promise<void>;
  number(sql: string): Promise<number>;
}

async function connect(url: string): Promise<Session> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return {
    async run(...statements) {
      for (const sql of statements) await client.query(sql);
    },
    async number(sql) {
      const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
      return Number(rows[0]?.[0]);
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
