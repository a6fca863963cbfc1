/** `backup_manifest` of a server (documentation of PostgreSQL, chapter "Backup Manifest Format"): which files a base backup has. */
import { createHash } from 'node:crypto';
import { HoldfastError, messageOf } from '../../../base/errors.ts';

export interface ManifestFile {
  /** Bytes, one character a byte; files of tablespaces as `pg_tblspc/OID/…`. */
  readonly path: string;
  readonly size: number;
  /** `2026-11-20 14:03:07 GMT` */
  readonly modified: string;
  /** `CRC32C`, `SHA256` …; undefined when there is no checksum. */
  readonly algorithm: string | undefined;
  readonly checksum: string | undefined;
}

export interface WalRange {
  readonly timeline: number;
  readonly start: string;
  readonly end: string;
}

export interface BackupManifest {
  readonly version: number;
  /** 64-bit number as text; since 17. */
  readonly systemId: string | undefined;
  readonly files: readonly ManifestFile[];
  readonly walRanges: readonly WalRange[];
}

interface Parsed {
  'PostgreSQL-Backup-Manifest-Version': number;
  Files: { 'Path'?: string; 'Encoded-Path'?: string; 'Size': number; 'Last-Modified': string; 'Checksum-Algorithm'?: string; 'Checksum'?: string }[];
  'WAL-Ranges': { 'Timeline': number; 'Start-LSN': string; 'End-LSN': string }[];
}

/** Throws `source-failed` when it is damaged: its own checksum stands in its last line. */
export function parseBackupManifest(bytes: Buffer): BackupManifest {
  const last = bytes.lastIndexOf('\n"Manifest-Checksum"') + 1;
  const stated = /^"Manifest-Checksum": "([0-9a-f]{64})"\}\s*$/.exec(bytes.toString('latin1', last))?.[1];
  if (last === 0 || stated === undefined) throw damaged('it has no checksum of its own at its end');
  if (createHash('sha256').update(bytes.subarray(0, last)).digest('hex') !== stated) throw damaged('its own checksum differs');
  const text = bytes.toString('utf8');
  let parsed: Parsed;
  try {
    parsed = JSON.parse(text) as Parsed;
  } catch (error) {
    throw damaged(messageOf(error), error);
  }
  const version = parsed['PostgreSQL-Backup-Manifest-Version'];
  if (version !== 1 && version !== 2) throw damaged(`its format ${version} is not known`);
  return {
    // JSON has doubles only, and this number has 64 bits.
    version, systemId: /^"System-Identifier": (\d{1,20}),?$/m.exec(text)?.[1],
    files: parsed.Files.map((file) => ({
      path: file['Encoded-Path'] === undefined ? Buffer.from(file.Path ?? '', 'utf8').toString('latin1') : Buffer.from(file['Encoded-Path'], 'hex').toString('latin1'),
      size: file.Size, modified: file['Last-Modified'], algorithm: file['Checksum-Algorithm'], checksum: file.Checksum,
    })),
    walRanges: parsed['WAL-Ranges'].map((range) => ({ timeline: range.Timeline, start: range['Start-LSN'], end: range['End-LSN'] })),
  };
}

function damaged(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('source-failed', `the backup_manifest of the server is damaged: ${why}`, { cause });
}

/** Writes one as a server does, byte for byte, so that pg_verifybackup takes it. */
export function encodeBackupManifest({ version, systemId, files, walRanges }: BackupManifest): Buffer {
  const head = `{ "PostgreSQL-Backup-Manifest-Version": ${version},\n${systemId === undefined ? '' : `"System-Identifier": ${systemId},\n`}"Files": [`;
  const ranges = walRanges.map(({ timeline, start, end }) => `{ "Timeline": ${timeline}, "Start-LSN": "${start}", "End-LSN": "${end}" }`);
  const body = Buffer.from(`${head}${files.map((file) => `\n${fileLine(file)}`).join(',')}\n],\n"WAL-Ranges": [\n${ranges.join(',\n')}\n],\n`);
  return Buffer.concat([body, Buffer.from(`"Manifest-Checksum": "${createHash('sha256').update(body).digest('hex')}"}\n`)]);
}

function fileLine({ path, size, modified, algorithm, checksum }: ManifestFile): string {
  const raw = Buffer.from(path, 'latin1');
  const text = raw.toString('utf8');
  const name = Buffer.from(text, 'utf8').equals(raw) ? `"Path": ${JSON.stringify(text)}` : `"Encoded-Path": "${raw.toString('hex')}"`;
  const sum = algorithm === undefined ? '' : `, "Checksum-Algorithm": "${algorithm}", "Checksum": "${checksum ?? ''}"`;
  return `{ ${name}, "Size": ${size}, "Last-Modified": "${modified}"${sum} }`;
}
