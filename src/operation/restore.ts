/** `restore`: rebuilds stores, or parts of them, beside what is there, proves them, and puts them in place. Plan first: it prints, and is what a person confirms. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import type { ExtractReport } from '../repository/entry.ts';
import type { Repository, Snapshot } from '../repository/repository.ts';
import { tagValue } from '../repository/repository.ts';
import type { RestoreReport, RestoreRequest, RestoreStep } from '../source/source.ts';
import type { Stack, Store } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { readManifest } from './manifest.ts';
import { sourceOf } from './open.ts';
import { selectFor } from './select-part.ts';

export interface RestoreOptions {
  readonly stack: Stack;
  readonly stores: readonly Store[];
  readonly repository: Repository;
  readonly at?: Date | undefined;
  /** The beginning of an id; for one store only. */
  readonly snapshot?: string | undefined;
  /** A path of a directory; for one store only. */
  readonly part?: string | undefined;
  /** What of a database comes back, and how; for one store only when it names tables. */
  readonly database?: DatabaseRestore | undefined;
  /** Another place: a folder, or for one database store the name of a new database. */
  readonly into?: string | undefined;
  /** Of whole servers: where tablespaces go, by OID or name. */
  readonly tablespaces?: RestoreRequest['tablespaces'];
}

/** What a restore of databases can be told. */
export type DatabaseRestore = Pick<RestoreRequest, 'tables' | 'only' | 'as' | 'schemas' | 'clean' | 'cascade' | 'choices' | 'intoExisting'>;

export interface RestoreItem {
  readonly store: Store;
  readonly snapshot: Snapshot;
  readonly part: string | undefined;
  readonly into: string | undefined;
  readonly database?: DatabaseRestore | undefined;
  readonly tablespaces?: RestoreRequest['tablespaces'];
  /** What is done on the target besides, because something is missing or in the way there. */
  readonly steps: readonly RestoreStep[];
  /** What will happen, for people: `rebuild … and put it in place; the present one is kept`. */
  readonly sentence: string;
  /** Something that stands there now will be moved aside. */
  readonly replaces: boolean;
}

export interface RestorePlan {
  readonly stack: string;
  readonly items: readonly RestoreItem[];
  /** Worth reading before confirming. */
  readonly warnings: readonly string[];
}

export interface StoreRestore {
  readonly store: string;
  readonly snapshot: string;
  readonly report: RestoreReport;
  readonly seconds: number;
}

/** Decides what to restore from which snapshot to where, and looks at the targets; changes nothing. Throws `missing-on-target` with all that a target lacks. */
export async function planRestore(options: RestoreOptions, context: Context): Promise<RestorePlan> {
  const { stack, stores, part, into, snapshot, at, database } = options;
  if (stores.length !== 1 && (part !== undefined || snapshot !== undefined || database?.tables !== undefined)) {
    throw new HoldfastError('usage', 'a table, a path or a snapshot belongs to one store, and several are chosen', { hint: `Name one of: ${stores.map(({ name }) => name).join(', ')}.` });
  }
  const snapshots = await options.repository.snapshots();
  const items: RestoreItem[] = [];
  for (const store of stores) {
    const wish = store.kind === 'postgres' ? database : undefined;
    if (wish === undefined && database !== undefined && isAsked(database)) throw new HoldfastError('usage', `${store.name} is no database: tables, schemas and roles belong to databases`);
    const chosen = await selectFor(options.repository, snapshots, { stack: stack.name, store: store.name, at, snapshot }, wish);
    const item = { store, snapshot: chosen, part, database: wish, tablespaces: options.tablespaces, steps: [], ...destination(store, part, into, stores.length > 1, wish) };
    items.push({ ...item, steps: await stepsOf(item, options.repository, context) });
  }
  const runs = new Set(items.map((item) => tagValue(item.snapshot, 'run')));
  const warnings = runs.size > 1 ? ['The stores come from different restore points: their moments differ, see the times.'] : [];
  for (const item of items) {
    if (tagValue(item.snapshot, 'state') === 'degraded') warnings.push(`The snapshot of ${item.store.name} is degraded: some things could not be read when it was made. Its manifest.json names them.`);
  }
  return { stack: stack.name, items, warnings };
}

function isAsked({ tables, only, as, schemas, clean, intoExisting }: DatabaseRestore): boolean {
  return tables !== undefined || only !== undefined || as !== undefined || schemas !== undefined || clean === true || intoExisting === true;
}

/** Asks the target. What goes into a folder needs none. */
async function stepsOf(item: RestoreItem, repository: Repository, context: Context): Promise<readonly RestoreStep[]> {
  if (item.store.kind !== 'postgres' || (item.into !== undefined && isFolder(item.into))) return [];
  await using _lock = await repository.lockForReading('files');
  await using opened = await repository.files(item.snapshot);
  const manifest = await readManifest(opened.files);
  const source = await sourceOf(item.store, context.clock);
  return (await source.planRestore?.(opened.files, manifest.content, requestOf(item, context))) ?? [];
}

