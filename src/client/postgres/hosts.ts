/** Which of several hosts a connection goes to, and what a failed try is worth. Rules: https://www.postgresql.org/docs/18/libpq-connect.html */
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';
import { sqlState } from './failure.ts';
import { describeHost, type PostgresHost, type PostgresTarget, type SessionKind } from './target.ts';

/** One target for each host, in order. */
export function singleTargets(target: PostgresTarget): readonly PostgresTarget[] {
  const hosts: readonly PostgresHost[] = [target, ...(target.others ?? [])];
  return hosts.map(({ host, port, address }) => ({ ...target, host, port, address, others: undefined }));
}

/** `prefer-standby` goes through the hosts twice. */
export function kindsInTurn(kind: SessionKind | undefined): readonly SessionKind[] {
  return kind === 'prefer-standby' ? ['standby', 'any'] : [kind ?? 'any'];
}

type Ask = (sql: string) => Promise<Readonly<Record<string, unknown>>[]>;

/** Is the server behind this session of that kind? A physical replication session understands SHOW only. */
export async function isOfKind(kind: SessionKind, ask: Ask, physical: boolean): Promise<boolean> {
  const first = async (sql: string): Promise<unknown> => Object.values((await ask(sql))[0] ?? {})[0];
  if (kind === 'any' || kind === 'prefer-standby') return true;
  if (kind === 'read-write' || kind === 'read-only') return ((await first('SHOW transaction_read_only')) === 'on') === (kind === 'read-only');
  const standby = physical ? (await first('SHOW in_hot_standby')) === 'on' : (await first('SELECT pg_catalog.pg_is_in_recovery()')) === true;
  return standby === (kind === 'standby');
}

const NETWORK = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'ETIMEDOUT', 'ENOENT', 'EACCES']);

/** After this failure, is the other way (in the clear, or with TLS) worth a try? A wrong password is wrong both ways. */
export function worthOtherWay(error: unknown, withTls: boolean): boolean {
  if (error instanceof HoldfastError || messageOf(error) === 'timeout expired') return false;
  const state = sqlState(error);
  // 28000: no line of pg_hba.conf lets this user in in this way. 08P01: so says PgBouncer.
  if (state !== undefined) return state === '28000' || (!withTls && state === '08P01');
  const code = error instanceof AggregateError ? systemCode(error.errors[0]) : systemCode(error);
  return withTls && !NETWORK.has(code ?? '');
}

/** After this failure, is another host worth a try? Not when the login itself was refused. */
export function worthOtherHost(error: unknown): boolean {
  return !(error instanceof HoldfastError && error.code !== 'database-unreachable') && sqlState(error)?.startsWith('28') !== true;
}

export interface FailedHost {
  readonly host: PostgresHost;
  readonly error: unknown;
}

/** One error of all hosts; that of the only one as it is. */
export function noHost(target: PostgresTarget, failed: readonly FailedHost[]): unknown {
  const [first] = failed;
  if (first === undefined || failed.length === 1) return first?.error;
  const each = failed.map(({ host, error }) => `${describeHost(host)}: ${shortened(error)}`);
  const hint = failed.map(({ error }) => (error instanceof HoldfastError ? error.hint : undefined)).find((text) => text !== undefined);
  return new HoldfastError('database-unreachable', `Cannot connect to database ${target.database} as ${target.user} on any host. ${each.join('; ')}`, {
    cause: first.error, transient: failed.some(({ error }) => error instanceof HoldfastError && error.transient), ...(hint === undefined ? {} : { hint }),
  });
}

/** Without the target, which is named once for all. */
function shortened(error: unknown): string {
  return messageOf(error).replace(/^Cannot connect to .*? as [^:]*: /, '');
}
