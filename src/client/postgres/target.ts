/** Which server and database a connection goes to, in the words of libpq. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import { HoldfastError } from '../../base/errors.ts';
import { Secret } from '../../base/secret.ts';
import { homeOf, mergedSettings, type Settings } from './connection-settings.ts';
import { askPasswordFile, type PasswordAnswer } from './password-file.ts';
import { tlsModeOf, type TlsMode } from './tls-mode.ts';
import type { TrafficMeter } from './traffic.ts';

export const SESSION_KINDS = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;

/** What kind of server a session must be on, out of several hosts. */
export type SessionKind = (typeof SESSION_KINDS)[number];

export interface PostgresHost {
  /** A host name, an address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  /** Where `host` is, so that no name server is asked. */
  readonly address?: string | undefined;
}

export interface PostgresTarget extends PostgresHost {
  readonly user: string;
  readonly database: string;
  /** Undefined: the password file, or none. */
  readonly password: Secret | undefined;
  readonly tls: TlsMode;
  /** Paths of PEM files; `system` for the authorities of this system. */
  readonly rootCertificate: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly keyPassword?: Secret | undefined;
  /** A PEM file of revoked certificates. */
  readonly revoked?: string | undefined;
  /** The oldest version of TLS that will do, as node names it: `TLSv1.2`. */
  readonly tlsVersion?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3' | undefined;
  /** Begin with TLS at once, without asking the server first (17 and newer). */
  readonly directTls?: boolean | undefined;
  /** Bind the login to the TLS session, so that nobody can stand between; default `prefer`. */
  readonly channelBinding?: 'disable' | 'prefer' | 'require' | undefined;
  /** Command line options for the session. */
  readonly options?: string | undefined;
  /** For each host; undefined: 20 s. Zero: for ever. */
  readonly connectTimeoutMs?: number | undefined;
  /** Hosts to be tried after this one. Once connected, `target` of the connection is the one that answered, without others. */
  readonly others?: readonly PostgresHost[] | undefined;
  readonly session?: SessionKind | undefined;
  /** `.pgpass` or another. */
  readonly passwordFile?: string | undefined;
  /** Where ~/.postgresql is looked for; undefined: nowhere. */
  readonly home?: string | undefined;
  /** Counts the bytes of every connection that is made to this target. */
  readonly meter?: TrafficMeter | undefined;
}

/** Of host names: no network lies between. */
export const LOCAL = /^(\/|localhost$|127\.|::1$)/;
/** Where Debian and its kin keep the authorities of the system. */
const SYSTEM_AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
const SOCKET_FOLDERS = ['/var/run/postgresql', '/tmp'];

/**
 * Reads `postgres://user@host:port/database?sslmode=…`; what it leaves open comes from a service file and the PG* variables. A
 * password given apart wins. Without an sslmode the connection to another machine prefers TLS, as in libpq. Throws `config`.
 */
export function parseTarget(url: string, password: Secret | undefined, environment: NodeJS.ProcessEnv): PostgresTarget {
  const settings = mergedSettings(url, environment);
  const get = (keyword: string): string | undefined => settings.get(keyword);
  const [first, ...others] = hostsOf(settings);
  if (first === undefined) throw new HoldfastError('config', 'The URL of the database names no host.');
  const user = get('user') ?? environment['USER'] ?? userInfo().username;
  const given = get('password');
  const local = [first, ...others].every(({ host }) => LOCAL.test(host));
  const system = get('sslrootcert') === 'system';
  const home = homeOf(environment);
  const tls = tlsModeOf(get('sslmode') ?? (system ? 'verify-full' : local ? 'disable' : 'prefer'));
  return {
    ...first,
    ...(others.length === 0 ? {} : { others }),
    user,
    database: get('dbname') ?? user,
    password: password ?? (given === undefined ? undefined : new Secret(given)),
    tls,
    rootCertificate: get('sslrootcert'),
    certificate: get('sslcert'),
    key: get('sslkey'),
    ...keyPasswordOf(settings),
    revoked: get('sslcrl'),
    tlsVersion: tlsVersionOf(settings),
    directTls: directTlsOf(settings, tls),
    channelBinding: oneOf(settings, 'channel_binding', ['prefer', 'disable', 'require']),
    options: get('options'),
    connectTimeoutMs: timeoutOf(settings),
    session: oneOf(settings, 'target_session_attrs', SESSION_KINDS),
    passwordFile: get('passfile') ?? join(home, '.pgpass'),
    home,
  };
}

function hostsOf(settings: Settings): PostgresHost[] {
  const list = (keyword: string): string[] => settings.get(keyword)?.split(',') ?? [];
  const [hosts, addresses, ports] = [list('host'), list('hostaddr'), list('port')];
  const count = Math.max(hosts.length, addresses.length, 1);
  if (hosts.length > 0 && addresses.length > 0 && hosts.length !== addresses.length) {
    throw new HoldfastError('config', `The target has ${hosts.length} hosts and ${addresses.length} addresses (hostaddr).`);
  }
  if (ports.length > 1 && ports.length !== count) {
    throw new HoldfastError('config', `The target has ${count} hosts and ${ports.length} ports.`, { hint: 'Give one port for all, or one for each.' });
  }
  return Array.from({ length: count }, (_, at): PostgresHost => {
    const port = portOf((ports.length > 1 ? ports[at] : ports[0]) ?? '');
    const [host, address] = [hosts[at] ?? '', addresses[at] ?? ''];
    return { host: host !== '' ? host : address !== '' ? address : defaultHost(port), port, ...(address === '' ? {} : { address }) };
  });
}

