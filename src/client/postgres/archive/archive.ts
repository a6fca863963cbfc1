/** An archive with data: the table of contents of a schema, and what pg_dump would put between its sections. Pure. */
import { literal } from '../sql-quote.ts';
import { asNeeded, qualifiedAsNeeded } from './name.ts';
import type { Toc, TocEntry } from './toc.ts';

export type Block =
  | { readonly dumpId: number; readonly kind: 'rows'; rows(): AsyncIterable<Uint8Array> }
  | { readonly dumpId: number; readonly kind: 'large objects'; objects(): AsyncIterable<ArchivedObject> };

export interface ArchivedObject {
  readonly oid: string;
  readonly content: AsyncIterable<Uint8Array>;
}

export interface Archive {
  readonly toc: Toc;
  /** In the order of their entries. */
  readonly blocks: readonly Block[];
}

export interface ArchiveTable {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly string[];
  /** COPY text without the `\.` that ends it. Is called once. */
  rows(): AsyncIterable<Uint8Array>;
}

export interface ArchiveSequence {
  readonly schema: string;
  readonly name: string;
  readonly lastValue: string;
  readonly isCalled: boolean;
}

/** A large object without its content. */
export interface ArchiveLargeObject {
  readonly oid: string;
  readonly owner: string;
  /** Statements, each with its semicolon: GRANT … and REVOKE …; COMMENT …. Empty: none. */
  readonly privileges: string;
  readonly comment: string;
}

export interface ArchiveData {
  readonly tables: readonly ArchiveTable[];
  readonly sequences: readonly ArchiveSequence[];
  readonly largeObjects: readonly ArchiveLargeObject[];
  /** The content of all of them, in their order. Is called once, when there are any. */
  contents?(): AsyncIterable<ArchivedObject>;
}

/** As after the rows that pg_dump writes. */
const END_OF_ROWS = Buffer.from('\\.\n\n\n');

const EMPTY: TocEntry = {
  dumpId: 0, catalogOid: '0', oid: '0', tag: '', kind: '', section: 'data', create: '', drop: '', copy: '', schema: undefined, tablespace: undefined, accessMethod: undefined,
  relkind: undefined, owner: '', dependencies: [], hadDumper: false,
};

/** The schema with entries for this data where pg_dump has them: between what makes the tables and what needs their rows. */
export function withData(schema: Toc, data: ArchiveData): Archive {
  let last = schema.entries.reduce((highest, { dumpId }) => Math.max(highest, dumpId), 0);
  const nextId = (): number => (last += 1);
  const blocks: Block[] = [];
  const objects = data.largeObjects.flatMap((object) => objectEntries(object, nextId));
  const parents = new Map(schema.entries.filter(({ kind }) => kind === 'TABLE' || kind === 'SEQUENCE').map((entry) => [`${entry.kind}\0${entry.schema}\0${entry.tag}`, entry]));
  const rows = data.tables.map((table): TocEntry => {
    const dumpId = nextId();
    blocks.push({ dumpId, kind: 'rows', rows: () => ended(table.rows()) });
    const columns = table.columns.length === 0 ? '' : ` (${table.columns.map(asNeeded).join(', ')})`;
    const copy = `COPY ${qualifiedAsNeeded(table.schema, table.name)}${columns} FROM stdin;\n`;
    return { ...child(parents.get(`TABLE\0${table.schema}\0${table.name}`)), dumpId, tag: table.name, kind: 'TABLE DATA', copy, schema: table.schema, hadDumper: true };
  });
  const values = data.sequences.map(({ schema: inSchema, name, lastValue, isCalled }): TocEntry => ({
    ...child(parents.get(`SEQUENCE\0${inSchema}\0${name}`)), dumpId: nextId(), tag: name, kind: 'SEQUENCE SET', schema: inSchema,
    create: `SELECT pg_catalog.setval(${literal(qualifiedAsNeeded(inSchema, name))}, ${lastValue}, ${isCalled});\n`,
  }));
  const contents: TocEntry[] = [];
  if (data.contents !== undefined && data.largeObjects.length > 0) {
    const dumpId = nextId();
    blocks.push({ dumpId, kind: 'large objects', objects: data.contents });
    contents.push({ ...EMPTY, dumpId, tag: 'BLOBS', kind: 'BLOBS', hadDumper: true });
  }
  const firstAfter = schema.entries.findIndex(({ section }) => section === 'post-data');
  const place = firstAfter === -1 ? schema.entries.length : firstAfter;
  const entries = [...schema.entries.slice(0, place), ...objects, ...rows, ...values, ...contents, ...schema.entries.slice(place)];
  return { toc: { ...schema, entries }, blocks };
}

/** An entry that belongs to another; of a table or sequence of an extension, which has none, nothing is known. */
function child(parent: TocEntry | undefined): TocEntry {
  return parent === undefined ? EMPTY : { ...EMPTY, oid: parent.oid, owner: parent.owner, dependencies: [parent.dumpId] };
}

function objectEntries({ oid, owner, privileges, comment }: ArchiveLargeObject, nextId: () => number): TocEntry[] {
  const dumpId = nextId();
  const object: TocEntry = {
    ...EMPTY, dumpId, catalogOid: '2613', oid, tag: oid, kind: 'BLOB', section: 'pre-data', owner,
    create: `SELECT pg_catalog.lo_create('${oid}');\n`, drop: `SELECT pg_catalog.lo_unlink('${oid}');\n`,
  };
  const beside = (kind: string, create: string): TocEntry[] => (create === '' ? [] : [{ ...EMPTY, dumpId: nextId(), tag: `LARGE OBJECT ${oid}`, kind, section: 'none', owner, create, dependencies: [dumpId] }]);
  return [object, ...beside('COMMENT', comment), ...beside('ACL', privileges)];
}

async function* ended(rows: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* rows;
  yield END_OF_ROWS;
}
