/** The schema of databases as plain SQL in a Git work tree, with a commit when it has changed. */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, isHoldfastError, messageOf } from '../base/errors.ts';
import { writeDurably } from '../base/file.ts';
import { commitFiles, ensureWorkTree, push } from '../client/git/git.ts';
import { tagValue, type Repository, type Snapshot } from '../repository/repository.ts';
import { exportablesOf } from '../source/export.ts';
import type { Context } from './context.ts';
import { readManifest } from './manifest.ts';

export interface SchemaHistoryOptions {
  readonly repository: Repository;
  readonly snapshot: Snapshot;
  /** Names of databases; none: all. */
  readonly databases: readonly string[];
  /** Absolute; made, and made a Git repository, when it is none yet. */
  readonly folder: string;
  /** Also to where the branch goes. */
  readonly push: boolean;
}

export interface SchemaCommit {
  readonly folder: string;
  readonly files: readonly string[];
  /** Undefined: the schema is as it was. */
  readonly commit: string | undefined;
  readonly pushed: boolean;
}

/** Writes `DATABASE.sql` for each database. Passwords of other servers are left out. Throws `program-missing`, `program-failed`, `target-failed`. */
export async function recordSchema(options: SchemaHistoryOptions, context: Context): Promise<SchemaCommit> {
  const { repository, snapshot, folder } = options;
  await using _lock = await repository.lockForReading('files');
  await using opened = await repository.files(snapshot);
  const manifest = await readManifest(opened.files);
  const databases = exportablesOf(manifest.content, opened.files, options.databases);
  await fs.mkdir(folder, { recursive: true }).catch((error: unknown) => Promise.reject(new HoldfastError('target-failed', `the folder ${folder} cannot be made: ${messageOf(error)}`, { cause: error })));
  await ensureWorkTree(folder);
  const files: string[] = [];
  for (const database of databases) {
    const file = `${database.fileName}.sql`;
    context.emit({ type: 'step', store: undefined, sentence: `writing the schema of ${database.name}` });
    await writeDurably(path.join(folder, file), Buffer.from(await database.schemaText()), { mode: 0o644 });
    files.push(file);
  }
  const [first] = databases;
  const names = databases.map(({ name }) => name).join(', ');
  const message = `schema of ${names} as of ${first?.moment ?? snapshot.time}\n\nsnapshot ${snapshot.id.slice(0, 10)}, store ${tagValue(snapshot, 'store') ?? ''}`;
  const commit = await commitFiles(folder, files, message);
  // Also without a commit: the one before may not have been pushed.
  if (options.push) await push(folder);
  return { folder, files, commit, pushed: options.push };
}

export type StoreCommit = { readonly store: string } & (SchemaCommit | { readonly folder: string; readonly error: HoldfastError });

/**
 * The schemas of a restore point, for a plan that has them recorded. Where several stores are databases, each has a folder of its own. A
 * record that fails does not make the restore point worse.
 */
export async function recordPoint(repository: Repository, made: readonly { readonly store: string; readonly snapshot: string }[], folder: string, context: Context): Promise<readonly StoreCommit[]> {
  const snapshots = await repository.snapshots();
  const commits: StoreCommit[] = [];
  for (const { store, snapshot: id } of made) {
    const snapshot = snapshots.find((one) => one.id === id);
    const own = made.length === 1 ? folder : path.join(folder, store);
    if (snapshot === undefined) continue;
    try {
      commits.push({ store, ...(await recordSchema({ repository, snapshot, databases: [], folder: own, push: false }, context)) });
    } catch (error) {
      if (context.signal.aborted) throw context.signal.reason;
      commits.push({ store, folder: own, error: isHoldfastError(error) ? error : new HoldfastError('internal', `the schema of ${store} could not be recorded: ${messageOf(error)}`, { cause: error }) });
    }
  }
  return commits;
}
