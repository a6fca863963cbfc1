/**
 * The part of a capture that makes a schema without rows, from one run of pg_dump: its archive, on whose entries restores are planned and which
 * any pg_restore opens; the same as scripts for psql and for people; and what describes the database and its catalogue.
 */
import { renderSection } from '../../client/postgres/archive/render.ts';
import type { Toc } from '../../client/postgres/archive/toc.ts';
import { writeArchive } from '../../client/postgres/archive/write-archive.ts';
import { findDumpProgram, dumpSchema } from '../../client/postgres/pg-dump.ts';
import type { FileEntry, Metadata } from '../../repository/entry.ts';
import { readDatabase } from './database.ts';
import { file } from './entries.ts';
import { readFacts } from './facts.ts';
import type { HeldSnapshot } from './snapshot.ts';

export interface CapturedSchema {
  readonly files: readonly FileEntry[];
  /** `pg_dump 18.3 (WASM)` */
  readonly by: string;
}

/**
 * Begins at once, beside the leader's own questions and before a table flows: the shorter the time until pg_dump has its locks, the
 * less likely is it that a change of a table waits in front of it. The function that is returned awaits the end. Without scripts, only
 * the description comes.
 */
export async function beginSchema(held: HeldSnapshot, metadata: Metadata, signal: AbortSignal, withScripts: boolean): Promise<() => Promise<CapturedSchema>> {
  const { leader } = held;
  const program = await findDumpProgram(held.server);
  const dumped = deferred(withScripts ? dumpSchema(program, leader.target, { snapshot: held.id }, signal) : Promise.resolve(undefined));
  const properties = await readDatabase(leader);
  const facts = await readFacts(leader);
  return async () => {
    const toc = await dumped();
    return {
      files: [
        ...(toc === undefined ? [] : await schemaFiles(toc, metadata)),
        file('database.json', metadata, `${JSON.stringify(properties, undefined, 2)}\n`), file('catalog.json', metadata, `${JSON.stringify(facts, undefined, 1)}\n`),
      ],
      by: `pg_dump ${program.version}${program.path === undefined ? ' (WASM)' : ''}`,
    };
  };
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
