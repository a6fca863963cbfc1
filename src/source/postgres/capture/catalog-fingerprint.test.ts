import { afterAll, beforeAll, expect, test } from 'vitest';
import { Connection } from '../../../client/postgres/connection.ts';
import { catalogFingerprint } from './catalog-fingerprint.ts';
import { startDatabases, type Databases } from '../fixture/database.ts';
import { prepareReading } from '../session.ts';

let databases: Databases;

beforeAll(async () => void (databases = await startDatabases()), 60_000);
afterAll(async () => await databases[Symbol.asyncDispose]());

const UNCHANGED = [
  'INSERT INTO a SELECT i, i::text FROM generate_series(1, 500) i', 'ANALYZE', 'VACUUM', 'VACUUM FULL a', 'TRUNCATE a', 'REINDEX TABLE a', "SELECT nextval('s')", 'UPDATE a SET t = 1', "SELECT lo_from_bytea(77, 'x')",
  'CREATE TEMP TABLE passing (i int); DROP TABLE passing',
];
const CHANGED = [
  'ALTER TABLE a ADD COLUMN n int', 'ALTER TABLE a ALTER COLUMN t SET DEFAULT 1', 'ALTER TABLE a ALTER COLUMN t SET STATISTICS 7', "COMMENT ON COLUMN a.t IS 'x'", 'GRANT SELECT ON a TO PUBLIC', 'GRANT SELECT (t) ON a TO PUBLIC',
  'CREATE INDEX i ON a (t)', 'CLUSTER a USING i', 'ALTER TABLE a REPLICA IDENTITY FULL', 'ALTER TABLE a ENABLE ROW LEVEL SECURITY', 'CREATE POLICY p ON a USING (true)', 'ALTER TABLE a SET (fillfactor = 70)',
  'CREATE OR REPLACE VIEW v AS SELECT id, t, n FROM a', 'REFRESH MATERIALIZED VIEW m WITH NO DATA', "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 2'",
  'ALTER SEQUENCE s INCREMENT BY 2', 'CREATE TYPE mood AS ENUM ($$a$$)', "ALTER TYPE mood ADD VALUE 'b'", 'CREATE PUBLICATION p FOR ALL TABLES', 'ALTER DATABASE current_one SET work_mem TO $$5MB$$', 'ALTER ROLE someone RENAME TO somebody',
  'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC', 'CREATE STATISTICS st ON id, t FROM a', 'CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION trigger_it()', 'ALTER EVENT TRIGGER e DISABLE', 'DROP VIEW v',
  'ALTER TABLE a RENAME TO b', "COMMENT ON DATABASE current_one IS 'mine'", 'GRANT CONNECT ON DATABASE current_one TO somebody',
];

test('the fingerprint of a catalogue changes with the schema, and not with rows, statistics and housekeeping', async () => {
  await databases.make('current_one', `CREATE TABLE a (id int PRIMARY KEY, t text); CREATE SEQUENCE s; CREATE VIEW v AS SELECT * FROM a; CREATE MATERIALIZED VIEW m AS SELECT * FROM a; CREATE ROLE someone;
    CREATE FUNCTION trigger_it() RETURNS event_trigger LANGUAGE plpgsql AS 'begin end'`);
  await using asking = await Connection.connect(databases.target('current_one'));
  await using changing = await Connection.connect(databases.target('current_one'));
  await prepareReading(asking);
  const seen = new Map([[await catalogFingerprint(asking), 'the beginning']]);
  const [first] = seen.keys();
  for (const sql of UNCHANGED) {
    await changing.query(sql, sql);
    expect([sql, await catalogFingerprint(asking)]).toEqual([sql, first]);
  }
  for (const sql of CHANGED) {
    await changing.query(sql, sql);
    const now = await catalogFingerprint(asking);
    expect([sql, seen.get(now)]).toEqual([sql, undefined]);
    seen.set(now, sql);
  }
});
