/**
 * Tables or a whole database out of a point in time, into the server that runs: the cluster is recovered in a scratch folder, a server
 * is started on it, what is wanted is backed up from there into a repository for the moment, and restored from that like any other
 * backup, with the same proofs. Whatever happens, the scratch folder and its server are gone at the end.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { createRepository, type Repository } from '../../repository/repository.ts';
import { ownerFor } from '../../source/cluster/ownership.ts';
import type { RestoreReport } from '../../source/source.ts';
import type { ClusterStore, PostgresStore, Stack } from '../../stack/stack.ts';
import { openStorage } from '../../storage/open.ts';
import { backup } from '../backup.ts';
import type { Context } from '../context.ts';
import { prepareRecovery, type PreparedCluster } from './prepare-recovery.ts';
import { startRecovered, type RecoveredServer } from './recovered-server.ts';
import { freeBytes, type RecoveryPlan } from './recovery-plan.ts';
import { executeRestore, planRestore, type DatabaseRestore } from '../restore.ts';
import { extract } from './restore-cluster.ts';

export interface MomentPart {
  readonly stack: Stack;
  readonly store: ClusterStore;
  readonly plan: RecoveryPlan;
  /** The database that it comes from, and goes into when `into` is undefined. */
  readonly database: string;
  /** What of it, and how. */
  readonly wish: DatabaseRestore;
  /** The name of a new database. */
  readonly into: string | undefined;
}

/** Throws `target-full` when the folder for temporary files has no room for the whole cluster. */
export async function checkScratch({ baseBytes, logBytes, store }: RecoveryPlan): Promise<void> {
  const [needed, free] = [(baseBytes + logBytes) * 1.1, await freeBytes(tmpdir())];
  if (needed <= free) return;
  throw new HoldfastError('target-full', `${tmpdir()} has ${Math.ceil(free / 1e6)} MB free, and ${Math.ceil(needed / 1e6)} MB are needed to recover ${store} there for a while`, { hint: 'Name a folder on a larger disk in the environment variable TMPDIR.' });
}

export async function restoreFromMoment(part: MomentPart, repository: Repository, context: Context): Promise<readonly RestoreReport[]> {
  const { store, plan, database } = part;
  await checkScratch(plan);
  await using scratch = await scratchFolder();
  const data = path.join(scratch.path, 'data');
  let prepared: PreparedCluster | undefined;
  await extract(plan, repository, data, context, { owner: await ownerFor(store.directory), finish: async (building) => void (prepared = await prepareRecovery(plan, building, context)) });
  if (prepared === undefined) throw new Error('a recovery that was not prepared');
  const user = new URL(store.url).username;
  await using server = await startRecovered({
    plan, prepared: { ...prepared, data }, programs: store.programs, roles: user === '' ? [] : [decodeURIComponent(user)], scratch: true, clock: context.clock, signal: context.signal,
    step: (sentence) => context.emit({ type: 'step', store: store.name, sentence }),
  });
  await refuseUnknown(server, database, plan);
  return await carryOver(part, server, scratch.path, context);
}

async function scratchFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-moment-'));
  // The user of the server must get through to its data.
  await chmod(folder, 0o711);
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }) };
}

async function refuseUnknown(server: RecoveredServer, database: string, { store }: RecoveryPlan): Promise<void> {
  const found = await Connection.with(server.target('template1'), (connection) => connection.query<{ name: string }>('SELECT datname AS name FROM pg_catalog.pg_database WHERE NOT datistemplate ORDER BY 1', 'listing databases'));
  if (found.some(({ name }) => name === database)) return;
  throw new HoldfastError('path-missing', `at that moment ${store} had no database ${database}`, { hint: `It had: ${found.map(({ name }) => name).join(', ')}. Name one with --database.` });
}

/** A backup of the wanted part, for this restore alone; its password is forgotten with it. */
async function carryOver({ stack, store, database, wish, into }: MomentPart, server: RecoveredServer, folder: string, context: Context): Promise<readonly RestoreReport[]> {
  const { name, tier, url, password } = store;
  const live = new URL(url);
  live.pathname = `/${encodeURIComponent(database)}`;
  const common = { kind: 'postgres' as const, name, tier, backup: true, databases: [database], globals: true };
  const there: PostgresStore = { ...common, url: server.url(database) };
  const here: PostgresStore = { ...common, url: live.href, ...(password === undefined ? {} : { password }) };
  const small: Stack = { name: stack.name, folder: stack.folder, stores: [here], repositories: [] };
  await using lifetime = new AsyncDisposableStack();
  const storage = await openStorage({ kind: 'local', path: path.join(folder, 'repository') });
  const repository = lifetime.adopt(await createRepository(storage, new Secret(randomBytes(32).toString('hex')), context.clock), (one) => one.close());
  const part = wish.tables === undefined ? undefined : { tables: wish.tables };
  const { stores: [made] } = await backup({ stack: { ...small, stores: [there] }, stores: [there], repository, compression: 'auto', tags: [], partOf: () => part }, context);
  if (made?.state === 'failed') throw made.error;
  if (made?.state !== 'ok') throw new HoldfastError('restore-unproven', `not all of ${database} could be read from the recovered server: ${made?.problems.map(({ subject, message }) => `${subject}: ${message}`).join('; ') ?? ''}`);
  const restored = await executeRestore(await planRestore({ stack: small, stores: [here], repository, database: wish, into }, context), repository, context);
  return restored.map(({ report }) => ({ ...report, proof: [...server.proof, ...report.proof] }));
}
