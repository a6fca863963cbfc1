/**
 * Starts a server on a prepared data directory and judges by what it says and what it is whether it has come to the target: that it left
 * recovery, where it stopped, which transaction was the last, on which timeline it is, and that it is still alive after that. That a
 * server was started proves nothing: one that misses its target answers for a moment and dies.
 */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { sleep, type Clock } from '../../base/clock.ts';
import { HoldfastError, isHoldfastError } from '../../base/errors.ts';
import { freePort, give, startCluster, type ClusterServer } from '../../client/postgres/cluster-server.ts';
import { Connection } from '../../client/postgres/connection.ts';
import { findPrograms, type Identity, type Programs } from '../../client/postgres/programs.ts';
import { serverTime } from '../../client/postgres/recovery-settings.ts';
import { parseTarget, type PostgresTarget } from '../../client/postgres/target.ts';
import type { RecoveryTarget } from '../../policy/recovery-target.ts';
import type { ClusterDetail } from '../../source/cluster/manifest.ts';
import { majorOf } from '../../source/cluster/manifest.ts';
import type { ProofLine } from '../../source/source.ts';
import type { PreparedCluster } from './prepare-recovery.ts';
import { nextTimeline, type RecoveryPlan } from './recovery-plan.ts';

/** A server that survives this long after recovery has not run into what makes them die at once. */
const ALIVE_MS = 1000;

export interface RecoveredServer extends AsyncDisposable {
  /** Of a superuser, to a database of the server. */
  target(database: string): PostgresTarget;
  readonly url: (database: string) => string;
  /** What was compared with the plan. */
  readonly proof: readonly ProofLine[];
  /** Those of `shared_preload_libraries` that are here, and those that are not. */
  readonly libraries: { readonly present: readonly string[]; readonly missing: readonly string[] };
  readonly programs: Programs;
  stop(): Promise<void>;
}

export interface RecoveredOptions {
  readonly plan: RecoveryPlan;
  readonly prepared: PreparedCluster;
  /** The folder of the programs; undefined: wherever they are. */
  readonly programs: string | undefined;
  /** Names that may be let in: roles that probably exist. */
  readonly roles: readonly string[];
  /** It is thrown away afterwards: nothing need be safe on disk. */
  readonly scratch: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  step(sentence: string): void;
}

/** Throws `program-missing`, and `restore-unproven` when the server does not come to the target, or not to the one that was planned. */
export async function startRecovered(options: RecoveredOptions): Promise<RecoveredServer> {
  const { plan, prepared, signal, step, clock } = options;
  await using lifetime = new AsyncDisposableStack();
  const place = lifetime.use(await serverPlace(prepared.identity));
  const programs = await findPrograms({ major: majorOf(plan.base.detail.server), folder: options.programs, scratch: place.path, identity: prepared.identity });
  const libraries = await librariesOf(plan.base.detail, programs);
  step(`Recovering ${plan.store} with PostgreSQL ${programs.version}`);
  const server = lifetime.use(await start(options, programs, place.path, libraries.present));
  const readyAt = clock.elapsedMs();
  const role = await findSuperuser(server, options.roles);
  const target = (database: string): PostgresTarget => parseTarget(server.url(database, role), undefined, {});
  const proof = [...judgeLog(server.log(), plan.target), ...(await judgeState(target('template1'), plan))];
  while (clock.elapsedMs() - readyAt < ALIVE_MS && server.alive()) await sleep(50, signal);
  if (!server.alive()) throw unproven(plan, `the server ended after the recovery: ${server.log().trim().slice(-2000)}`);
  const wrong = proof.filter(({ equal }) => !equal);
  if (wrong.length > 0) throw unproven(plan, wrong.map(({ subject, detail }) => `${subject}: ${detail}`).join('; '));
  const kept = lifetime.move();
  return { target, url: (database) => server.url(database, role), proof, libraries, programs, stop: () => server.stop(), [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function unproven({ store }: RecoveryPlan, what: string): HoldfastError {
  return new HoldfastError('restore-unproven', `The recovery of ${store} did not end where it was to: ${what}`, { hint: 'Nothing was put in place. If it ends there again, please report it with this text.' });
}

/** For the socket, the configuration of this start, and libraries: short, because of the socket, and open to the user of the server. */
async function serverPlace(identity: Identity): Promise<{ readonly path: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-server-'));
  await give(folder, identity);
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 3 }) };
}

