/** What of a snapshot can be given to people without Holdfast, as one file each. */
import { HoldfastError } from '../base/errors.ts';
import { fromText } from '../base/raw-name.ts';
import type { SnapshotFiles } from '../repository/entry.ts';
import type { Patch } from '../base/file.ts';
import { exportArchive } from './postgres/export/export-archive.ts';
import { exportName, exportSql } from './postgres/export/export-sql.ts';
import { encodeName } from './postgres/file-name.ts';
import { readDetail, type DatabaseManifest, type PostgresDetail } from './postgres/manifest.ts';
import { schemaText } from './postgres/export/schema-text.ts';
import type { StoreManifest } from './source.ts';

export interface ExportWork {
  /** Roles that are missing are made by the script. */
  readonly globals: boolean;
  readonly schemaOnly: boolean;
  readonly signal: AbortSignal;
  /** Bytes of rows since the last call. */
  progress(bytes: number): void;
}

/** One database of a snapshot. */
export interface Exportable {
  readonly name: string;
  /** The name, as part of the name of a file. */
  readonly fileName: string;
  /** ISO 8601; when it stood so. */
  readonly moment: string;
  readonly tables: number;
  readonly rows: number;
  /** A script for psql. Throws `restore-unproven` when rows are not those of the manifest. */
  sql(work: ExportWork): AsyncIterable<Uint8Array>;
  /** An archive for pg_restore, and at its end what is to be written over its head where that can be done. The same errors. */
  archive(work: ExportWork): AsyncGenerator<Uint8Array, readonly Patch[]>;
  /** The schema for people and version control; see postgres/schema-text.ts. */
  schemaText(): Promise<string>;
}

/** The databases of a snapshot. Throws `usage` when it is not one of databases, `path-missing` when one of `names` is not in it. */
export function exportablesOf(manifest: StoreManifest, files: SnapshotFiles, names: readonly string[]): readonly Exportable[] {
  if (manifest.kind !== 'postgres') {
    throw new HoldfastError('usage', `the snapshot is one of a ${manifest.kind}, and only databases are exported`, { hint: 'Files come back as they are with `holdfast restore STORE --into FOLDER`.' });
  }
  if (manifest.part?.only === 'data') throw new HoldfastError('usage', 'the snapshot holds rows only, without the schema that they go into', { hint: 'Choose a snapshot of the whole store; `holdfast snapshots` lists them.' });
  const detail = readDetail(manifest);
  const known = detail.databases.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new HoldfastError('path-missing', `the snapshot holds no database ${unknown}`, { hint: `It holds: ${known.join(', ')}.` });
  return detail.databases.filter(({ name }) => names.length === 0 || names.includes(name)).map((database) => exportable(detail, database, files));
}

function exportable(detail: PostgresDetail, database: DatabaseManifest, files: SnapshotFiles): Exportable {
  const { name, moment, tables } = database;
  const store = `/${encodeName(detail.store)}`;
  return {
    name, fileName: exportName(name), moment, tables: tables.length, rows: tables.reduce((sum, table) => sum + table.rows, 0),
    sql: (work) => exportSql({ ...work, files, store, database }),
    archive: (work) => exportArchive({ ...work, files, store, database }),
    schemaText: async () => {
      const [before, after] = await Promise.all(['pre-data.sql', 'post-data.sql'].map((file) => files.bytes(fromText(`${store}/${database.folder}/${file}`))));
      return schemaText(before?.toString() ?? '', after?.toString() ?? '');
    },
  };
}
