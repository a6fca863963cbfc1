/**
 * The part of a capture that makes a schema without rows, from one run of pg_dump: its archive, on whose entries restores are planned and which
 * any pg_restore opens; the same as scripts for psql and for people; and what describes the database and its catalogue.
 */
import { renderSection } from '../../../client/postgres/archive/render.ts';
import type { Toc } from '../../../client/postgres/archive/toc.ts';
import { writeArchive } from '../../../client/postgres/archive/write-archive.ts';
import { findDumpProgram, dumpSchema, type DumpProgram } from '../../../client/postgres/pg-dump.ts';
import type { FileEntry, Metadata } from '../../../repository/entry.ts';
import { fromText } from '../../../base/raw-name.ts';
import { catalogFingerprint } from './catalog-fingerprint.ts';
import { readDatabase } from '../database.ts';
import { file } from './entries.ts';
import { readFacts } from '../facts.ts';
import type { PreviousDatabase } from './previous.ts';
import type { HeldSnapshot } from '../snapshot.ts';

export interface CapturedSchema {
  readonly files: readonly FileEntry[];
  /** `pg_dump 18.3 (WASM)` */
  readonly by: string;
  /** Of a frugal backup. */
  readonly fingerprint?: string | undefined;
  /** Were the files taken over from the snapshot before? Known when they have been archived. */
  unchanged(): boolean;
}

export interface SchemaRequest {
  readonly held: HeldSnapshot;
  readonly metadata: Metadata;
  readonly signal: AbortSignal;
  /** Without scripts, only the description comes. */
  readonly withScripts: boolean;
  readonly frugal: boolean;
  readonly previous: PreviousDatabase | undefined;
}

/**
 * Begins at once, beside the leader's own questions and before a table flows: the shorter the time until pg_dump has its locks, the
 * less likely is it that a change of a table waits in front of it. The function that is returned awaits the end. A frugal backup asks for
 * the fingerprint of the catalogue first, and takes the schema of the snapshot before over when that is the same.
 */
export async function beginSchema(request: SchemaRequest): Promise<() => Promise<CapturedSchema>> {
  const { held, previous } = request;
  const program = await findDumpProgram(held.server);
  const by = `pg_dump ${program.version}${program.path === undefined ? ' (WASM)' : ''}`;
  const fingerprint = request.frugal ? await catalogFingerprint(held.leader) : undefined;
  const same = fingerprint !== undefined && previous?.database.catalogFingerprint === fingerprint && previous.schemaBy === by;
  if (same) return async () => await Promise.resolve({ ...keptSchema(request, previous, program), by, fingerprint });
  const files = await beginDump(request, program);
  return async () => ({ files: await files(), by, fingerprint, unchanged: () => false });
}

async function beginDump({ held, metadata, signal, withScripts }: SchemaRequest, program: DumpProgram): Promise<() => Promise<FileEntry[]>> {
  const { leader } = held;
  const dumped = deferred(withScripts ? dumpSchema(program, leader.target, { snapshot: held.id }, signal) : Promise.resolve(undefined));
  const properties = await readDatabase(leader);
  const facts = await readFacts(leader);
  return async () => {
    const toc = await dumped();
    return [
      ...(toc === undefined ? [] : await schemaFiles(toc, metadata)),
      file('database.json', metadata, `${JSON.stringify(properties, undefined, 2)}\n`), file('catalog.json', metadata, `${JSON.stringify(facts, undefined, 1)}\n`),
    ];
  };
}

/** The files of the snapshot before; those that the repository has lost are made anew. */
function keptSchema(request: SchemaRequest, previous: PreviousDatabase, program: DumpProgram): Pick<CapturedSchema, 'files' | 'unchanged'> {
  let anew: Promise<FileEntry[]> | undefined;
  const make = async (): Promise<FileEntry[]> => await (await beginDump(request, program))();
  const kept = new Set<string>();
  const names = [...(request.withScripts ? ['pre-data.sql', 'post-data.sql', 'schema.dump'] : []), 'database.json', 'catalog.json'];
  const files = names.map((name): FileEntry => file(name, request.metadata, {
    from: 'previous', path: fromText(`${previous.folder}/${name}`), kept: () => void kept.add(name),
    otherwise: { from: 'stream', write: async (sink) => {
      anew ??= make();
      const found = (await anew).find((one) => one.name === fromText(name));
      if (found?.content.from === 'bytes') await sink.write(found.content.bytes);
    } },
  }));
  return { files, unchanged: () => kept.size === names.length };
}

async function schemaFiles(toc: Toc, metadata: Metadata): Promise<FileEntry[]> {
  const script = (section: 'pre-data' | 'post-data'): FileEntry => file(`${section}.sql`, metadata, renderSection(toc, section, { tablespaces: 'where it is' }));
  return [script('pre-data'), script('post-data'), file('schema.dump', metadata, { from: 'bytes', bytes: await archiveOf(toc) })];
}

/** The time of the dump is left out: the same schema is to give the same bytes, so that it is stored once. */
async function archiveOf(toc: Toc): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeArchive({ toc: { ...toc, created: new Date(0) }, blocks: [] }, { compression: 'none' })) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Awaits later what runs already; its failure is not unhandled meanwhile. */
function deferred<T>(promise: Promise<T>): () => Promise<T> {
  promise.catch(() => undefined);
  return () => promise;
}
