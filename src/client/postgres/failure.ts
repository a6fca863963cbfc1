/** What the server or the network says, as an error that a user can act on. The SQLSTATE stays in the cause. */
import { HoldfastError, messageOf, systemCode, type ErrorCode } from '../../base/errors.ts';
import type { PasswordAnswer } from './password-file.ts';
import { describeTarget, type PostgresTarget } from './target.ts';

/** The five characters of the SQLSTATE of an error or of what caused it. */
export function sqlState(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = systemCode(at);
    if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !(at instanceof HoldfastError)) return code;
  }
  return undefined;
}

/** The body of an ErrorResponse as an Error whose `code` is the SQLSTATE. */
export function serverError(body: Buffer): Error {
  const fields = new Map<string, string>();
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const end = body.indexOf(0, at + 1);
    fields.set(String.fromCharCode(body[at] ?? 0), body.toString('utf8', at + 1, end));
    at = end + 1;
  }
  const extra = [fields.get('D'), fields.get('W')].filter((text) => text !== undefined).map((text) => ` (${text})`);
  return Object.assign(new Error(`${fields.get('M') ?? 'unknown error'}${extra.join('')}`), { code: fields.get('C') ?? 'XX000' });
}

const CERTIFICATE = 'Name the certificate of its authority with sslrootcert=FILE; sslrootcert=system trusts the authorities of this system.';

const HINTS: Readonly<Record<string, string>> = {
  '28P01': 'Check the password; it comes from the configuration, from PGPASSWORD or from the password file (~/.pgpass).',
  '28000': 'The server does not let this user in from here; look at pg_hba.conf and at the user name.',
  '3D000': 'Check the name of the database.',
  '53200': 'The server has too little room for the locks of so many tables: raise max_locks_per_transaction and restart it.',
  '53300': 'All connection slots of the server are taken; raise max_connections or try later.',
  '57P03': 'The server is starting up or shutting down; try again in a moment.',
  '42501': 'Grant the privilege that is named, or connect as the owner or a superuser.',
  ECONNREFUSED: 'Is the server running, and does it listen at this address and port?',
  ENOTFOUND: 'The host name cannot be resolved; check it.',
  ENETUNREACH: 'This machine has no route to that network. If the address is one of IPv6, use a host that has an IPv4 address.',
  EHOSTUNREACH: 'The host does not answer from here; check the address, and whether it is one of IPv6 only.',
  ENOENT: 'There is no socket of a server in this folder.',
  EACCES: 'This user may not open the socket.',
  SELF_SIGNED_CERT_IN_CHAIN: CERTIFICATE,
  DEPTH_ZERO_SELF_SIGNED_CERT: CERTIFICATE,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: CERTIFICATE,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: CERTIFICATE,
  ERR_TLS_CERT_ALTNAME_INVALID: 'The certificate of the server is for another name: connect by a name that it carries, or settle for sslmode=verify-ca.',
  CERT_HAS_EXPIRED: 'The certificate of the server has expired and must be renewed there.',
  CERT_REVOKED: 'The authority has taken back the certificate of the server.',
};

const WITHOUT_IPV6 = new Set(['ENOTFOUND', 'ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'ETIMEDOUT']);

/** Supabase's own hosts have IPv6 addresses only, which many machines cannot reach. */
function hintFor(target: PostgresTarget, state: string | undefined, message: string): string {
  const [, project] = /^db\.([a-z0-9]+)\.supabase\.co$/.exec(target.host) ?? [];
  if (project !== undefined && (WITHOUT_IPV6.has(state ?? '') || message === TIMEOUT)) {
    const pooler = `user ${target.user}.${project}, a host like aws-0-REGION.pooler.supabase.com, port 5432 (not 6543)`;
    return `This host has an IPv6 address only, and this machine may have no IPv6. Use the session pooler: ${pooler}; the page "Connect" of the project shows it.`;
  }
  if (message === TIMEOUT) return 'A firewall may drop the packets; check host and port. The URL takes connect_timeout=SECONDS.';
  return HINTS[state ?? ''] ?? 'Check host, port, user and whether the server accepts connections.';
}

const TIMEOUT = 'timeout expired';
const NO_TLS = /does not support SSL/;

/** A connection that could not be made; `before` is what another way of TLS came to. */
export function unreachable(target: PostgresTarget, error: unknown, before?: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const state = sqlState(error) ?? (error instanceof AggregateError ? systemCode(error.errors[0]) : systemCode(error));
  const message = messageOf(error);
  const said = message === TIMEOUT ? 'no answer in time' : message || (state ?? 'no answer');
  const source = error instanceof Error ? from.get(error) : undefined;
  const ways = before === undefined || NO_TLS.test(messageOf(before)) ? '' : ` (${target.tls === 'allow' ? 'without' : 'with'} TLS: ${messageOf(before)})`;
  const hint = state === '28P01' && source !== undefined ? `Check the password; it comes from ${source}.` : hintFor(target, state, message);
  return new HoldfastError('database-unreachable', `Cannot connect to ${describeTarget(target)}: ${withoutSecret(target, said + ways)}`, {
    hint, cause: error, transient: state === 'ECONNREFUSED' || state === '57P03' || state === '53300',
  });
}

/** Where the password of a refused login came from. */
const from = new WeakMap<object, string>();

/** Remembers with the error where the password came from that was used. */
export function withLogin(error: unknown, login: PasswordAnswer | undefined): unknown {
  if (error instanceof Error && login !== undefined && 'password' in login && login.file !== undefined) from.set(error, login.file);
  return error;
}

/** channel_binding=require, and the server does not bind the login to TLS. */
export function unboundLogin(target: PostgresTarget): HoldfastError {
  return new HoldfastError('database-unreachable', `channel_binding=require: the server of ${describeTarget(target)} does not bind the login to TLS, so no password was sent.`, {
    hint: 'It needs TLS, and a password that the server keeps as scram-sha-256.',
  });
}

/** The server wants a password and there is none. */
export function noPassword(target: PostgresTarget, { because, exposed }: { readonly because: string; readonly exposed?: boolean }): HoldfastError {
  const file = target.passwordFile ?? '~/.pgpass';
  const line = `write the line HOST:PORT:DATABASE:USER:PASSWORD into ${file} and make its mode 0600`;
  const add = `Add \`password: env:NAME\` (or file:PATH, exec:COMMAND) to the store, set PGPASSWORD, or ${line}.`;
  const nowhere = `not in the configuration, not in PGPASSWORD, and ${because}`;
  return new HoldfastError('database-unreachable', `Cannot connect to ${describeTarget(target)}: the server wants a password, and none is given: ${nowhere}.`, {
    hint: exposed === true ? `Run: chmod 600 ${file}` : add,
  });
}

/** A command that failed, or a connection that was lost during it. `doing` completes "while …". */
export function commandFailed(target: PostgresTarget, doing: string, error: unknown, code: ErrorCode = 'database-failed'): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const state = sqlState(error);
  const lost = state === undefined || state.startsWith('57P') || state.startsWith('08');
  const hint = HINTS[state ?? ''] ?? (lost ? 'The connection was lost; look at the log of the server, then run this again.' : undefined);
  const message = `${describeTarget(target)}: ${withoutSecret(target, messageOf(error))}, while ${doing}`;
  return new HoldfastError(code, message, { cause: error, transient: lost, ...(hint === undefined ? {} : { hint }) });
}

function withoutSecret(target: PostgresTarget, text: string): string {
  const secret = target.password?.reveal();
  return secret === undefined || secret === '' ? text : text.replaceAll(secret, '**redacted**');
}
