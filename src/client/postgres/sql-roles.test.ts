import { expect, test } from 'vitest';
import { rolesIn, withRoles } from './sql-roles.ts';

test.each([
  ['ALTER TABLE app."OWNER TO x" OWNER TO "App Owner"', ['owner:App Owner']],
  ['ALTER FUNCTION app.f(a text, b "char") OWNER TO me', ['owner:me']],
  ['GRANT SELECT(id),UPDATE("to") ON TABLE app."to" TO reader WITH GRANT OPTION', ['grantee:reader']],
  ['REVOKE ALL ON SCHEMA public FROM PUBLIC', []],
  ['REVOKE ALL ON FUNCTION app.f(integer) FROM "a""b"', ['grantee:a"b']],
  ['ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA app GRANT SELECT ON TABLES TO reader', ['grantor:boss', 'grantee:reader']],
  ['ALTER DEFAULT PRIVILEGES FOR ROLE boss REVOKE ALL ON FUNCTIONS FROM PUBLIC', ['grantor:boss']],
  ["CREATE POLICY own ON app.t FOR SELECT TO a, \"B\" USING ((name = 'TO x'::text)) WITH CHECK (true)", ['policy:a', 'policy:B']],
  ['CREATE POLICY every ON app.t USING (true)', []],
  ['SET SESSION AUTHORIZATION grantor', ['session:grantor']],
  ["CREATE USER MAPPING FOR joe SERVER far OPTIONS (\n    \"user\" 'x'\n)", ['user mapping:joe']],
  ["ALTER ROLE \"A b\" IN DATABASE shop SET work_mem TO '7MB'", ['grantee:A b']],
  ['CREATE SCHEMA app AUTHORIZATION boss', ['owner:boss']],
  ['ALTER TABLE ONLY app.t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES app.u(id)', []],
  ["CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ GRANT a TO b $$", []],
])('the roles of %s', (statement, expected) => {
  expect(rolesIn(statement).map(({ use, name }) => `${use}:${name}`)).toEqual(expected);
});

test('only the role is replaced, whatever else has its name', () => {
  expect(withRoles('GRANT SELECT ON TABLE reader.reader TO reader', () => 'New')).toBe('GRANT SELECT ON TABLE reader.reader TO "New"');
  expect(withRoles('CREATE POLICY a ON t TO a, b USING ((c = a))', ({ name }) => (name === 'b' ? 'x' : undefined))).toBe('CREATE POLICY a ON t TO a, "x" USING ((c = a))');
});
