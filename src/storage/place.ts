/** Where a repository is: written in holdfast.yaml, or given as an address in the form that restic uses. Pure. */
import { resolve } from 'node:path';
import { HoldfastError } from '../base/errors.ts';

export interface LocalPlace {
  readonly kind: 'local';
  /** Absolute. */
  readonly path: string;
}

/** `S` is what a secret is here: a reference to it in a configuration, the secret itself for an adapter. */
export interface S3Place<S> {
  readonly kind: 's3';
  readonly bucket: string;
  /** What the keys begin with, without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** `https://host:port`; undefined means AWS itself. */
  readonly endpoint?: string | undefined;
  /** Undefined: asked of the server. */
  readonly region?: string | undefined;
  /** Where the bucket's name goes: into the path or before the host. Undefined: path with an endpoint, host for AWS. */
  readonly addressing?: 'path' | 'virtual' | undefined;
  /** Undefined: where AWS's own tools look (environment, profiles, instance). */
  readonly credentials?: { readonly accessKey: S; readonly secretKey: S; readonly sessionToken?: S | undefined } | undefined;
  readonly profile?: string | undefined;
  /** PEM file of the authority that signed the server's certificate; absolute. */
  readonly caFile?: string | undefined;
  readonly storageClass?: string | undefined;
  readonly objectLock?: { readonly days: number; readonly mode: 'governance' | 'compliance' } | undefined;
}

export interface SftpPlace<S> {
  readonly kind: 'sftp';
  /** A host name, or an alias of `ssh_config`. */
  readonly host: string;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  /** On the server; relative to where the login starts when it has no leading slash. */
  readonly path: string;
  /** A private key; undefined: the agent, and the keys that `ssh_config` names or that have the usual names. */
  readonly identityFile?: string | undefined;
  readonly passphrase?: S | undefined;
  readonly password?: S | undefined;
  /** Undefined: `~/.ssh/known_hosts` and what `ssh_config` names. */
  readonly knownHostsFile?: string | undefined;
  /** Undefined: `~/.ssh/config`. */
  readonly configFile?: string | undefined;
}

export type StoragePlace<S> = LocalPlace | S3Place<S> | SftpPlace<S>;

const SCHEME = /^([a-z][a-z0-9+.-]*):/i;

/**
 * The place that an address names: a path, `local:PATH`, `s3:https://host/bucket/prefix`, `s3:host/bucket/prefix`,
 * `s3://bucket/prefix`, `sftp:user@host:path`, `sftp://user@host:port/path` (restic's forms; in the last the path is relative to
 * the login folder, and `//` before it makes it absolute). Relative paths are below `folder`. Throws `usage`.
 */
export function parseAddress(address: string, folder: string): StoragePlace<never> {
  const scheme = SCHEME.exec(address)?.[1]?.toLowerCase();
  const rest = address.slice((scheme?.length ?? -1) + 1);
  switch (scheme) {
    case undefined:
    case 'local':
      return { kind: 'local', path: resolve(folder, rest) };
    case 'file':
      return { kind: 'local', path: resolve(folder, rest.replace(/^\/\//, '')) };
    case 's3':
      return s3Place(address, rest);
    case 'sftp':
      return sftpPlace(address, rest);
    default:
      throw new HoldfastError('usage', `repositories of the kind '${scheme}:' are not supported`, { hint: 'Give a path, s3:https://host/bucket/prefix or sftp:user@host:/path.' });
  }
}

function s3Place(address: string, rest: string): S3Place<never> {
  const refuse = (): HoldfastError =>
    new HoldfastError('usage', `'${address}' is no address of a bucket`, { hint: 'Write s3:https://host/bucket/prefix, or s3://bucket/prefix for AWS.' });
  if (rest.startsWith('//')) {
    const [bucket = '', ...prefix] = rest.slice(2).split('/');
    if (bucket === '') throw refuse();
    return { kind: 's3', bucket, prefix: cleanPrefix(prefix) };
  }
  const url = /^https?:\/\//.test(rest) ? rest : `https://${rest}`;
  if (!URL.canParse(url)) throw refuse();
  const { origin, pathname, hostname, username } = new URL(url);
  const [bucket = '', ...prefix] = decodeURIComponent(pathname).slice(1).split('/');
  if (bucket === '') throw refuse();
  if (username !== '') throw new HoldfastError('secret-exposed', 'the address of the bucket holds credentials, and others can see the command line', { hint: 'Put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.' });
  const region = /^s3[.-]([a-z0-9-]+)\.amazonaws\.com$/.exec(hostname)?.[1];
  const isAws = hostname === 's3.amazonaws.com' || region !== undefined;
  return { kind: 's3', bucket, prefix: cleanPrefix(prefix), ...(isAws ? {} : { endpoint: origin }), ...(region === undefined ? {} : { region }) };
}

function cleanPrefix(parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('/');
}

function sftpPlace(address: string, rest: string): SftpPlace<never> {
  const refuse = (): HoldfastError =>
    new HoldfastError('usage', `'${address}' is no address of a folder on an SSH server`, { hint: 'Write sftp:user@host:/path, or sftp://user@host:port//path.' });
  if (!rest.startsWith('//')) {
    const [, user, host, path] = /^(?:([^@:/]+)@)?(\[[^\]]+\]|[^:/@]+):(.+)$/s.exec(rest) ?? [];
    if (host === undefined || path === undefined) throw refuse();
    return { kind: 'sftp', host: bare(host), path, ...(user === undefined ? {} : { user }) };
  }
  if (!URL.canParse(`ssh:${rest}`)) throw refuse();
  const { hostname, port, username, password, pathname } = new URL(`ssh:${rest}`);
  if (password !== '') throw new HoldfastError('secret-exposed', 'the address of the SSH server holds a password, and others can see the command line', { hint: 'Use a key, or `password:` of holdfast.yaml.' });
  const path = decodeURIComponent(pathname).slice(1);
  if (hostname === '' || path === '') throw refuse();
  return { kind: 'sftp', host: bare(hostname), path, ...(username === '' ? {} : { user: decodeURIComponent(username) }), ...(port === '' ? {} : { port: Number(port) }) };
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

/** The address of a place as restic's `--repo` takes it; for people, and for the recovery sheet. Holds no secret. */
export function formatAddress(place: StoragePlace<unknown>): string {
  switch (place.kind) {
    case 'local':
      return place.path;
    case 's3': {
      const host = place.endpoint ?? (place.region === undefined ? 'https://s3.amazonaws.com' : `https://s3.${place.region}.amazonaws.com`);
      return `s3:${host}/${place.bucket}${place.prefix === '' ? '' : `/${place.prefix}`}`;
    }
    case 'sftp': {
      const user = place.user === undefined ? '' : `${place.user}@`;
      const host = place.host.includes(':') ? `[${place.host}]` : place.host;
      return place.port === undefined ? `sftp:${user}${host}:${place.path}` : `sftp://${user}${host}:${place.port}/${place.path}`;
    }
  }
}

/** Is this text an address (and not the name of a repository in holdfast.yaml)? */
export function looksLikeAddress(text: string): boolean {
  return text.includes('/') || text === '.' || text === '..' || /^(s3|sftp|local|file):/i.test(text);
}
