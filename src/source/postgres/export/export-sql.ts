/** A stored database as one script for `psql`, as pg_dump writes it: schema, rows, the rest. Every table is counted and proven while it goes out. */
import { HoldfastError } from '../../../base/errors.ts';
import { fromText } from '../../../base/raw-name.ts';
import { CopyRows } from '../../../client/postgres/copy-rows.ts';
import { identifier, qualified } from '../../../client/postgres/sql-quote.ts';
import type { SnapshotFiles } from '../../../repository/entry.ts';
import { columnList } from '../catalog.ts';
import { piecesOf, type DatabaseManifest, type TableManifest } from '../manifest.ts';

export interface SqlExport {
  readonly files: SnapshotFiles;
  /** Folder of the store in the snapshot: `/store`. */
  readonly store: string;
  readonly database: DatabaseManifest;
  /** Also what the server has beside its databases: roles that are missing are made. */
  readonly globals: boolean;
  /** Without rows and values of sequences. */
  readonly schemaOnly: boolean;
  readonly signal: AbortSignal;
  /** Bytes of rows since the last call. */
  progress(bytes: number): void;
}

/** Throws `restore-unproven` when the rows of a table are not those that its manifest says. */
export async function* exportSql(job: SqlExport): AsyncGenerator<Uint8Array> {
  const { files, store, database, globals, schemaOnly } = job;
  const folder = `${store}/${database.folder}`;
  const script = async (name: string): Promise<Buffer> => await files.bytes(fromText(`${folder}/${name}`));
  yield Buffer.from(head(database));
  if (globals) yield await files.bytes(fromText(`${store}/globals.sql`));
  yield await script('pre-data.sql');
  if (!schemaOnly) {
    yield Buffer.from("\nSET client_encoding = 'UTF8';\nSET row_security = off;\n\n");
    for (const table of database.tables) yield* tableRows(job, folder, table);
    yield await script('sequences.sql');
    if (database.largeObjects.length > 0) yield* files.read(fromText(`${folder}/large-objects.sql`));
  }
  yield await script('post-data.sql');
  if (!schemaOnly) yield Buffer.from('\nANALYZE;\n');
}

function head({ name, moment }: DatabaseManifest): string {
  return [
    `-- The database ${JSON.stringify(name)} as it stood at ${moment}. Into an empty database:`,
    '--   psql -v ON_ERROR_STOP=1 -d NAME -f FILE',
    '\\set ON_ERROR_STOP on', '',
  ].join('\n');
}

async function* tableRows(job: SqlExport, folder: string, table: TableManifest): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`COPY ${qualified(table.schema, table.name)}${columnList(table.columns)} FROM stdin;\n`);
  yield* provenRows(job, folder, table);
  yield Buffer.from('\\.\n\n');
}

/** The rows of a table as COPY text. Throws `restore-unproven` at their end when they are not those of the manifest. */
export async function* provenRows({ files, signal, progress }: Pick<SqlExport, 'files' | 'signal' | 'progress'>, folder: string, table: TableManifest): AsyncGenerator<Uint8Array> {
  const rows = new CopyRows();
  rows.begin();
  for (const { file } of piecesOf(table)) {
    for await (const piece of files.read(fromText(`${folder}/data/${file}`))) {
      signal.throwIfAborted();
      rows.text(piece);
      progress(piece.length);
      yield piece;
    }
  }
  const counted = rows.fingerprint();
  if (counted?.rows === table.rows && counted.sum === table.fingerprint) return;
  throw new HoldfastError('restore-unproven', `The rows of ${table.schema}.${table.name} in the snapshot are not those of its manifest (${counted?.rows ?? 'broken'} instead of ${table.rows}).`, {
    hint: 'Run `holdfast verify` on the snapshot; nothing was exported.',
  });
}

/** The name of a database as part of the name of a file. */
export function exportName(database: string): string {
  return identifier(database).replaceAll(/[^\p{L}\p{N}_.-]+/gu, '_').replaceAll(/^_+|_+$/g, '');
}
