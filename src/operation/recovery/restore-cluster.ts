/** Restores a physical store to a point in time: into a folder, or in place of the data directory of a server that is stopped. */
import { stat } from 'node:fs/promises';
import * as path from 'node:path';
import { HoldfastError } from '../../base/errors.ts';
import type { Repository } from '../../repository/repository.ts';
import { extractBase, type ExtractedBase } from '../../source/cluster/extract-base.ts';
import { refuseRunning } from '../../source/cluster/in-place.ts';
import { ownerFor } from '../../source/cluster/ownership.ts';
import type { ProofLine, RestoreReport } from '../../source/source.ts';
import type { ClusterStore } from '../../stack/stack.ts';
import type { Context } from '../context.ts';
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

/** Everything is built and proven beside; only then it gets its name. After a failure nothing is left of it. */
export async function restoreCluster(options: ClusterRestoreOptions, repository: Repository, context: Context): Promise<ClusterRestore> {
  const { store, plan, into, unproven } = options;
  await checkTarget(options);
  const place = into ?? store.directory ?? '';
  let proven: Proven = { proof: [], probes: [], notes: [] };
  const base = await extract(plan, repository, place, context, {
    owner: await ownerFor(into ?? store.directory),
    kept: into === undefined ? `${place}.before-${stamp(context.clock.now())}` : undefined,
    finish: async (building) => {
      const prepared = await prepareRecovery(plan, building, context);
      proven = unproven ? { ...proven, notes: [UNPROVEN] } : await prove(options, prepared, context);
      if (into === undefined) await refuseRunning(place);
    },
  });
  const report = { target: base.data, ...(base.kept === undefined ? {} : { kept: base.kept }), counts: base.counts, proof: [filesProof(base), ...proven.proof] };
  const major = Number.parseInt(plan.base.detail.server, 10);
  return { report, probes: proven.probes, notes: proven.notes, start: `pg_ctl -D ${shellQuoted(place)} -w start   (of PostgreSQL ${major}, as the owner of the folder; or your service)` };
}

/** `20261120-235959`, for names that sort by time. */
function stamp(now: Date): string {
  return now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
}

const UNPROVEN = 'It is not proven: no server was started on it. Your server recovers it when it is first started; see its log for the end of recovery, and whether pg_is_in_recovery() has become false.';

interface Proven {
  readonly proof: readonly ProofLine[];
  readonly probes: readonly ProbeAnswer[];
  readonly notes: readonly string[];
}

export interface ExtractRest {
  readonly owner: Awaited<ReturnType<typeof ownerFor>>;
  /** What stands at the place gets this name. */
  readonly kept?: string | undefined;
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
  await handOver(prepared);
  const { missing } = server.libraries;
  const left = missing.length === 0 ? [] : [`Libraries of shared_preload_libraries that are not installed here were left out for the proof: ${missing.join(', ')}. Install them, or take them out of the setting, before you start the server.`];
  return { proof: [...server.proof, ...checked.proof], probes: answers, notes: [...checked.notes, ...left] };
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

function shellQuoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
