/** `export`: a database of a snapshot as a file for people without Holdfast: SQL, gzip, encrypted so that standard programs open it. */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { writePiecesDurably, type Patch } from '../base/file.ts';
import { gzipped } from '../base/gzip.ts';
import type { Secret } from '../base/secret.ts';
import { ageEncrypted, ageEncrypter } from '../client/encryption/age.ts';
import { gpgEncrypted } from '../client/encryption/gpg.ts';
import type { Repository, Snapshot } from '../repository/repository.ts';
import { exportablesOf, type Exportable } from '../source/export.ts';
import type { Context } from './context.ts';
import { readManifest, type SnapshotManifest } from './manifest.ts';

/** `dump` is pg_dump's custom format, for pg_restore. */
export const EXPORT_FORMATS = ['sql', 'sql.gz', 'dump'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

export type ExportLock = { readonly by: 'gpg' | 'age'; readonly passphrase: Secret } | { readonly by: 'age'; readonly recipients: readonly string[] };

export interface ExportOptions {
  readonly repository: Repository;
  readonly snapshot: Snapshot;
  /** Names of databases; none: all. */
  readonly databases: readonly string[];
  /** A folder that exists, or the name of a file; absolute. */
  readonly to: string;
  /** Undefined: as the name of the file says, else `sql.gz`. */
  readonly format: ExportFormat | undefined;
  readonly lock: ExportLock | undefined;
  readonly globals: boolean;
  readonly schemaOnly: boolean;
}

export interface ExportedFile {
  readonly database: string;
  readonly file: string;
  readonly moment: string;
  readonly tables: number;
  readonly rows: number;
  /** Bytes of the file, and the SHA-256 of them in hex. */
  readonly bytes: number;
  readonly sha256: string;
}

/** Writes one file a database; what is there is never overwritten. Throws `target-exists`, `target-full`, `target-failed`, `restore-unproven`. */
export async function exportSnapshot(options: ExportOptions, context: Context): Promise<readonly ExportedFile[]> {
  const { repository, snapshot } = options;
  await using _lock = await repository.lockForReading('files');
  await using opened = await repository.files(snapshot);
  const manifest = await readManifest(opened.files);
  const databases = exportablesOf(manifest.content, opened.files, options.databases);
  refuseRowless(manifest, options);
  const files = await namesOf(databases, options);
  const written: ExportedFile[] = [];
  for (const [i, database] of databases.entries()) written.push(await exportOne(database, files[i] ?? '', options, context));
  return written;
}

/** Streams one database, unencrypted or not, to standard output or wherever `take` puts it. */
export async function exportToStream(options: Omit<ExportOptions, 'to'>, take: (piece: Uint8Array) => Promise<void>, context: Context): Promise<void> {
  await using _lock = await options.repository.lockForReading('files');
  await using opened = await options.repository.files(options.snapshot);
  const [database, second] = exportablesOf((await readManifest(opened.files)).content, opened.files, options.databases);
  if (second !== undefined) throw new HoldfastError('usage', 'the snapshot holds several databases, and one stream takes one', { hint: 'Name it with --database.' });
  if (database === undefined) return;
  for await (const piece of await contentOf(database, options.format ?? 'sql', options, context)) await take(piece);
}

function refuseRowless({ content }: SnapshotManifest, { schemaOnly }: Pick<ExportOptions, 'schemaOnly'>): void {
  if (content.part?.only !== 'schema' || schemaOnly) return;
  throw new HoldfastError('usage', 'the snapshot holds the schema only, without rows', { hint: 'Add --schema-only, or choose a snapshot of the whole store.' });
}

async function exportOne(database: Exportable, file: string, options: ExportOptions, context: Context): Promise<ExportedFile> {
  const format = options.format ?? formatOf(file) ?? 'sql.gz';
  context.emit({ type: 'step', store: undefined, sentence: `exporting ${database.name} to ${path.basename(file)}` });
  const content = await contentOf(database, format, options, context);
  const { bytes, sha256 } = await writePiecesDurably(file, content, { mode: 0o600, onlyNew: true }).catch((error: unknown) => Promise.reject(unwritten(file, error)));
  const { name, moment, tables, rows } = database;
  return { database: name, file, moment, tables, rows, bytes, sha256 };
}

async function contentOf(database: Exportable, format: ExportFormat, { lock, globals, schemaOnly }: Pick<ExportOptions, 'lock' | 'globals' | 'schemaOnly'>, { signal, emit }: Context): Promise<AsyncIterable<Uint8Array, readonly Patch[] | void | undefined>> {
  const work = { globals, schemaOnly, signal, progress: (bytes: number): void => emit({ type: 'progress', store: undefined, bytes, files: 0 }) };
  const packed = format === 'dump' ? database.archive(work) : format === 'sql.gz' ? gzipped(database.sql(work)) : database.sql(work);
  if (lock === undefined) return packed;
  return 'passphrase' in lock && lock.by === 'gpg' ? gpgEncrypted(packed, lock.passphrase) : ageEncrypted(packed, await ageEncrypter(lock));
}

const ENDING = { gpg: '.gpg', age: '.age' } as const;

/** `backup.sql.gz.age` is a `sql.gz`; undefined when the name says nothing. */
export function formatOf(file: string): ExportFormat | undefined {
  const plain = file.replace(/\.(gpg|age)$/, '');
  return [...EXPORT_FORMATS].toSorted((a, b) => b.length - a.length).find((format) => plain.endsWith(`.${format}`));
}

/** `backup-2026-11-20-140307.sql.gz`, in UTC so that names sort by time; with the name of the database where there are several. */
export function exportFileName(database: Pick<Exportable, 'moment' | 'fileName'>, several: boolean, format: ExportFormat, lock: ExportLock['by'] | undefined): string {
  const moment = new Date(database.moment).toISOString();
  const stamp = `${moment.slice(0, 10)}-${moment.slice(11, 19).replaceAll(':', '')}`;
  return `backup-${stamp}${several ? `-${database.fileName}` : ''}.${format}${lock === undefined ? '' : ENDING[lock]}`;
}

async function namesOf(databases: readonly Exportable[], { to, format, lock }: ExportOptions): Promise<readonly string[]> {
  const folder = await fs.stat(to).then((found) => found.isDirectory(), () => false);
  if (!folder && to.endsWith(path.sep)) throw new HoldfastError('target-failed', `there is no folder ${to}`, { hint: 'Make it first, or name a file.' });
  if (!folder && databases.length > 1) {
    throw new HoldfastError('usage', `the snapshot holds ${databases.length} databases, which are a file each`, { hint: `Give an existing folder to --to, or choose with --database: ${databases.map(({ name }) => name).join(', ')}.` });
  }
  const names = folder ? databases.map((database) => path.join(to, exportFileName(database, databases.length > 1, format ?? 'sql.gz', lock?.by))) : [to];
  for (const name of names) {
    const stands = await fs.lstat(name).then(() => true, () => false);
    if (stands) throw new HoldfastError('target-exists', `${name} exists already`, { hint: 'Nothing is overwritten: remove it, or name another file.' });
  }
  return names;
}

function unwritten(file: string, error: unknown): unknown {
  if (error instanceof HoldfastError || (error instanceof Error && error.name === 'AbortError')) return error;
  const code = systemCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return new HoldfastError('target-full', `there is no room for ${file}; what was written of it is removed`, { cause: error });
  if (code === 'EEXIST') return new HoldfastError('target-exists', `${file} exists already`, { hint: 'Something made it meanwhile; nothing was overwritten.', cause: error });
  return new HoldfastError('target-failed', `${file} could not be written: ${messageOf(error)}`, { cause: error });
}
