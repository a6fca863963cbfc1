import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { readToc } from '../../src/client/postgres/archive/read-toc.ts';
import { renderSection } from '../../src/client/postgres/archive/render.ts';
import { databaseStack, psql } from '../fixture/database-stack.ts';
import { embeddedPostgres, debianPostgres } from '../fixture/postgres-server.ts';
import { LABEL_PROVIDER, regressionDatabase } from '../fixture/regression.ts';
import { run } from '../fixture/run.ts';

const dump = async (url: string, ...args: readonly string[]): Promise<string> => (await run('pg_dump', ['--restrict-key=x', ...args, url])).stdout;

/** Tables that inherit without being partitions: a dump puts the columns of their parents first. */
const INHERITING = `SELECT DISTINCT inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind = 'r' AND NOT c.relispartition AND relnamespace::regnamespace::text <> 'pg_catalog'`;

/** The embedded server has no lz4 and no file_fdw; no library for another major version can be loaded; since 16 a child may not repeat how a column is generated. */
const PORTABLE = `SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure) FROM pg_proc WHERE probin LIKE '%/regress%' OR probin LIKE '%/refint%' OR probin LIKE '%/autoinc%' \\gexec
  SELECT format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION default', attrelid::regclass, attname) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attcompression = 'l' AND relkind IN ('r', 'p', 'm') \\gexec
  DROP EXTENSION file_fdw CASCADE; DROP TABLE public.gtest_normal_child, public.gtest_normal_child2 CASCADE;
  SECURITY LABEL FOR dummy ON TABLE public.onek IS NULL; SECURITY LABEL FOR dummy ON COLUMN public.onek.two IS NULL;`;

describe('the regression database of PostgreSQL', async () => {
  await using lifetime = new AsyncDisposableStack();
  // The provider of labels must be there where labels are given.
  const server = lifetime.use(await debianPostgres({ session_preload_libraries: LABEL_PROVIDER, wal_level: 'logical' }));
  const url = await regressionDatabase(server);
  const stack = lifetime.use(await databaseStack([`url: ${url}`]));
  await stack.holdfast('backup');
  const held = lifetime.move();
  afterAll(() => held.disposeAsync());
  const archive = async (): Promise<Buffer> => {
    await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'restore', 'latest', '--target', stack.path('out'), '--include', '/db']);
    return await readFile(stack.path('out/db/regression/schema.dump'));
  };

  it('has every kind of object that pg_dump knows', async () => {
    const kinds = new Set(readToc(await archive()).entries.map(({ kind }) => kind));
    for (const kind of `ACCESS METHOD;ACL;AGGREGATE;CAST;CHECK CONSTRAINT;COLLATION;COMMENT;CONSTRAINT;CONVERSION;DATABASE;DATABASE PROPERTIES;DEFAULT;DEFAULT ACL;DOMAIN;EVENT TRIGGER;EXTENSION;\
FK CONSTRAINT;FOREIGN DATA WRAPPER;FOREIGN TABLE;FUNCTION;INDEX;INDEX ATTACH;MATERIALIZED VIEW;MATERIALIZED VIEW DATA;OPERATOR;OPERATOR CLASS;OPERATOR FAMILY;POLICY;PROCEDURAL LANGUAGE;PROCEDURE;\
PUBLICATION;PUBLICATION TABLE;PUBLICATION TABLES IN SCHEMA;ROW SECURITY;RULE;SCHEMA;SECURITY LABEL;SEQUENCE;SEQUENCE OWNED BY;SERVER;SHELL TYPE;STATISTICS;SUBSCRIPTION;TABLE;TABLE ATTACH;\
TEXT SEARCH CONFIGURATION;TEXT SEARCH DICTIONARY;TEXT SEARCH PARSER;TEXT SEARCH TEMPLATE;TRANSFORM;TRIGGER;TYPE;USER MAPPING;VIEW`.split(';')) expect(kinds, kind).toContain(kind);
  });

  it('is rendered section by section as pg_dump prints it', async () => {
    const toc = readToc(await archive());
    for (const section of ['pre-data', 'post-data'] as const) {
      const theirs = (await dump(url, `--section=${section}`, '--no-blobs')).replaceAll(/^\\(un)?restrict x\n\n/gm, '');
      expect(renderSection(toc, section, { tablespaces: 'always' }) === theirs, section).toBe(true);
    }
  });

  it('comes back the same, byte for byte, beside what a dump itself brings back otherwise', async () => {
    await stack.holdfast('restore', 'db', '--into', 'copy', '--yes');
    const copy = server.database('copy');
    const inheriting = (await psql(url, INHERITING)).trim().split('\n');
    expect(inheriting.length).toBeGreaterThan(10);
    const others = inheriting.map((name) => `--exclude-table=${name}`);
    expect(await dump(copy, ...others) === await dump(url, ...others)).toBe(true);
    // The tables that were left out are as pg_dump and psql bring them back.
    await psql(server.url, 'CREATE DATABASE dumped TEMPLATE template0');
    const dumped = server.database('dumped');
    await run('bash', ['-o', 'pipefail', '-c', `pg_dump '${url}' | psql -Xq '${dumped}'`]);
    const these = inheriting.map((name) => `--table=${name}`);
    expect(await dump(copy, ...these)).toBe(await dump(dumped, ...these));
    expect(await dump(copy, '--schema-only') === await dump(dumped, '--schema-only')).toBe(true);
  });

  it('comes back on PostgreSQL 18, without what that server cannot load: libraries of 15, lz4, a tablespace', async () => {
    await psql(server.url, 'CREATE DATABASE portable TEMPLATE dumped');
    await psql(server.database('portable'), PORTABLE);
    await stack.configure([`url: ${server.database('portable')}`]);
    await stack.holdfast('backup');
    await using newer = await embeddedPostgres();
    await stack.configure([`url: ${newer.database('portable')}`]);
    expect((await stack.holdfast('restore', 'db', '--yes')).stdout).toContain('all equal');
  });
}, 180_000);