function portOf(text: string): number {
  const port = text === '' ? 5432 : Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new HoldfastError('config', `${text} is no port of a database server.`);
}

/** As psql: the socket of a server of this machine, where there is one. */
function defaultHost(port: number): string {
  return SOCKET_FOLDERS.find((folder) => existsSync(join(folder, `.s.PGSQL.${port}`))) ?? 'localhost';
}

function oneOf<T extends string>(settings: Settings, keyword: string, known: readonly T[]): T | undefined {
  const text = settings.get(keyword);
  const found = known.find((one) => one === text);
  if (text === undefined || found !== undefined) return found;
  throw new HoldfastError('config', `${keyword}=${text} is not known.`, { hint: `Use one of ${known.join(', ')}.` });
}

function keyPasswordOf(settings: Settings): Pick<PostgresTarget, 'keyPassword'> {
  const text = settings.get('sslpassword');
  return text === undefined ? {} : { keyPassword: new Secret(text) };
}

function tlsVersionOf(settings: Settings): PostgresTarget['tlsVersion'] {
  return oneOf(settings, 'ssl_min_protocol_version', ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']);
}

/** A server that is not asked first cannot say no, so a mode that would go on in the clear makes no sense. */
function directTlsOf(settings: Settings, tls: TlsMode): boolean {
  if (oneOf(settings, 'sslnegotiation', ['postgres', 'direct']) !== 'direct') return false;
  if (tls !== 'disable' && tls !== 'allow' && tls !== 'prefer') return true;
  throw new HoldfastError('config', `sslmode=${tls} is too weak for sslnegotiation=direct.`, { hint: 'Use sslmode=require, verify-ca or verify-full.' });
}

/** In seconds, at least two; zero and less wait for ever. */
function timeoutOf(settings: Settings): number | undefined {
  const text = settings.get('connect_timeout');
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (!Number.isInteger(seconds)) throw new HoldfastError('config', `connect_timeout=${text} is no number of seconds.`);
  return seconds <= 0 ? 0 : Math.max(seconds, 2) * 1000;
}

/** For messages: `database shop on db.example:5432 as alice`. Never the password. */
export function describeTarget(target: PostgresTarget): string {
  const hosts = [target, ...(target.others ?? [])].map(describeHost);
  return `database ${target.database} on ${hosts.join(' or ')} as ${target.user}`;
}

export function describeHost({ host, port }: PostgresHost): string {
  if (host.startsWith('/')) return port === 5432 ? host : `${host} (port ${port})`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The password of this target, or why there is none; asked when the server wants one. */
export function findPassword(target: PostgresTarget, replication: boolean): PasswordAnswer {
  if (target.password !== undefined) return { password: target.password };
  if (target.passwordFile === undefined) return { because: 'no password file is read' };
  const { host, port, user, database } = target;
  return askPasswordFile(target.passwordFile, { host, port, user, databases: replication ? ['replication', database] : [database] });
}

/**
 * The whole environment of a child process that uses libpq: ours, with its PG* variables in place of those of this process, among which a
 * service would win over what we say. Holds the password: for the child only.
 */
export function childEnvironment(target: PostgresTarget): Record<string, string | undefined> {
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'));
  return { ...Object.fromEntries(others), ...libpqEnvironment(target) };
}

/** libpq before 16 takes `system` for the name of a file, so it gets the file that OpenSSL would read. */
function rootFile({ rootCertificate }: PostgresTarget): string | undefined {
  const file = process.env['SSL_CERT_FILE'] ?? SYSTEM_AUTHORITIES;
  return rootCertificate === 'system' && existsSync(file) ? file : rootCertificate;
}

function libpqEnvironment(target: PostgresTarget): Record<string, string> {
  const hosts = [target, ...(target.others ?? [])];
  const answer = findPassword(target, false);
  const wanted: Record<string, string | undefined> = {
    PGHOST: hosts.map(({ host }) => host).join(','),
    PGHOSTADDR: hosts.some(({ address }) => address !== undefined) ? hosts.map(({ address }) => address ?? '').join(',') : undefined,
    PGPORT: hosts.map(({ port }) => port).join(','),
    PGUSER: target.user,
    PGDATABASE: target.database,
    PGPASSWORD: 'password' in answer ? answer.password.reveal() : undefined,
    PGSSLMODE: target.tls,
    PGSSLROOTCERT: rootFile(target),
    PGSSLCERT: target.certificate,
    PGSSLKEY: target.key,
    PGSSLCRL: target.revoked,
    PGSSLMINPROTOCOLVERSION: target.tlsVersion,
    PGSSLNEGOTIATION: target.directTls === true ? 'direct' : undefined,
    PGCHANNELBINDING: target.channelBinding,
    PGOPTIONS: target.options,
    PGCONNECT_TIMEOUT: target.connectTimeoutMs === undefined ? undefined : String(target.connectTimeoutMs / 1000),
    PGTARGETSESSIONATTRS: target.session,
    PGPASSFILE: target.passwordFile,
    PGAPPNAME: 'holdfast',
  };
  return Object.fromEntries(Object.entries(wanted).filter((pair): pair is [string, string] => pair[1] !== undefined));
}
