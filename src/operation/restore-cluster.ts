/** Restores a physical store to a point in time: into a folder, or in place of the data directory of a server that is stopped. */
import { readFile, stat } from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError, isHoldfastError } from '../base/errors.ts';
import { putInPlace } from '../base/file.ts';
import type { Repository } from '../repository/repository.ts';
import { extractBase, type ExtractedBase } from '../source/cluster/extract-base.ts';
import { ownerFor } from '../source/cluster/ownership.ts';
import type { ProofLine, RestoreReport } from '../source/source.ts';
import type { ClusterStore } from '../stack/stack.ts';
import type { Context } from './context.ts';
import { handOver, prepareRecovery } from './prepare-recovery.ts';
import { amcheck, runProbes, type ProbeAnswer } from './probe-server.ts';
import { startRecovered } from './recovered-server.ts';
import { freeBytes, type RecoveryPlan } from './recovery-plan.ts';

export interface ClusterRestoreOptions {
  readonly store: ClusterStore;
  readonly plan: RecoveryPlan;
  /** Absolute; undefined: in place of the data directory of the store. */
  readonly into: string | undefined;
  /** Not proven here: the user's own server recovers it when it is started. */
  readonly unproven: boolean;
  /** Check all tables and indexes with the extension amcheck, where it is installed. */
  readonly amcheck: boolean;
  /** SQL, each statement of which must succeed in the recovered server. */
  readonly probes: string | undefined;
}

export interface ClusterRestore {
  readonly report: RestoreReport;
  readonly probes: readonly ProbeAnswer[];
  readonly notes: readonly string[];
  /** How it is started: a command line. */
  readonly start: string;
}