/** The configuration is ours alone: the user's may name files, addresses and programs that are for the real server. */
async function start(options: RecoveredOptions, programs: Programs, place: string, libraries: readonly string[]): Promise<ClusterServer> {
  const { plan, prepared, scratch, signal } = options;
  const { shared_preload_libraries: _libraries, wal_level: _level, ...atLeast } = plan.base.detail.settings;
  const [config, hba, ident] = ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'].map((name) => path.join(place, name));
  for (const [file, text] of [[config, ''], [hba, 'local all all trust\n'], [ident, '']] as const) {
    if (file === undefined) continue;
    await writeFile(file, text, { mode: 0o600 });
    await give(file, prepared.identity);
  }
  const values = Object.fromEntries(Object.entries(atLeast).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
  const settings: Record<string, string> = {
    ...values, config_file: config ?? '', hba_file: hba ?? '', ident_file: ident ?? '', external_pid_file: '', listen_addresses: '', ssl: 'off', shared_preload_libraries: libraries.join(','),
    archive_mode: 'off', archive_command: '', primary_conninfo: '', synchronous_standby_names: '', logging_collector: 'off', log_destination: 'stderr', log_min_messages: 'log', log_timezone: 'UTC', timezone: 'UTC', lc_messages: 'C',
    // Nobody looks while it recovers, and without this no setting must be as large as it was.
    hot_standby: 'off', autovacuum: 'off', max_slot_wal_keep_size: '-1', ...(scratch ? { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' } : {}),
  };
  try {
    return await startCluster({ data: prepared.data, programs, identity: prepared.identity, sockets: place, port: await freePort(), settings, signal });
  } catch (error) {
    if (!isHoldfastError(error, 'program-failed')) throw error;
    throw unproven(plan, error.message);
  }
}

/** Libraries that are not installed here would keep the server from starting. */
async function librariesOf({ settings }: ClusterDetail, { folder }: Programs): Promise<RecoveredServer['libraries']> {
  const wanted = (settings.shared_preload_libraries ?? '').split(',').map((name) => name.trim().replaceAll('"', '')).filter((name) => name !== '');
  const [present, missing]: [string[], string[]] = [[], []];
  for (const name of wanted) {
    const file = `${path.basename(name).replace(/\.so$/, '')}.so`;
    const places = path.isAbsolute(name) ? [name.replace(/(\.so)?$/, '.so')] : [path.join(folder, '../lib', file), path.join(folder, '../lib/postgresql', file)];
    const found = await Promise.all(places.map((one) => stat(one).then(() => true, () => false)));
    (found.includes(true) ? present : missing).push(name);
  }
  return { present, missing };
}

/** Everyone is let in who exists. The first superuser does the looking. */
async function findSuperuser(server: ClusterServer, roles: readonly string[]): Promise<string> {
  let refused: unknown;
  for (const role of new Set([...roles, 'postgres'])) {
    try {
      await using connection = await Connection.connect(parseTarget(server.url('template1', role), undefined, {}));
      const [found] = await connection.query<{ name: string }>('SELECT rolname AS name FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1', 'looking for a superuser');
      if (found !== undefined) return found.name;
    } catch (error) {
      refused = error;
    }
  }
  throw new HoldfastError('restore-unproven', `No role is known that may look into the recovered server; tried ${[...new Set([...roles, 'postgres'])].join(', ')}.`, { cause: refused, hint: 'Name a role of the server in the `url:` of the store.' });
}

/** What the server says of the end of its recovery (xlogrecovery.c) against what was planned. */
export function judgeLog(log: string, { stop, last, next, base }: RecoveryTarget): readonly ProofLine[] {
  const [, side, kind, xid] = /recovery stopping (before|after) (commit|abort) of (?:prepared )?transaction (\d+), time/.exec(log) ?? [];
  const position = /recovery stopping (before|after) WAL location \(LSN\) "([0-9A-F/]+)"/.exec(log)?.[2];
  const seen = xid !== undefined ? `${side} the ${kind} of transaction ${xid}` : position !== undefined ? `at position ${position}` : 'at the end of the log';
  const stopped: ProofLine = { subject: 'where it stopped', equal: stopsAsPlanned(), detail: seen };
  function stopsAsPlanned(): boolean {
    if (stop.kind === 'time') return side === 'before' && xid === String(next?.xid);
    if (stop.kind === 'xid') return side === 'after' && xid === String(stop.xid);
    return stop.kind === 'lsn' ? position !== undefined : xid === undefined && position === undefined;
  }
  // What was in the base backup already is not replayed, and not told.
  const replayed = last !== undefined && last.lsn >= base.start ? last : undefined;
  const said = /last completed transaction was at log time (\S+ \S+?)\+00/.exec(log)?.[1];
  const lines = [stopped];
  if (replayed !== undefined) {
    const expected = serverTime(replayed.timeUs).replace(/\+00$/, '');
    const equal = said !== undefined && normalFraction(said) === normalFraction(expected);
    lines.push({ subject: 'last transaction', equal, detail: equal ? `xid ${replayed.xid}, ${expected}+00` : `the server says ${said ?? 'none'}, expected ${expected}` });
  } else if (said !== undefined) lines.push({ subject: 'last transaction', equal: false, detail: `the server says ${said}, and none was expected` });
  return lines;
}

/** The server leaves out zeros at the end of a fraction, and prints names of zones for others. */
function normalFraction(time: string): string {
  const [whole = '', fraction = ''] = time.replace(/ UTC$/, '').split('.');
  return `${whole}.${fraction.padEnd(6, '0')}`;
}

async function judgeState(target: PostgresTarget, plan: RecoveryPlan): Promise<readonly ProofLine[]> {
  await using connection = await Connection.connect(target);
  const [row] = await connection.query<{ recovering: boolean; file: string; id: string }>(
    `SELECT pg_catalog.pg_is_in_recovery() AS recovering, pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) AS file, (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS id`, 'asking whether recovery has ended');
  const timeline = Number.parseInt(row?.file.slice(0, 8) ?? '', 16);
  const expected = nextTimeline(plan);
  return [
    { subject: 'recovery', equal: row?.recovering === false, detail: row?.recovering === false ? 'has ended' : 'goes on' },
    { subject: 'timeline', equal: timeline === expected, detail: timeline === expected ? String(timeline) : `${timeline}, expected ${expected}` },
    { subject: 'system id', equal: row?.id === plan.cluster.systemId, detail: row?.id ?? '' },
  ];
}
