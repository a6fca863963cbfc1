import { expect, test } from 'vitest';
import { releaseByTable, spelling } from './post-data.ts';

const one = (sql: string) => releaseByTable([sql]);

test('a plain key can be built as an index first, so that the table can be read meanwhile', () => {
  expect(one('ALTER TABLE ONLY app."Orders, (old)"\n    ADD CONSTRAINT "a.b" PRIMARY KEY (id, "b, c")').byTable).toEqual([{
    table: 'app."Orders, (old)"', exclusive: true, sql: 'ALTER TABLE ONLY app."Orders, (old)"\n    ADD CONSTRAINT "a.b" PRIMARY KEY (id, "b, c")',
    steps: {
      index: 'CREATE UNIQUE INDEX "a.b" ON app."Orders, (old)" USING btree (id, "b, c")',
      constraint: 'ALTER TABLE ONLY app."Orders, (old)" ADD CONSTRAINT "a.b" PRIMARY KEY USING INDEX "a.b"',
    },
  }]);
});

test('a key with options stays the statement that it is', () => {
  for (const options of ['(a) INCLUDE (b)', "(a) WITH (fillfactor='70')", '(a) DEFERRABLE INITIALLY DEFERRED', 'NULLS NOT DISTINCT (a)', '(a, b WITHOUT OVERLAPS)']) {
    const sql = `ALTER TABLE ONLY s.t\n    ADD CONSTRAINT k UNIQUE ${options}`;
    expect(one(sql).byTable).toEqual([{ table: 's.t', sql, exclusive: true }]);
  }
});

test('foreign keys and everything else wait for all tables', () => {
  const rest = ['SET x = 1', 'ALTER TABLE ONLY s.t\n    ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES s.u(a)', 'CREATE TRIGGER t AFTER INSERT ON s.t EXECUTE FUNCTION f()'];
  expect(releaseByTable(rest)).toEqual({ byTable: [], rest });
  expect(one('CREATE UNIQUE INDEX "i ON x.y" ON ONLY s."T" USING btree (a)').byTable).toMatchObject([{ table: 's."T"' }]);
});

test('a name has one spelling, quoted or not', () => {
  expect(spelling('app.orders')).toBe(spelling('"app"."orders"'));
  expect(spelling('"a.b"."c""d"')).toBe('a.b\u0000c"d');
});