/** Throws `target-exists` when something would be overwritten, or the server of the store runs; `target-full`. Changes nothing. */
export async function checkTarget({ store, plan, into }: ClusterRestoreOptions): Promise<void> {
  const place = into ?? store.directory;
  if (place === undefined) {
    throw new HoldfastError('usage', `where should the data directory of ${store.name} go?`, { hint: 'Give --into FOLDER, or name the data directory of the server as `directory:` of the store.' });
  }
  if (into !== undefined && (await stands(place))) throw new HoldfastError('target-exists', `${place} exists already; nothing was overwritten`, { hint: 'Name a folder that does not exist yet.' });
  if (into === undefined) await refuseRunning(place);
  const [needed, free] = [plan.baseBytes + plan.logBytes, await freeBytes(path.dirname(place))];
  if (needed > free) throw new HoldfastError('target-full', `${path.dirname(place)} has ${megabytes(free)} free, and ${megabytes(needed)} are needed for ${store.name}`, { hint: 'Name a folder on a larger disk with --into.' });
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6).toLocaleString('en')} MB`;
}

async function stands(place: string): Promise<boolean> {
  return await stat(place).then(() => true, () => false);
}

/** Renaming a directory under a server that runs would leave two of them. */
async function refuseRunning(data: string): Promise<void> {
  const [pid = ''] = await readFile(path.join(data, 'postmaster.pid'), 'utf8').then((text) => text.split('\n'), () => []);
  if (!/^\d+$/.test(pid)) return;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return;
  }
  throw new HoldfastError('target-exists', `the server of ${data} is running (process ${pid})`, { hint: 'Stop it first, or restore beside it with --into FOLDER.' });
}

/** Everything is built and proven beside; only then it gets its name. After a failure nothing is left of it. */
export async function restoreCluster(options: ClusterRestoreOptions, repository: Repository, context: Context): Promise<ClusterRestore> {
  const { store, plan, into, unproven } = options;
  await checkTarget(options);
  const stamp = context.clock.now().toISOString().replace(/\D/g, '').slice(0, 14);
  const place = into ?? store.directory ?? '';
  const built = into ?? `${place}_holdfast_${stamp}`;
  let proven: Proven = { proof: [], probes: [], notes: [] };
  const base = await extract(plan, repository, built, context, {
    owner: await ownerFor(into ?? store.directory),
    ...(into === undefined ? { tablespaces: besides(plan, `${place}_tablespaces_${stamp}`) } : {}),
    finish: async (building) => {
      const prepared = await prepareRecovery(plan, building, context);
      proven = unproven ? { ...proven, notes: [UNPROVEN] } : await prove(options, prepared, context);
    },
  });
  const kept = `${place}_before_${stamp}`;
  const stood = into === undefined && (await putInPlace(built, place, kept).catch((error: unknown) => Promise.reject(notInPlace(place, built, error))));
  const report = { target: place, ...(stood ? { kept } : {}), counts: base.counts, proof: [filesProof(base), ...proven.proof] };
  const major = Number.parseInt(plan.base.detail.server, 10);
  return { report, probes: proven.probes, notes: proven.notes, start: `pg_ctl -D ${shellQuoted(place)} -w start   (of PostgreSQL ${major}, as the owner of the folder; or your service)` };
}

/** Links to tablespaces are absolute: they get their final place at once. */
function besides({ base }: RecoveryPlan, folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(base.detail.tablespaces.map(({ oid }) => [oid, path.join(folder, oid)]));
}

const UNPROVEN = 'It is not proven: no server was started on it. Your server recovers it when it is first started; see its log for the end of recovery, and whether pg_is_in_recovery() has become false.';

interface Proven {
  readonly proof: readonly ProofLine[];
  readonly probes: readonly ProbeAnswer[];
  readonly notes: readonly string[];
}

export interface ExtractRest {
  readonly owner: Awaited<ReturnType<typeof ownerFor>>;
  readonly tablespaces?: Readonly<Record<string, string>>;
  finish(building: string): Promise<void>;
}

/** The base backup of a plan, with what is to be done before it gets its name. */
export async function extract(plan: RecoveryPlan, repository: Repository, data: string, context: Context, rest: ExtractRest): Promise<ExtractedBase> {
  const { store, base } = plan;
  await using opened = await repository.files(base.snapshot);
  return await extractBase({
    files: opened.files, detail: base.detail, data, signal: context.signal, ...rest,
    step: (sentence) => context.emit({ type: 'step', store, sentence }), progress: (bytes) => context.emit({ type: 'progress', store, bytes, files: 0 }),
  });
}

async function prove(options: ClusterRestoreOptions, prepared: Awaited<ReturnType<typeof prepareRecovery>>, { emit, clock, signal }: Context): Promise<Proven> {
  const { store, plan, probes } = options;
  const step = (sentence: string): void => emit({ type: 'step', store: store.name, sentence });
  const user = new URL(store.url).username;
  await using server = await startRecovered({ plan, prepared, programs: store.programs, roles: user === '' ? [] : [decodeURIComponent(user)], scratch: false, clock, signal, step });
  const answers = probes === undefined ? [] : await runProbes(server.target(databaseOf(store)), probes, step);
  const checked = options.amcheck ? await amcheck(server, step, signal) : { proof: [], notes: [] };
  refuseUnproven(checked.proof);
  await server.stop();
  const { present, missing } = server.libraries;
  const left = missing.length === 0 ? [] : [`Libraries of shared_preload_libraries that are not installed here were left out: ${missing.join(', ')}.`];
  return { proof: [...server.proof, ...checked.proof], probes: answers, notes: [...checked.notes, ...left, ...(await handOver(prepared, plan.base.detail, present))] };
}

function databaseOf({ url }: ClusterStore): string {
  const name = decodeURIComponent(new URL(url).pathname.slice(1));
  return name === '' ? 'postgres' : name;
}

function refuseUnproven(proof: readonly ProofLine[]): void {
  const wrong = proof.filter(({ equal }) => !equal);
  if (wrong.length === 0) return;
  const shown = wrong.slice(0, 5).map(({ subject, detail }) => `${subject}: ${detail}`).join('; ');
  throw new HoldfastError('restore-unproven', `The recovered server is damaged. ${shown}${wrong.length > 5 ? `; and ${wrong.length - 5} more` : ''}`, {
    hint: 'Nothing was put in place. If only indexes on text are named, this host sorts differently (another C library): restore with --no-amcheck and REINDEX them. Else take an earlier base backup: run `holdfast verify`.',
  });
}

function filesProof({ counts, problems }: ExtractedBase): ProofLine {
  const lost = problems.map(({ subject, message }) => `${subject}: ${message}`).slice(0, 5).join('; ');
  return { subject: 'files', equal: problems.length === 0, detail: problems.length === 0 ? `${counts['files'] ?? 0} files read back and equal` : lost };
}

function notInPlace(place: string, built: string, error: unknown): HoldfastError {
  const cause = isHoldfastError(error) ? error.message : error instanceof Error ? error.message : String(error);
  return new HoldfastError('target-failed', `${place} could not be replaced: ${cause}`, { cause: error, hint: `What was recovered is proven and stands as ${built}: move it yourself, or start a server on it.` });
}

function shellQuoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
