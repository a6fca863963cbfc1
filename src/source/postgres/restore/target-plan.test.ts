import { expect, test } from 'vitest';
import type { DatabaseProperties } from '../database.ts';
import { adaptEntries } from './adapt.ts';
import { comparable, explains } from './expected-facts.ts';
import { entriesOf } from './schema-entry.ts';
import type { TargetFacts } from './target-facts.ts';
import { planTarget, type Needs } from './target-plan.ts';

const SCRIPT = `--
-- Name: postgis; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;


--
-- Name: f(integer); Type: FUNCTION; Schema: app; Owner: boss
--

CREATE FUNCTION app.f(x integer) RETURNS integer
    LANGUAGE sql IMMUTABLE LEAKPROOF
    AS $$ SELECT 1; -- LANGUAGE sql LEAKPROOF
-- Name: fake; Type: TABLE; Schema: x; Owner: y
$$;


ALTER FUNCTION app.f(x integer) OWNER TO boss;

SET default_tablespace = fast;

--
-- Name: t; Type: TABLE; Schema: app; Owner: boss; Tablespace: fast
--

CREATE TABLE app.t (
    a integer
);


ALTER TABLE app.t OWNER TO boss;

--
-- Name: hook; Type: EVENT TRIGGER; Schema: -; Owner: boss
--

CREATE EVENT TRIGGER hook ON ddl_command_start
   EXECUTE FUNCTION app.f();


--
-- Name: TABLE t; Type: ACL; Schema: app; Owner: boss
--

GRANT SELECT ON TABLE app.t TO reader;
`;

const properties: DatabaseProperties = { name: 'shop', encoding: 'UTF8', collate: 'xx_YY.UTF-8', ctype: 'C', provider: 'c', locale: null, icuRules: null, owner: 'boss', connectionLimit: -1, comment: null, grants: null, settings: [] };
const needs: Needs = { database: 'shop', major: 15, entries: entriesOf(SCRIPT), extensions: [{ name: 'postgis', version: '3.4' }, { name: 'hstore', version: '1.8' }], properties };
const target = (more: Partial<TargetFacts> = {}): TargetFacts => ({
  major: 16, version: '16.2', me: 'me', superuser: false, createdb: true, createrole: false, readOnly: false, tablespaces: ['pg_default'], icu: true,
  roles: new Map([['me', { name: 'me', member: true }]]), extensions: new Map([['hstore', { name: 'hstore', version: '1.9', superuser: false }]]), databases: new Map(), locales: new Set(['C']), ...more,
});
const globals = { script: undefined, roles: new Map(), memberships: [] };

test('all that is missing is told in one error, with what can be chosen', () => {
  const refused = (): unknown => planTarget(target({ createdb: false, readOnly: true, major: 14, version: '14.1' }), globals, [needs], {}, 'create', []);
  expect(refused).toThrow(/7 things/);
  for (const one of ['takes no changes', 'comes from PostgreSQL 15', 'ALTER ROLE me CREATEDB', 'locale xx_YY.UTF-8', '--map-role boss=me', '--map-role reader=me', '--skip-extension postgis']) {
    expect(refused).toThrow(one);
  }
});

test('choices solve it, and every one of them is a step with its reason', () => {
  const plan = planTarget(target(), globals, [needs], { mapRoles: { reader: 'me' }, roles: 'skip', skipExtensions: ['postgis'], locale: 'C' }, 'create', []);
  expect(plan.steps.map(({ action, subject }) => `${action} ${subject}`)).toEqual([
    'map role reader', 'skip role boss', 'skip extension postgis', 'map extension hstore', 'map tablespace fast', 'map function app.f(integer)', 'skip event trigger hook',
  ]);
  const { entries, lost } = adaptEntries(needs.entries, plan);
  const sql = entries.flatMap(({ statements }) => statements);
  expect(sql).toContain('GRANT SELECT ON TABLE app.t TO "me"');
  expect(sql.join('\n')).not.toMatch(/EVENT TRIGGER|OWNER TO|CREATE EXTENSION|IMMUTABLE LEAKPROOF/);
  expect(sql.join('\n')).toContain('LANGUAGE sql IMMUTABLE\n    AS $$ SELECT 1; -- LANGUAGE sql LEAKPROOF');
  expect(lost.map(({ entry }) => entry.name)).toEqual(['f(integer)', 'hook']);
});

test('a superuser gets every role that is missing, and nothing is changed', () => {
  const plan = planTarget(target({ superuser: true, createrole: true, locales: new Set(['C', 'xx_YY.UTF-8']), extensions: new Map([['postgis', { name: 'postgis', version: '3.4', superuser: true }], ['hstore', { name: 'hstore', version: '1.8', superuser: false }]]) }), globals, [needs], {}, 'create', []);
  expect(plan.create).toEqual(['boss', 'reader']);
  const { entries, lost } = adaptEntries(needs.entries, plan);
  expect(lost).toEqual([]);
  expect(entries.flatMap(({ statements }) => statements)).toContain('ALTER TABLE app.t OWNER TO "boss"'.replaceAll('"', ''));
});

test('the catalogue is expected as the plan maps it, and any other difference still shows', () => {
  const plan = planTarget(target({ roles: new Map([['me', { name: 'me', member: true }], ['boss', { name: 'boss', member: false }], ['reader', { name: 'reader', member: false }]]), locales: new Set(['C', 'xx_YY.UTF-8']) }), globals, [needs], { skipExtensions: ['postgis'] }, 'create', []);
  const before = [
    'relation app.t kind r owner boss persistence p options  replica identity d', 'privileges of app.t: boss=INSERT boss=SELECT reader=SELECT*', 'policy own on app.t: t r to boss, reader using true check ',
    'extension postgis version 3.4 schema public', 'extension hstore version 1.8 schema public', 'default privileges of boss in app for r: {reader=r/boss}', 'schema app owner boss privileges boss=CREATE boss=USAGE',
  ];
  const after = [
    'relation app.t kind r owner me persistence p options  replica identity d', 'privileges of app.t: me=INSERT me=SELECT reader=SELECT*', 'policy own on app.t: t r to boss, reader using true check ',
    'extension hstore version 1.9 schema public', 'schema app owner me privileges me=CREATE me=USAGE',
  ];
  const sides = comparable(before, after, plan);
  expect(sides.before.toSorted()).toEqual(sides.after.toSorted());
  const wrong = comparable(before, after.map((line) => line.replace('me=INSERT ', '')), plan);
  expect(wrong.before.toSorted()).not.toEqual(wrong.after.toSorted());
});

test('what is known to be lost explains lines of its own name only', () => {
  const known = explains([{ entry: { kind: 'TABLE', schema: 'app', name: 't', owner: undefined, statements: [] }, because: '' }]);
  expect(explains([{ entry: { kind: 'SETTING', schema: undefined, name: '', owner: undefined, statements: [] }, because: '' }])('anything')).toBe(false);
  expect(['index CREATE INDEX i ON app.t USING btree (a)', 'column app."t".a number 1', 'relation app.total kind r', 'relation app2.t kind r'].map(known)).toEqual([true, true, false, false]);
});
