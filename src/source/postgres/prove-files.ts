/** Proves the files of stored databases against their manifest, without a server: every table's COPY text is parsed and counted again. */
import { createHash, type Hash } from 'node:crypto';
import { isHoldfastError, messageOf } from '../../base/errors.ts';
import { fromText, type RawName } from '../../base/raw-name.ts';
import { CopyRows } from '../../client/postgres/copy-rows.ts';
import type { SnapshotFiles } from '../../repository/entry.ts';
import type { ProofLine, ProveRequest, StoreManifest } from '../source.ts';
import { encodeName } from './file-name.ts';
import { readObjectScript } from './large-object-script.ts';
import { addFingerprints, piecesOf, readDetail, type DatabaseManifest, type PieceManifest, type PostgresDetail, type TableManifest } from './manifest.ts';

/** Tables that are read at once; two threads unpack. */
const PARALLEL = 2;

const folderOf = (detail: PostgresDetail, database: DatabaseManifest): string => `/${encodeName(detail.store)}/${database.folder}`;

/** The files of all tables. */
export function dataFiles(manifest: StoreManifest): readonly RawName[] {
  const detail = readDetail(manifest);
  return detail.databases.flatMap((database) => database.tables.flatMap(piecesOf).map(({ file }) => fromText(`${folderOf(detail, database)}/data/${file}`)));
}

export async function proveDatabases(manifest: StoreManifest, files: SnapshotFiles, request: ProveRequest): Promise<readonly ProofLine[]> {
  const detail = readDetail(manifest);
  const lines: ProofLine[] = [];
  for (const database of detail.databases) {
    const folder = folderOf(detail, database);
    const found = await proveTables(folder, database.tables, files, request);
    if (database.largeObjects.length > 0) found.push(await attempt('large objects', () => proveLargeObjects(folder, database, files, request)));
    lines.push(...found.map((line) => (detail.databases.length === 1 ? line : { ...line, subject: `${database.name} ${line.subject}` })));
  }
  return lines;
}

/** Pieces are the unit of the work, so that both threads unpack one large table. */
async function proveTables(folder: string, tables: readonly TableManifest[], files: SnapshotFiles, request: ProveRequest): Promise<ProofLine[]> {
  const found = tables.map((table): (string | undefined)[] => piecesOf(table).map(() => undefined));
  const left = tables.flatMap((table, number) => piecesOf(table).map((piece, n) => ({ table, piece, number, n }))).values();
  const work = async (): Promise<void> => {
    const rows = new CopyRows();
    for (const { table, piece, number, n } of left) {
      if (n === 0) request.step(`counting the rows of ${table.schema}.${table.name}`);
      const path = fromText(`${folder}/data/${piece.file}`);
      const differs = await readable(() => differenceOf(rows, path, piece, files, request));
      const slots = found[number];
      if (slots !== undefined) slots[n] = differs && (table.pieces === undefined ? differs : `piece ${n + 1}: ${differs}`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return tables.map((table, number) => lineOf(table, found[number] ?? []));
}

function lineOf(table: TableManifest, found: readonly (string | undefined)[]): ProofLine {
  const subject = `${table.schema}.${table.name}`;
  const differences = [...found.flatMap((one) => one ?? []), ...addsUp(table)];
  return differences.length === 0 ? { subject, equal: true, detail: `${table.rows} rows, fingerprint equal` } : { subject, equal: false, detail: differences.join('; ') };
}

/** The pieces of a table must be all of it. */
function addsUp(table: TableManifest): string[] {
  const pieces = piecesOf(table);
  const sum = (of: (piece: PieceManifest) => number): number => pieces.reduce((total, piece) => total + of(piece), 0);
  const equal = sum(({ rows }) => rows) === table.rows && sum(({ bytes }) => bytes) === table.bytes && addFingerprints(pieces.map(({ fingerprint }) => fingerprint)) === table.fingerprint;
  return equal ? [] : ['its pieces do not add up to the table'];
}

/** What is not as the manifest says; undefined when all is. */
async function differenceOf(rows: CopyRows, path: RawName, stored: PieceManifest, files: SnapshotFiles, request: ProveRequest): Promise<string | undefined> {
  let bytes = 0;
  rows.begin();
  for await (const piece of files.read(path)) {
    request.signal.throwIfAborted();
    rows.text(piece);
    bytes += piece.length;
    request.progress(piece.length);
  }
  const counted = rows.fingerprint();
  if (counted === undefined) return 'its last row is not ended';
  if (counted.rows !== stored.rows) return `${counted.rows} rows instead of ${stored.rows}`;
  if (bytes !== stored.bytes) return `${bytes} bytes instead of ${stored.bytes}`;
  return counted.sum === stored.fingerprint ? undefined : `${counted.rows} rows, but the fingerprint of their content differs`;
}

async function readable(prove: () => Promise<string | undefined>): Promise<string | undefined> {
  const line = await attempt('', async () => {
    const differs = await prove();
    return { subject: '', equal: differs === undefined, detail: differs ?? '' };
  });
  return line.equal ? undefined : line.detail;
}

/** Damage and what is missing are differences; a storage that fails is not. */
async function attempt(subject: string, prove: () => Promise<ProofLine>): Promise<ProofLine> {
  try {
    return await prove();
  } catch (error) {
    if (!isHoldfastError(error, 'repository-damaged', 'path-missing', 'restore-unproven')) throw error;
    return { subject, equal: false, detail: `cannot be read: ${messageOf(error)}` };
  }
}

interface CountedObject {
  readonly hash: Hash;
  bytes: number;
}

async function proveLargeObjects(folder: string, { largeObjects }: DatabaseManifest, files: SnapshotFiles, request: ProveRequest): Promise<ProofLine> {
  const subject = 'large objects';
  const counted = new Map<string, CountedObject>();
  for await (const line of readObjectScript(files, fromText(`${folder}/large-objects.sql`), request.progress)) {
    request.signal.throwIfAborted();
    if (line.kind === 'create') counted.set(line.oid, { hash: createHash('sha256'), bytes: 0 });
    if (line.kind !== 'put') continue;
    const object = counted.get(line.oid);
    if (object === undefined || object.bytes !== line.at) return { subject, equal: false, detail: `${line.oid} is written out of order` };
    object.hash.update(line.bytes);
    object.bytes += line.bytes.length;
  }
  const wrong = largeObjects.filter(({ oid, bytes, sha256 }) => {
    const object = counted.get(oid);
    return object?.bytes !== bytes || object.hash.digest('hex') !== sha256;
  });
  const detail = wrong.length === 0 ? `${largeObjects.length} objects, SHA-256 equal` : `of other content: ${wrong.slice(0, 5).map(({ oid }) => oid).join(', ')}`;
  return { subject, equal: wrong.length === 0 && counted.size === largeObjects.length, detail: counted.size === largeObjects.length ? detail : `${counted.size} instead of ${largeObjects.length}` };
}
