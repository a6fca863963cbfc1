/** Which server and database a connection goes to, from a URL and the PG* variables, in the words of libpq. */
import { readFileSync } from 'node:fs';
import { HoldfastError, messageOf } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import type { TrafficMeter } from './traffic.ts';

export type TlsMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export interface PostgresTarget {
  /** A host name, an address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  /** Undefined: PGPASSWORD, .pgpass, or none. */
  readonly password: Secret | undefined;
  readonly tls: TlsMode;
  /** Paths of PEM files. */
  readonly rootCertificate: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  /** Counts the bytes of every connection that is made to this target. */
  readonly meter?: TrafficMeter | undefined;
}

const LOCAL = /^(\/|localhost$|127\.|::1$)/;
const TLS_MODES: readonly string[] = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] satisfies TlsMode[];

/**
 * Reads `postgres://user:password@host:port/database?sslmode=…`; what it leaves open comes from the PG* variables. A
 * password given apart wins. Without an sslmode the connection to another machine prefers TLS, as in libpq.
 */
export function parseTarget(url: string, password: Secret | undefined, environment: NodeJS.ProcessEnv): PostgresTarget {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    // The text is not shown: it may hold a password.
    throw new HoldfastError('config', 'The URL of the database cannot be understood.', { hint: 'Write postgres://user@host:5432/database.' });
  }
  if (!/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new HoldfastError('config', `A database URL begins with postgres://, not ${parsed.protocol}//.`);
  }
  const option = (name: string, variable: string): string | undefined => nonEmpty(parsed.searchParams.get(name)) ?? nonEmpty(environment[variable]);
  const host = nonEmpty(decodeURIComponent(parsed.hostname)) ?? option('host', 'PGHOST') ?? 'localhost';
  const user = nonEmpty(decodeURIComponent(parsed.username)) ?? option('user', 'PGUSER') ?? environment['USER'] ?? 'postgres';
  const inUrl = nonEmpty(decodeURIComponent(parsed.password)) ?? nonEmpty(environment['PGPASSWORD']);
  const mode = option('sslmode', 'PGSSLMODE') ?? (LOCAL.test(host) ? 'disable' : 'prefer');
  return {
    host: host.replace(/^\[(.*)\]$/, '$1'),
    port: Number(nonEmpty(parsed.port) ?? option('port', 'PGPORT') ?? 5432),
    user,
    database: nonEmpty(decodeURIComponent(parsed.pathname.slice(1))) ?? option('dbname', 'PGDATABASE') ?? user,
    password: password ?? (inUrl === undefined ? undefined : new Secret(inUrl)),
    tls: tlsMode(mode),
    rootCertificate: option('sslrootcert', 'PGSSLROOTCERT'),
    certificate: option('sslcert', 'PGSSLCERT'),
    key: option('sslkey', 'PGSSLKEY'),
  };
}

function nonEmpty(text: string | null | undefined): string | undefined {
  return text === null || text === undefined || text === '' ? undefined : text;
}

function tlsMode(mode: string): TlsMode {
  const known = mode === 'allow' ? 'prefer' : mode;
  const isKnown = (text: string): text is TlsMode => TLS_MODES.includes(text);
  if (isKnown(known)) return known;
  throw new HoldfastError('config', `sslmode=${mode} is not known.`, { hint: `Use one of ${TLS_MODES.join(', ')}.` });
}

/** For messages: `database shop on db.example:5432 as alice`. Never the password. */
export function describeTarget(target: PostgresTarget): string {
  const where = target.host.startsWith('/') ? target.host : `${target.host}:${target.port}`;
  return `database ${target.database} on ${where} as ${target.user}`;
}

/** What `pg` takes as `ssl`; false means none. Throws `config` when a certificate cannot be read. */
export function tlsOptions(target: PostgresTarget): false | Record<string, unknown> {
  if (target.tls === 'disable' || target.host.startsWith('/')) return false;
  const read = (path: string | undefined): string | undefined => {
    try {
      return path === undefined || path === 'system' ? undefined : readFileSync(path, 'utf8');
    } catch (error) {
      throw new HoldfastError('config', `The certificate ${path} cannot be read: ${messageOf(error)}`, { cause: error });
    }
  };
  const files = { ca: read(target.rootCertificate), cert: read(target.certificate), key: read(target.key) };
  const given = Object.fromEntries(Object.entries(files).filter(([, text]) => text !== undefined));
  if (target.tls === 'verify-full') return given;
  // As libpq: `require` with a root certificate means `verify-ca`, without one it only encrypts.
  if (target.tls === 'verify-ca' || (target.tls === 'require' && files.ca !== undefined)) return { ...given, checkServerIdentity: () => undefined };
  return { ...given, rejectUnauthorized: false };
}

/** The target as environment of a child process that uses libpq. Holds the password: for the child only. */
export function libpqEnvironment(target: PostgresTarget): Record<string, string> {
  const wanted: Record<string, string | undefined> = {
    PGHOST: target.host,
    PGPORT: String(target.port),
    PGUSER: target.user,
    PGDATABASE: target.database,
    PGPASSWORD: target.password?.reveal(),
    PGSSLMODE: target.tls,
    PGSSLROOTCERT: target.rootCertificate,
    PGSSLCERT: target.certificate,
    PGSSLKEY: target.key,
    PGAPPNAME: 'holdfast',
  };
  return Object.fromEntries(Object.entries(wanted).filter((pair): pair is [string, string] => pair[1] !== undefined));
}
