import { describe, expect, it } from 'vitest';
import { splitStatements } from '../sql-statements.ts';
import { renderSection, type RenderOptions } from './render.ts';
import { someSchema } from './suite.ts';

function statements(section: 'pre-data' | 'post-data', tablespaces: RenderOptions['tablespaces']): string[] {
  return splitStatements(renderSection(someSchema, section, { tablespaces })).map(({ code }) => code).filter((code) => code !== '' && !/^SET [a-z_]+ = |search_path/.test(code));
}

describe('a section of a schema as a script', () => {
  it('makes objects, gives them to their owners and grants at the end', () => {
    expect(statements('pre-data', 'never')).toEqual([
      'CREATE SCHEMA app', 'ALTER SCHEMA app OWNER TO "Owner"', 'CREATE TABLE app."order" (\n    id integer\n)', 'ALTER TABLE app."order" OWNER TO "Owner"', 'GRANT SELECT ON TABLE app."order" TO reader',
    ]);
  });

  it('makes event triggers after all else, so that they do not fire at it', () => {
    expect(statements('post-data', 'never').map((sql) => sql.slice(0, 20))).toEqual(['CREATE INDEX o ON ap', 'CREATE EVENT TRIGGER', 'ALTER EVENT TRIGGER ']);
  });

  it('takes a tablespace only where the server has it', () => {
    const [, , sql] = statements('pre-data', 'where it is');
    expect(sql).toBe("SELECT pg_catalog.set_config('default_tablespace', coalesce((SELECT spcname FROM pg_catalog.pg_tablespace WHERE spcname = 'fast disk' AND pg_catalog.has_tablespace_privilege(oid, 'CREATE')), ''), false)");
    expect(renderSection(someSchema, 'pre-data', { tablespaces: 'always' })).toContain('SET default_tablespace = "fast disk";\n\nSET default_table_access_method = heap;\n\n--\n-- Name: order; Type: TABLE; Schema: app; Owner: Owner; Tablespace: fast disk\n--\n');
  });
});