function requestOf({ store, part, into, database, tablespaces }: RestoreItem, { emit, signal }: Context): RestoreRequest {
  const step = (sentence: string): void => emit({ type: 'step', store: store.name, sentence });
  const progress = (bytes: number): void => emit({ type: 'progress', store: store.name, bytes, files: 0 });
  return { ...database, part, into, tablespaces, signal, step, progress };
}

function destination(store: Store, part: string | undefined, into: string | undefined, several: boolean, database: DatabaseRestore | undefined): Pick<RestoreItem, 'into' | 'sentence' | 'replaces'> {
  const tables = database?.tables;
  const what = part === undefined ? (tables === undefined ? store.name : `${tables.join(', ')} of ${store.name}`) : `${part} of ${store.name}`;
  if (database?.only === 'data') {
    const where = into === undefined ? 'its database' : `the database ${into}`;
    return { into, sentence: `load the rows of ${what} into the tables that are in ${where}, in one transaction${database.clean === true ? '; the rows that stand there now are not kept' : ''}`, replaces: database.clean === true };
  }
  if (database?.clean === true) return { into, sentence: `replace what the backup holds of ${what} in its database, in one transaction; what stands there now is not kept, what else is there stays`, replaces: true };
  if (into !== undefined) {
    const target = several ? path.join(into, store.name) : into;
    const files = store.kind === 'postgres' && isFolder(target);
    const rebuilt = database?.only === 'schema' ? `rebuild the schema of ${what}, without rows,` : `rebuild ${what}`;
    const named = database?.intoExisting === true ? `${rebuilt} in the empty database ${target}` : `${rebuilt} as ${target}`;
    return { into: target, sentence: files ? `write the files of ${what} (SQL and rows) to ${target}` : named, replaces: false };
  }
  if (database?.as !== undefined) return { into: undefined, sentence: `restore ${what} as ${database.as} in its database`, replaces: false };
  const place = store.kind === 'directory' ? store.path : store.kind === 'cluster' ? (store.directory ?? 'its data directory') : 'its database';
  const rebuilt = database?.only === 'schema' ? `rebuild the schema of ${what}, without rows,` : `rebuild ${what}`;
  return { into: undefined, sentence: `${rebuilt} beside, prove it, then put it in place of ${tables === undefined ? place : `those in ${place}`}; what stands there now is kept`, replaces: standsThere(store) };
}

/** Of a database, `--into` names another database; a path is a folder for its files. */
function isFolder(into: string): boolean {
  return into.includes('/') || into === '.' || into === '..';
}

function standsThere(store: Store): boolean {
  if (store.kind === 'directory') return fs.existsSync(store.path);
  return store.kind === 'postgres' || store.directory !== undefined;
}

/** Carries the plan out, store by store. Throws at the first that fails; what was put in place before stays. */
export async function executeRestore(plan: RestorePlan, repository: Repository, context: Context): Promise<readonly StoreRestore[]> {
  await using _lock = await repository.lockForReading('files');
  const restored: StoreRestore[] = [];
  for (const item of plan.items) restored.push(await restoreItem(item, repository, context));
  return restored;
}

async function restoreItem(item: RestoreItem, repository: Repository, context: Context): Promise<StoreRestore> {
  const { store, snapshot, into } = item;
  const { clock, emit, signal } = context;
  const started = clock.elapsedMs();
  emit({ type: 'store-started', store: store.name, kind: store.kind });
  await using opened = await repository.files(snapshot);
  const request = requestOf(item, context);
  let report: RestoreReport;
  if (into !== undefined && store.kind === 'postgres' && isFolder(into)) {
    report = { target: path.resolve(into), ...accountOf(await opened.files.extract('/', path.resolve(into), { signal, progress: request.progress })) };
  } else {
    const manifest = await readManifest(opened.files);
    const source = await sourceOf(store, clock);
    report = await source.restore(opened.files, manifest.content, request);
  }
  const seconds = (clock.elapsedMs() - started) / 1000;
  emit({ type: 'store-finished', store: store.name, seconds });
  return { store: store.name, snapshot: snapshot.id, report, seconds };
}

function accountOf({ files, folders, others, bytes, problems }: ExtractReport): Pick<RestoreReport, 'counts' | 'proof'> {
  const lost = problems.map(({ subject, message }) => ({ subject, equal: false, detail: message }));
  return { counts: { files, folders, others, bytes }, proof: [{ subject: 'files', equal: true, detail: `${files} files read back and equal` }, ...lost] };
}

/** Restores files of any snapshot, also of one that another program wrote, to a folder that does not exist. */
export async function restoreFiles(
  options: { readonly repository: Repository; readonly snapshot: Snapshot; readonly from: string; readonly into: string; readonly ownershipByName: boolean },
  context: Context,
): Promise<RestoreReport> {
  const { repository, snapshot, from, into, ownershipByName } = options;
  await using _lock = await repository.lockForReading('files');
  await using opened = await repository.files(snapshot);
  const extractOptions = {
    ownershipByName, signal: context.signal,
    progress: (bytes: number) => context.emit({ type: 'progress', store: undefined, bytes, files: 0 }),
  };
  const target = path.resolve(into);
  const extracted = await opened.files.extract(from, target, extractOptions);
  return { target, ...accountOf(extracted) };
}
