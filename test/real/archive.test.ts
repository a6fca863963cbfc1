import { open, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { withData, type Archive } from '../../src/client/postgres/archive/archive.ts';
import { readToc } from '../../src/client/postgres/archive/read-toc.ts';
import { writeArchive } from '../../src/client/postgres/archive/write-archive.ts';
import { portable } from '../../src/client/postgres/pg-dump.ts';
import { parseTarget } from '../../src/client/postgres/target.ts';
import { wasmDump } from '../../src/client/postgres/wasm-dump.ts';
import { zooSql } from '../../src/source/postgres/fixture/zoo.ts';
import { contentOf, psql } from '../fixture/database-stack.ts';
import { debianPostgres, postgresOf, type TestServer } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

/** Client programs of PostgreSQL 17, which `test/real/setup` brings. */
const NEWER = (program: string): string => fileURLToPath(new URL(`../../.state/bin/${program}-17`, import.meta.url));
const SCHEMA = ['--section=pre-data', '--section=post-data'];

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

describe('an archive that is written here', async () => {
  await using lifetime = new AsyncDisposableStack();
  const server = lifetime.use(await debianPostgres());
  const newer = lifetime.use(await postgresOf(17));
  await psql(newer.url, 'CREATE ROLE "ark Owner"; CREATE ROLE ark_reader; CREATE ROLE ark_group');
  const place = lifetime.use(await scratch('archive'));
  await psql(server.url, 'CREATE DATABASE zoo');
  const url = server.database('zoo');
  await run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', url], { input: zooSql('ark') });
  const held = lifetime.move();
  afterAll(() => held.disposeAsync());
  const content = await contentOf(url);
  const dump = async (of: string): Promise<string> => (await run('pg_dump', ['--restrict-key=x', of])).stdout;
  const before = await dump(url);

  /** The zoo as an archive: its schema from these bytes, its data by psql. */
  const archiveOf = async (schema: Uint8Array): Promise<Archive> => {
    const tables = JSON.parse(await psql(url, `select json_agg(json_build_object('schema', n.nspname, 'name', relname, 'sql', format('%I.%I', n.nspname, relname), 'columns',
      (select coalesce(json_agg(attname order by attnum), '[]') from pg_attribute a where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = ''))) from pg_class c join pg_namespace n on n.oid = relnamespace
      where relkind = 'r' and n.nspname !~ '^(pg_|information_schema)'`)) as { schema: string; name: string; sql: string; columns: string[] }[];
    const rows = new Map(await Promise.all(tables.map(async ({ sql, columns }) => {
      const list = columns.length === 0 ? '' : ` (${columns.map((name) => `"${name.replaceAll('"', '""')}"`).join(', ')})`;
      return [sql, Buffer.from(await psql(url, `COPY ${sql}${list} TO STDOUT;`))] as const;
    })));
    const sequences = JSON.parse(await psql(url, `select json_agg(json_build_object('schema', schemaname, 'name', sequencename, 'lastValue', coalesce(last_value, start_value)::text, 'isCalled', last_value is not null)) from pg_sequences`)) as { schema: string; name: string; lastValue: string; isCalled: boolean }[];
    const toc = readToc(schema);
    return withData({ ...toc, entries: toc.entries.map(portable) }, {
      tables: tables.map(({ schema: inSchema, name, sql, columns }) => ({ schema: inSchema, name, columns, rows: () => once(rows.get(sql) ?? Buffer.alloc(0)) })), sequences,
      largeObjects: [
        { oid: '4711', owner: 'postgres', privileges: 'GRANT SELECT ON LARGE OBJECT 4711 TO ark_reader;\n', comment: `COMMENT ON LARGE OBJECT 4711 IS 'a\nb''c';\n` },
        { oid: '4712', owner: 'ark Owner', privileges: '', comment: '' },
      ],
      contents: async function* () {
        yield { oid: '4711', content: once(Buffer.from('00ff0a5c27'.repeat(300_000), 'hex')) };
        yield { oid: '4712', content: once(Buffer.alloc(0)) };
      },
    });
  };
  let copies = 0;
  const empty = async (on: TestServer): Promise<string> => {
    const name = `copy_${++copies}`;
    await psql(on.url, `CREATE DATABASE ${name} TEMPLATE template0`);
    return on.database(name);
  };
  const sources: readonly (readonly [string, () => Promise<Uint8Array>])[] = [
    ['15', async () => await file(['pg_dump'])], ['17', async () => await file([NEWER('pg_dump')])],
    ['18 (WASM)', async () => await wasmDump(parseTarget(url, undefined, {}), ['-Fc', ...SCHEMA, '--no-large-objects'], new AbortController().signal)],
  ];
  const file = async ([program = '']: readonly string[]): Promise<Buffer> => {
    const noLarge = program === 'pg_dump' ? '--no-blobs' : '--no-large-objects';
    await run(program, ['-Fc', ...SCHEMA, noLarge, '-f', place.path('schema.dump'), url]);
    return await readFile(place.path('schema.dump'));
  };

  it.each(sources)('from the schema of pg_dump %s is restored by pg_restore 15 and 17, also by parallel workers', async (_version, schema) => {
    const archive = await archiveOf(await schema());
    const path = place.path('file.dump');
    await using handle = await open(path, 'w');
    const pieces = writeArchive(archive, { compression: 'zlib' });
    let next = await pieces.next();
    for (; next.done !== true; next = await pieces.next()) await handle.write(next.value);
    for (const patch of next.value) await handle.write(patch.bytes, 0, patch.bytes.length, patch.at);
    expect((await run(NEWER('pg_restore'), ['-l', path])).stdout).toContain(`TOC Entries: ${archive.toc.entries.length}`);
    const copy = await empty(server);
    await run('pg_restore', ['-j2', '--exit-on-error', '-d', copy, path]);
    expect(await contentOf(copy)).toBe(content);
    expect(await dump(copy) === before).toBe(true);
    // A key that a partition has from its parent cannot be dropped alone: pg_restore goes on, with its own archives, too.
    await run('pg_restore', ['--clean', '--if-exists', '-d', copy, path], { accept: [0, 1] });
    expect(await contentOf(copy)).toBe(content);
    const onNewer = await empty(newer);
    await run(NEWER('pg_restore'), ['-j2', '--exit-on-error', '-d', onNewer, path]);
    expect(await contentOf(onNewer)).toBe(content);
  });
});
