/** `restore --at` of physical stores: the plan in words, the confirmation, and what came of it. */
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { HoldfastError, messageOf } from '../base/errors.ts';
import { formatLsn } from '../client/postgres/replication/lsn.ts';
import type { ClusterRestore, ClusterRestoreOptions } from '../operation/recovery/restore-cluster.ts';
import { describeRecovery, freeBytes, planRecovery, type RecoveryPlan } from '../operation/recovery/recovery-plan.ts';
import type { DatabaseRestore } from '../operation/restore.ts';
import type { RecoveryTarget } from '../policy/recovery-target.ts';
import { describeWish, formatInstant, parseWish } from '../policy/recovery-wish.ts';
import type { Repository } from '../repository/repository.ts';
import type { RestoreReport } from '../source/source.ts';
import type { ClusterStore, Stack, Store } from '../stack/stack.ts';
import { confirmInWords } from './confirm.ts';
import type { RecoveryOptions } from './recovery-options.ts';
import { formatBytes, formatSeconds, painter, plural, printable, table } from './render/text.ts';
import type { Session } from './session.ts';

export interface RecoverOptions extends RecoveryOptions {
  readonly at: string;
  readonly into?: string;
  readonly intoDatabase?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

interface Job {
  readonly session: Session;
  readonly stack: Stack;
  readonly repository: Repository;
  readonly options: RecoverOptions;
}

/** The physical store of a restore to a point in time. Throws `usage` when others are chosen as well. */
export function onlyCluster(stores: readonly Store[]): ClusterStore {
  const [store, second] = stores;
  if (store?.kind === 'cluster' && second === undefined) return store;
  const physical = stores.filter(({ kind }) => kind === 'cluster').map(({ name }) => name);
  throw new HoldfastError('usage', `a physical store is brought to a point in time by itself, and ${stores.length} stores are chosen`, { hint: `Restore ${physical.join(', ')} first, then the others: name them.` });
}

/** A whole server, into a folder or in place. */
export async function recover(job: Job, store: ClusterStore): Promise<void> {
  const { session, options, repository } = job;
  const { restoreCluster, checkTarget } = await import('../operation/recovery/restore-cluster.ts');
  await using _lock = await repository.lockForReading('files');
  const plan = await planOf(job, store);
  const into = options.into === undefined ? undefined : path.resolve(session.folder, options.into);
  const request: ClusterRestoreOptions = { store, plan, into, unproven: options.unproven ?? false, amcheck: options.amcheck, probes: await probesOf(session, options.probe) };
  const free = await freeBytes(path.dirname(into ?? store.directory ?? '.'));
  const lines = planLines(plan, into === undefined ? `rebuild ${store.name} beside, prove it, then put it in place of ${store.directory ?? 'its data directory'}; what stands there now is kept` : `rebuild ${store.name} as ${into}`, free);
  if (options.dryRun) return session.answer(planDocument(plan, into, free), lines);
  await checkTarget(request);
  if (into === undefined && !options.yes) await confirmInWords(session, lines, job.stack.name);
  else session.context.emit({ type: 'step', store: store.name, sentence: lastSentence(plan) });
  const started = session.clock.elapsedMs();
  const restored = await restoreCluster(request, repository, session.context);
  const seconds = (session.clock.elapsedMs() - started) / 1000;
  session.answer({ ...planDocument(plan, into, free), report: restored.report, probes: restored.probes, notes: restored.notes, start: restored.start, seconds }, resultLines(store, plan, restored, seconds));
}

/** Tables or a database, out of a server that is recovered for the purpose, into the one that runs. */
export async function recoverPart(job: Job, store: ClusterStore, wish: DatabaseRestore): Promise<void> {
  const { session, options, repository, stack } = job;
  const { restoreFromMoment, checkScratch } = await import('../operation/recovery/restore-from-moment.ts');
  const database = options.database ?? databaseNameOf(store);
  const into = options.intoDatabase ?? options.into;
  if (into?.includes('/') === true) throw new HoldfastError('usage', `--into ${into} must name a database, because a part goes into the running server`, { hint: 'Without --table and --database the whole server is restored into a folder.' });
  await using _lock = await repository.lockForReading('files');
  const plan = await planOf(job, store);
  const free = await freeBytes(tmpdir());
  const what = wish.tables === undefined ? `the database ${database}` : `${wish.tables.join(', ')} of the database ${database}`;
  const where = into !== undefined ? `as the database ${into}` : wish.as !== undefined ? `as ${wish.as}` : 'in place; what stands there now is kept under another name';
  const lines = planLines(plan, `recover the server in ${tmpdir()} for a while, and from there restore ${what} into the running server ${where}`, free);
  if (options.dryRun) return session.answer(planDocument(plan, into, free), lines);
  await checkScratch(plan);
  if (into === undefined && wish.as === undefined && !options.yes) await confirmInWords(session, lines, stack.name);
  const started = session.clock.elapsedMs();
  const reports = await restoreFromMoment({ stack, store, plan, database, wish, into }, repository, session.context);
  const seconds = (session.clock.elapsedMs() - started) / 1000;
  session.answer({ ...planDocument(plan, into, free), reports, seconds }, reports.flatMap((report) => partLines(plan, report, seconds)));
}

function partLines({ store, target: { last } }: RecoveryPlan, { target, kept, counts, proof }: RestoreReport, seconds: number): readonly string[] {
  const paint = painter(process.stdout);
  const { rows = 0, tables = 0, bytes = 0 } = counts;
  return [
    `${paint('green', 'restored')} ${printable(target)} of ${store}: ${plural(tables, 'table')}, ${plural(rows, 'row')} (${formatBytes(bytes)}), in ${formatSeconds(seconds)}.`,
    `  As it was after transaction ${last?.xid ?? 'none'}${last === undefined ? '' : `, ${formatInstant(last.timeUs)}`}.`,
    `  ${plural(proof.filter(({ equal }) => equal).length, 'comparison')} with the recovered server, all equal.`,
    ...(kept === undefined ? [] : [`  What stood there before is kept as ${printable(kept)}.`]),
  ];
}

function databaseNameOf({ url }: ClusterStore): string {
  const name = decodeURIComponent(new URL(url).pathname.slice(1));
  return name === '' ? 'postgres' : name;
}

async function planOf({ session, stack, repository, options }: Job, store: ClusterStore): Promise<RecoveryPlan> {
  const { timeline } = options;
  if (timeline !== undefined && (!Number.isInteger(timeline) || timeline < 1)) throw new HoldfastError('usage', '--timeline must be a whole number', { hint: 'As in --timeline 2; `holdfast wal status` shows which there are.' });
  const step = (sentence: string): void => session.context.emit({ type: 'step', store: store.name, sentence });
  return await planRecovery({ stack: stack.name, store: store.name, wish: parseWish(options.at), timeline }, repository, step);
}

async function probesOf(session: Session, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return await readFile(path.resolve(session.folder, file), 'utf8').catch((error: unknown) => {
    throw new HoldfastError('usage', `the file of --probe cannot be read: ${messageOf(error)}`, { cause: error });
  });
}

function lastSentence({ target: { last } }: RecoveryPlan): string {
  return last === undefined ? 'No transaction ended between the base backup and the target' : `The last transaction in it will be ${last.xid}`;
}

function planLines(plan: RecoveryPlan, what: string, free: number): readonly string[] {
  const room = `room: ${formatBytes(plan.baseBytes + plan.logBytes)} needed, ${formatBytes(free)} free`;
  return ['Plan:', `  ${plan.store}, at ${printable(describeWish(plan.wish))}: ${printable(what)}.`, ...[...describeRecovery(plan), room].map((line) => `    ${printable(line)}`), ...plan.warnings.map((warning) => `note: ${warning}`)];
}

function planDocument(plan: RecoveryPlan, into: string | undefined, free: number): object {
  const { target, base, store, baseBytes, logBytes, warnings, cluster } = plan;
  const moment = (end: RecoveryTarget['last']): object | undefined => end && { xid: end.xid, kind: end.kind, lsn: formatLsn(end.lsn), time: new Date(Number(end.timeUs / 1000n)).toISOString(), timeUs: String(end.timeUs) };
  return {
    store, into, snapshot: base.snapshot.id, systemId: cluster.systemId, timeline: target.timeline, segments: target.regions.map(({ segment }) => segment.file),
    stop: target.stop.kind, last: moment(target.last), next: moment(target.next), baseBytes, logBytes, freeBytes: free, notes: target.notes, warnings,
  };
}

function resultLines(store: ClusterStore, plan: RecoveryPlan, { report, probes, notes, start }: ClusterRestore, seconds: number): readonly string[] {
  const paint = painter(process.stdout);
  const { bytes = 0, files = 0 } = report.counts;
  const proof = report.proof.filter(({ subject }) => subject !== 'files');
  const head = proof.length === 0 ? paint('yellow', 'restored, not proven:') : paint('green', 'restored');
  return [
    `${head} ${store.name} to ${printable(report.target)}: ${plural(files, 'file')} (${formatBytes(bytes)}) and ${plural(plan.target.regions.length, 'file')} of log, in ${formatSeconds(seconds)}.`,
    ...proof.map(({ subject, detail }) => `  ${printable(`${subject}: ${detail}`)}`),
    ...(report.kept === undefined ? [] : [`  What stood there before is kept as ${printable(report.kept)}.`]),
    ...probes.flatMap(({ statement, rows }) => ['', `probe: ${printable(statement.replaceAll(/\s+/g, ' '))}`, ...rowLines(rows)]),
    ...notes.map((note) => `note: ${printable(note)}`),
    `Start it with: ${start}`,
  ];
}

function rowLines(rows: readonly Readonly<Record<string, unknown>>[]): readonly string[] {
  const columns = Object.keys(rows[0] ?? {});
  if (columns.length === 0) return ['  (no rows)'];
  const text = (value: unknown): string => printable(value === null || value === undefined ? '' : value instanceof Date ? value.toISOString() : typeof value === 'object' ? JSON.stringify(value) : String(value as string | number | boolean));
  return table(columns.map((title) => ({ title })), rows.slice(0, 50).map((row) => columns.map((name) => text(row[name])))).map((line) => `  ${line}`);
}
