/** The part of a capture that makes a schema without rows: the scripts of pg_dump, and what describes the database and its catalogue. */
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
  const dump = (section: 'pre-data' | 'post-data'): Promise<string> => dumpSchema(program, leader.target, { section, snapshot: held.id }, signal);
  const scripts = deferred(Promise.all(withScripts ? [dump('pre-data'), dump('post-data')] : []));
  const properties = await readDatabase(leader);
  const facts = await readFacts(leader);
  return async () => {
    const [before = '', after = ''] = await scripts();
    return {
      files: [
        ...(withScripts ? [file('pre-data.sql', metadata, before), file('post-data.sql', metadata, after)] : []),
        file('database.json', metadata, `${JSON.stringify(properties, undefined, 2)}\n`), file('catalog.json', metadata, `${JSON.stringify(facts, undefined, 1)}\n`),
      ],
      by: `pg_dump ${program.version}${program.path === undefined ? ' (WASM)' : ''}`,
    };
  };
}

/** Awaits later what runs already; its failure is not unhandled meanwhile. */
function deferred<T>(promise: Promise<T>): () => Promise<T> {
  promise.catch(() => undefined);
  return () => promise;
}
