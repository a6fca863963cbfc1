/** The schema of a database from `pg_dump`: the newest native one that is new enough, else the WASM build of the npm package. */
import { execFile, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { HoldfastError, isHoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { readToc } from './archive/read-toc.ts';
import type { Toc, TocEntry } from './archive/toc.ts';
import { openRelay } from './relay.ts';
import { splitStatements } from './sql-statements.ts';
import { childEnvironment, describeTarget, findPassword, type PostgresTarget } from './target.ts';
import { wasmDump } from './wasm-dump.ts';

export interface DumpProgram {
  /** Undefined: the WASM build. */
  readonly path: string | undefined;
  /** `18.4` */
  readonly version: string;
}

export interface SchemaDump {
  /** The id of an exported snapshot that is still held; undefined: as it stands now. */
  readonly snapshot: string | undefined;
  /** Only these tables, with all that belongs to them: patterns of pg_dump, so quoted. */
  readonly tables?: readonly string[];
}

/** The version of the WASM build in @electric-sql/pglite-tools 0.4.8. */
const WASM_VERSION = '18.3';

/** A change of a table that waits for the snapshot's end would make pg_dump wait for it, and so both for ever. */
const LOCK_WAIT_MS = 10_000;

/**
 * The program to dump a server of this version (`15.20`) with. It must not be older than the server, not even in its
 * minor release: servers store options that only their own pg_dump knows to hide.
 */
export async function findDumpProgram(server: string): Promise<DumpProgram> {
  const found: DumpProgram[] = [];
  for (const path of await candidates()) {
    const version = await versionOf(path);
    if (version !== undefined && newEnough(version, server)) found.push({ path, version });
  }
  const newest = found.toSorted((a, b) => compareVersions(b.version, a.version))[0];
  if (newest !== undefined) return newest;
  if (compareVersions(server.split('.')[0] ?? '0', WASM_VERSION) > 0) {
    throw new HoldfastError('program-missing', `The server is PostgreSQL ${server}, and no pg_dump that new is here.`, { hint: `Install the client programs of PostgreSQL ${server.split('.')[0]}.` });
  }
  return { path: undefined, version: WASM_VERSION };
}

async function candidates(): Promise<string[]> {
  const root = '/usr/lib/postgresql';
  const majors = await readdir(root).catch(() => []);
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '').map((folder) => join(folder, 'pg_dump'));
  return [...majors.map((major) => join(root, major, 'bin', 'pg_dump')), ...onPath];
}

async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version']);
    return /(\d+(?:\.\d+)*)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

/** Below zero when `a` is older than `b`. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  return (left[0] ?? 0) - (right[0] ?? 0) || (left[1] ?? 0) - (right[1] ?? 0);
}

function newEnough(program: string, server: string): boolean {
  const sameMajor = program.split('.')[0] === server.split('.')[0];
  return sameMajor ? compareVersions(program, server) >= 0 : compareVersions(program, server) > 0;
}

/**
 * The schema as the entries of an archive, from one run of pg_dump. Large objects are not in it. Throws `source-failed` with what pg_dump says.
 * By sections and not by `--schema-only`, which would leave out that materialized views are filled.
 */
export async function dumpSchema(program: DumpProgram, target: PostgresTarget, dump: SchemaDump, signal: AbortSignal): Promise<Toc> {
  const noLarge = program.path !== undefined && compareVersions(program.version, '16') < 0 ? '--no-blobs' : '--no-large-objects';
  const args = ['-Fc', '--compress=0', '--section=pre-data', '--section=post-data', '--encoding=UTF8', noLarge, `--lock-wait-timeout=${LOCK_WAIT_MS}`];
  if (dump.snapshot !== undefined) args.push(`--snapshot=${dump.snapshot}`);
  for (const table of dump.tables ?? []) args.push(`--table=${table}`);
  const archive = await (program.path === undefined ? wasmDump(target, args, signal) : nativeDump(program.path, target, args, signal)).catch((error: unknown) => Promise.reject(waited(error)));
  const toc = readToc(archive);
  // The WASM build does not know the name of the database that it is connected to.
  return { ...toc, database: target.database, entries: toc.entries.map(portable) };
}

/** The one failure of pg_dump that goes away by itself. */
function waited(error: unknown): unknown {
  if (!isHoldfastError(error, 'source-failed') || !/lock timeout|could not obtain lock/.test(error.message)) return error;
  return new HoldfastError('source-failed', error.message, { cause: error, transient: true, hint: 'A change of a table is waiting for its turn; run this again when it is done.' });
}

async function nativeDump(path: string, target: PostgresTarget, args: readonly string[], signal: AbortSignal): Promise<Buffer> {
  const answer = findPassword(target, false);
  await using relay = target.meter === undefined ? undefined : await openRelay({ ...target, ...('password' in answer ? { password: answer.password } : {}) }, target.meter);
  // The password goes by environment, which other users cannot read; an argument they could.
  const child = spawn(path, args, { env: childEnvironment(relay?.target ?? target), stdio: ['ignore', 'pipe', 'pipe'], signal });
  const out: Buffer[] = [];
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => out.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => (said = (said + bytes.toString()).slice(-4000)));
  const exit = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => Promise.reject(new HoldfastError(systemCode(error) === 'ABORT_ERR' ? 'interrupted' : 'program-failed', `${path}: ${messageOf(error)}`, { cause: error })));
  if (exit !== 0) throw new HoldfastError('source-failed', `pg_dump could not read the schema of ${describeTarget(target)}: ${said.trim()}`);
  return Buffer.concat(out);
}

/**
 * Without the statement that only servers of the source's kind understand: `pg_attver` is a private mark of some minor releases that a
 * pg_dump of another major does not know to hide. (`SET transaction_timeout`, of 17, is in no entry: see renderSection.)
 */
export function portable(entry: TocEntry): TocEntry {
  if (!entry.create.includes('pg_attver')) return entry;
  const foreign = /^ALTER (FOREIGN )?TABLE ONLY [^;]* SET \(pg_attver='?\d+'?\)$/;
  const create = splitStatements(entry.create).map(({ text, code }) => (foreign.test(code) ? text.slice(0, text.length - code.length - 1) : text)).join('');
  return { ...entry, create };
}
