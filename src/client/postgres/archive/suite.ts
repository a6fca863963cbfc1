/** A small schema for tests, and archives of it. */
import { withData, type ArchiveData } from './archive.ts';
import type { Toc, TocEntry } from './toc.ts';
import { writeArchive, type ArchiveOptions } from './write-archive.ts';

const BLANK: TocEntry = {
  dumpId: 1, catalogOid: '0', oid: '0', tag: '', kind: '', section: 'pre-data', create: '', drop: '', copy: '', schema: undefined, tablespace: undefined, accessMethod: undefined,
  relkind: undefined, owner: '', dependencies: [], hadDumper: false,
};

export const someSchema: Toc = {
  format: '1.14', database: 'shöp', serverVersion: '15.20 (Debian)', dumpVersion: '18.3', created: new Date(2026, 10, 21, 6, 45, 1),
  entries: [
    { ...BLANK, dumpId: 9, tag: 'ENCODING', kind: 'ENCODING', create: "SET client_encoding = 'UTF8';\n" },
    { ...BLANK, dumpId: 8, tag: 'STDSTRINGS', kind: 'STDSTRINGS', create: "SET standard_conforming_strings = 'on';\n" },
    { ...BLANK, dumpId: 7, tag: 'SEARCHPATH', kind: 'SEARCHPATH', create: "SELECT pg_catalog.set_config('search_path', '', false);\n" },
    { ...BLANK, dumpId: 6, catalogOid: '2615', oid: '16385', tag: 'app', kind: 'SCHEMA', create: 'CREATE SCHEMA app;\n', drop: 'DROP SCHEMA app;\n', owner: 'Owner' },
    { ...BLANK, dumpId: 2, catalogOid: '1259', oid: '16386', tag: 'order', kind: 'TABLE', schema: 'app', create: 'CREATE TABLE app."order" (\n    id integer\n);\n\n\n', drop: 'DROP TABLE app."order";\n', owner: 'Owner', tablespace: 'fast disk', accessMethod: 'heap', dependencies: [6] },
    { ...BLANK, dumpId: 3, tag: 'TABLE "order"', kind: 'ACL', section: 'none', schema: 'app', create: 'GRANT SELECT ON TABLE app."order" TO reader;\n\n\n', owner: 'Owner', dependencies: [2] },
    { ...BLANK, dumpId: 5, catalogOid: '3466', oid: '16400', tag: 'watch', kind: 'EVENT TRIGGER', section: 'post-data', create: 'CREATE EVENT TRIGGER watch ON sql_drop\n   EXECUTE FUNCTION app.w();\n\n\n', drop: 'DROP EVENT TRIGGER watch;\n', owner: 'boss' },
    { ...BLANK, dumpId: 4, catalogOid: '1259', oid: '16390', tag: 'o', kind: 'INDEX', section: 'post-data', schema: 'app', create: 'CREATE INDEX o ON app."order" USING btree (id);\n\n\n', drop: 'DROP INDEX app.o;\n', owner: 'Owner', tablespace: '', dependencies: [2] },
  ],
};

export async function schemaArchive(toc: Toc): Promise<Buffer> {
  return await archiveOf(toc, { tables: [], sequences: [], largeObjects: [] }, { compression: 'none' });
}

export async function archiveOf(toc: Toc, data: ArchiveData, options: ArchiveOptions): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeArchive(withData(toc, data), options)) pieces.push(piece);
  return Buffer.concat(pieces);
}
