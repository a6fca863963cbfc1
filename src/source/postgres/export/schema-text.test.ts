import { describe, expect, it } from 'vitest';
import { schemaText } from './schema-text.ts';

const dumped = (version: string, body: string): string => `--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version ${version}\n-- Dumped by pg_dump version ${version}\n\nSET statement_timeout = 0;\n\n${body}\n\n--\n-- PostgreSQL database dump complete\n--\n\n`;
const FUNCTION = "CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$\n-- Dumped from database version 1\n\n\n\n\nselect 'password=1'\n$$;";

describe('schemaText', () => {
  it('is the same whichever minor release dumped it', () => {
    expect(schemaText(dumped('15.1', 'CREATE TABLE a (id int);'), dumped('15.1', 'CREATE INDEX i ON a (id);'))).toBe(schemaText(dumped('15.20', 'CREATE TABLE a (id int);'), dumped('15.20', 'CREATE INDEX i ON a (id);')));
  });

  it('leaves the inside of statements alone', () => {
    expect(schemaText(dumped('15.1', FUNCTION), '')).toContain(FUNCTION);
  });

  it('holds no passwords of other servers', () => {
    const text = schemaText(dumped('15.1', [
      "CREATE USER MAPPING FOR postgres SERVER far OPTIONS (\n    password 'it''s hunter2',\n    \"user\" 'anna'\n);",
      "CREATE SUBSCRIPTION s CONNECTION 'host=a password=hunter2 user=b' PUBLICATION p WITH (connect = false);",
      "CREATE SUBSCRIPTION t CONNECTION 'host=a password=''hunt er2'' user=b' PUBLICATION p WITH (connect = false);",
    ].join('\n\n')), '');
    expect(text).not.toMatch(/hunter2|er2/);
    expect(text).toContain("\"user\" 'anna'");
    expect(text).toContain("'host=a password=**redacted** user=b'");
  });
});
