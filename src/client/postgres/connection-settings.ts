/** What says where a connection goes: a URL, a service file and the PG* variables, merged as libpq does. Keywords are libpq's. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError, messageOf, systemCode } from '../../base/errors.ts';

/** Values by keyword of libpq: `host`, `port`, `sslmode` … A password is among them: never to be shown. */
export type Settings = ReadonlyMap<string, string>;

/** Keywords that mean something to us, and the variables that stand for them. */
const VARIABLES: Readonly<Record<string, string | undefined>> = {
  host: 'PGHOST', hostaddr: 'PGHOSTADDR', port: 'PGPORT', dbname: 'PGDATABASE', user: 'PGUSER', password: 'PGPASSWORD', passfile: 'PGPASSFILE', service: 'PGSERVICE',
  sslmode: 'PGSSLMODE', sslrootcert: 'PGSSLROOTCERT', sslcert: 'PGSSLCERT', sslkey: 'PGSSLKEY', sslpassword: undefined, sslcrl: 'PGSSLCRL', sslnegotiation: 'PGSSLNEGOTIATION',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION', channel_binding: 'PGCHANNELBINDING', connect_timeout: 'PGCONNECT_TIMEOUT', options: 'PGOPTIONS',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
};

/** Known to libpq, and without a meaning or a danger here: we set them ourselves, or they only tune. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'application_name', 'fallback_application_name', 'client_encoding', 'keepalives', 'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'tcp_user_timeout',
  'gssencmode', 'krbsrvname', 'gsslib', 'gssdelegation', 'sslcompression', 'sslsni', 'servicefile', 'min_protocol_version', 'max_protocol_version',
]);

function checkKeyword(keyword: string, where: string): void {
  if (Object.hasOwn(VARIABLES, keyword) || WITHOUT_EFFECT.has(keyword)) return;
  throw new HoldfastError('config', `${where} has the setting ${keyword}, which is not supported for connections.`, { hint: `Settings that are: ${Object.keys(VARIABLES).join(', ')}.` });
}

const NOT_UNDERSTOOD = { hint: 'Write postgres://user@host:5432/database; several hosts as host1:5432,host2:5432; a % sign as %25.' };

/** Throws `config`. The text is never shown: it may hold a password. */
export function urlSettings(url: string): Settings {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(url) ?? [];
  if (scheme === undefined || rest === undefined) throw new HoldfastError('config', 'The URL of the database cannot be understood.', NOT_UNDERSTOOD);
  if (!/^postgres(ql)?$/i.test(scheme)) throw new HoldfastError('config', `A database URL begins with postgres://, not ${scheme}://.`);
  const [, login, hosts, path, query] = /^(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(rest.replace(/#.*$/s, '')) ?? [];
  if (hosts === undefined) throw new HoldfastError('config', 'The URL of the database cannot be understood.', NOT_UNDERSTOOD);
  const found = new Map<string, string>();
  const set = (keyword: string, value: string | undefined): void => {
    if (value !== undefined && value !== '') found.set(keyword, decode(value));
  };
  const [, user, password] = /^([^:]*)(?::(.*))?$/s.exec(login ?? '') ?? [];
  set('user', user);
  set('password', password);
  const each = hosts === '' ? [] : hosts.split(',').map(hostAndPort);
  set('host', each.map(({ host }) => host).join(','));
  if (each.some(({ port }) => port !== '')) set('port', each.map(({ port }) => port).join(','));
  set('dbname', path);
  for (const pair of (query ?? '').split('&').filter((text) => text !== '')) {
    const at = pair.indexOf('=');
    if (at < 1) throw new HoldfastError('config', 'The URL of the database has a parameter without a value.', NOT_UNDERSTOOD);
    const [keyword, value] = [decode(pair.slice(0, at)), pair.slice(at + 1)];
    if (keyword === 'ssl' && value === 'true') found.set('sslmode', 'require');
    else {
      checkKeyword(keyword, 'The URL of the database');
      set(keyword, value);
    }
  }
  return found;
}

function hostAndPort(text: string): { host: string; port: string } {
  const [, host, port] = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/.exec(text) ?? [];
  if (host === undefined) {
    throw new HoldfastError('config', 'The URL of the database has a host that cannot be understood.', { hint: 'Write host:port; an IPv6 address in brackets, as in [::1]:5432; a % sign as %25.' });
  }
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: port ?? '' };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HoldfastError('config', 'The URL of the database has a % sign that is no escape.', NOT_UNDERSTOOD);
  }
}

/** PGSERVICEFILE or ~/.pg_service.conf, then the one of the system; the first that has the service counts. */
function serviceFiles(environment: NodeJS.ProcessEnv): readonly string[] {
  const own = environment['PGSERVICEFILE'];
  const system = environment['PGSYSCONFDIR'];
  // Debian has moved the folder of the system's file from where PostgreSQL itself has it.
  const folders = system === undefined || system === '' ? ['/etc/postgresql-common', '/etc'] : [system];
  return [own === undefined || own === '' ? join(homeOf(environment), '.pg_service.conf') : own, ...folders.map((folder) => join(folder, 'pg_service.conf'))];
}

/** The settings of a service. Throws `config` naming file and line. */
export function serviceSettings(service: string, environment: NodeJS.ProcessEnv): Settings {
  const files = serviceFiles(environment);
  for (const file of files) {
    const text = readFile(file);
    const found = text === undefined ? undefined : findService(service, file, text);
    if (found !== undefined) return found;
  }
  throw new HoldfastError('config', `There is no service [${service}] in ${files.join(' or ')}.`, { hint: 'Add it there, or name its file with PGSERVICEFILE.' });
}

function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw new HoldfastError('config', `The service file ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function findService(service: string, file: string, text: string): Settings | undefined {
  let found: Map<string, string> | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    const where = `${file}:${index + 1}`;
    if (line === '' || line.startsWith('#')) continue;
    const [, name] = /^\[(.*)\]$/.exec(line) ?? [];
    if (name !== undefined) {
      if (found !== undefined) return found;
      if (name === service) found = new Map();
      continue;
    }
    if (found === undefined) continue;
    const at = line.indexOf('=');
    if (at < 1) throw new HoldfastError('config', `${where} is neither [service] nor keyword=value.`);
    const keyword = line.slice(0, at);
    if (keyword === 'service') throw new HoldfastError('config', `${where}: a service cannot refer to another one.`);
    checkKeyword(keyword, where);
    // As in libpq, the first of two counts.
    if (!found.has(keyword)) found.set(keyword, line.slice(at + 1));
  }
  return found;
}

export function homeOf(environment: NodeJS.ProcessEnv): string {
  return environment['HOME'] ?? homedir();
}

/** What the URL says, then the service, then the variables: the first that says something counts. */
export function mergedSettings(url: string, environment: NodeJS.ProcessEnv): Settings {
  const given = urlSettings(url);
  const variables = new Map(Object.entries(VARIABLES).flatMap(([keyword, variable]): [string, string][] => {
    const value = variable === undefined ? undefined : environment[variable];
    return value === undefined || value === '' ? [] : [[keyword, value]];
  }));
  const service = given.get('service') ?? variables.get('service');
  return new Map([...variables, ...(service === undefined ? [] : serviceSettings(service, environment)), ...given]);
}
