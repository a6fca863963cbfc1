import fc from 'fast-check';
import { expect, test } from 'vitest';
import { splitStatements } from './sql-statements.ts';

const codes = (sql: string): string[] => splitStatements(sql).map((one) => one.code);

test('the pieces joined are the script, whatever it is', () => {
  const parts = fc.constantFrom("'", '"', '$$', '$a$', ';', '\n', '\\', '/*', '*/', '--', 'E', '(', ')', 'BEGIN', 'END', 'CREATE FUNCTION', ' ', 'x', 'ü', '1');
  fc.assert(
    fc.property(fc.array(parts), (words) => {
      const sql = words.join('');
      expect(splitStatements(sql).map((one) => one.text).join('')).toBe(sql);
    }),
  );
});

test('a semicolon within quotes, bodies, comments and rules ends nothing', () => {
  expect(codes(`SELECT ';', E'\\';', ";", $$ ; $$, $b$ $$;$b$ /* ; /* ; */ ; */ -- ;\n, 1;\nSELECT 2;`)).toHaveLength(2);
  expect(codes('CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3')).toHaveLength(2);
  expect(codes('CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3;')).toHaveLength(2);
});

test('a line of psql is a statement of its own', () => {
  expect(splitStatements('-- x\n\\restrict a;b\nSELECT 1;\n\\unrestrict a;b\n').map((one) => [one.meta, one.code])).toEqual([
    [true, '\\restrict a;b'], [false, 'SELECT 1'], [true, '\\unrestrict a;b'],
    [false, ''],
  ].slice(0, 3));
});
