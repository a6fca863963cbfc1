/** What the server or the network says, as an error that a user can act on. The SQLSTATE stays in the cause. */
import { HoldfastError, messageOf, systemCode, type ErrorCode } from '../../base/errors.ts';
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

const HINTS: Readonly<Record<string, string>> = {
  '28P01': 'Check the password; it comes from the configuration, from PGPASSWORD or from ~/.pgpass.',
  '28000': 'The server does not let this user in from here; look at pg_hba.conf and at the user name.',
  '3D000': 'Check the name of the database.',
  '53300': 'All connection slots of the server are taken; raise max_connections or try later.',
  '57P03': 'The server is starting up or shutting down; try again in a moment.',
  '42501': 'Grant the privilege that is named, or connect as the owner or a superuser.',
  ECONNREFUSED: 'Is the server running, and does it listen at this address and port?',
  ENOTFOUND: 'The host name cannot be resolved; check it.',
  ENOENT: 'There is no socket of a server in this folder.',
  EACCES: 'This user may not open the socket.',
};

/** A connection that could not be made. */
export function unreachable(target: PostgresTarget, error: unknown): HoldfastError {
  const state = sqlState(error) ?? (error instanceof AggregateError ? systemCode(error.errors[0]) : systemCode(error));
  const said = messageOf(error) || (state ?? 'no answer');
  const hint = HINTS[state ?? ''] ?? 'Check host, port, user and whether the server accepts connections.';
  return new HoldfastError('database-unreachable', `Cannot connect to ${describeTarget(target)}: ${withoutSecret(target, said)}`, {
    hint, cause: error, transient: state === 'ECONNREFUSED' || state === '57P03' || state === '53300',
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
