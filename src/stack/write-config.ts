/** Writes the `holdfast.yaml` of `holdfast init`, the way a person would. */
import { basename, relative } from 'node:path';
import { stringify } from 'yaml';
import { HoldfastError } from '../base/errors.ts';
import { parseAddress, type StoragePlace } from '../storage/place.ts';
import { formatDuration } from './duration.ts';
import { fromPolicy } from './plan-schema.ts';
import { problemOfPostgresUrl } from './schema.ts';
import { formatSecretReference, resolvePath, type SecretReference } from './secret-reference.ts';
import { formatSize } from './size.ts';
import type { ClusterStore, Plan, PostgresStore, RepositoryPlace, Stack, Store } from './stack.ts';

/** What the flags of `holdfast init` say. */
export interface InitFlags {
  /** Where `holdfast.yaml` will lie; paths are relative to it. */
  readonly folder: string;
  readonly stack?: string | undefined;
  readonly postgres: readonly string[];
  readonly directories: readonly string[];
  readonly repository: string;
  readonly passwordFile?: string | undefined;
}

/** The stack that the flags describe, with a name for each store. Throws `usage` or `secret-exposed`. */
export function planConfig(flags: InitFlags): Stack {
  const { folder } = flags;
  const taken = new Set<string>();
  const databases = flags.postgres.map((url): Store => {
    const problem = problemOfPostgresUrl(url);
    if (problem?.params !== undefined) {
      throw new HoldfastError('secret-exposed', 'the URL given with --postgres holds a password, and others can see the command line', {
        hint: 'Leave the password out and put it into ~/.pgpass; it may also stand in an environment variable: then edit holdfast.yaml to say `password: env:NAME`.',
      });
    }
    if (problem !== undefined) throw new HoldfastError('usage', `what is given with --postgres ${problem.message}`);
    return { name: uniqueName(databaseOf(url), taken), kind: 'postgres', tier: 'critical', backup: true, url, globals: true };
  });
  const directories = flags.directories.map((path): Store => {
    const absolute = resolvePath(folder, path);
    return { name: uniqueName(basename(absolute), taken), kind: 'directory', tier: 'important', backup: true, path: absolute, exclude: [] };
  });
  const password: SecretReference =
    flags.passwordFile === undefined
      ? { from: 'env', name: 'HOLDFAST_PASSWORD' }
      : { from: 'file', path: resolvePath(folder, flags.passwordFile) };
  return {
    name: flags.stack ?? toName(basename(folder), 'stack'),
    folder,
    stores: [...databases, ...directories],
    repositories: [repositoryOf(flags, password)],
  };
}

/** A folder is `local`, anything else is elsewhere: `offsite`. */
function repositoryOf({ folder, repository }: InitFlags, password: SecretReference): RepositoryPlace {
  const place = parseAddress(repository.startsWith('~') ? resolvePath(folder, repository) : repository, folder);
  return { name: place.kind === 'local' ? 'local' : 'offsite', place, password, cache: true };
}

function databaseOf(url: string): string {
  const path = /^\w+:\/\/[^/]*\/([^?#]*)/.exec(url)?.[1] ?? '';
  try {
    return decodeURIComponent(path) || 'database';
  } catch {
    return path;
  }
}

/** `text` as a name of the configuration. */
function toName(text: string, otherwise: string): string {
  const name = text.replaceAll(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[._-]+/, '').replace(/-+$/, '').slice(0, 90);
  return name === '' ? otherwise : name;
}

function uniqueName(text: string, taken: Set<string>): string {
  const base = toName(text, 'store');
  let name = base;
  for (let count = 2; taken.has(name); count++) name = `${base}-${count}`;
  taken.add(name);
  return name;
}

/** The text of a `holdfast.yaml` that reads as this stack. */
export function renderConfig(stack: Stack): string {
  const from = stack.folder;
  return [
    '# What Holdfast protects, and where it keeps the copies.',
    '# Paths are relative to this file. Secrets never stand here, only where to find them:',
    '# env:NAME, file:PATH, exec:COMMAND, and for databases pgpass (the file ~/.pgpass).',
    '',
    `stack: ${scalar(stack.name)}`,
    '',
    '# Everything that holds state. Tiers: critical, important, rebuildable, temporary.',
    ...(stack.stores.length === 0 ? ['stores: {}'] : ['stores:', ...stack.stores.flatMap((store) => indent(renderStore(store, from), '  '))]),
    '',
    '# Where snapshots are kept, in the format of restic. Without its password a repository is lost: keep a copy elsewhere.',
    ...(stack.repositories.length === 0 ? ['repositories: {}'] : ['repositories:']),
    ...stack.repositories.flatMap((repository) => [`  ${scalar(repository.name)}:`, ...indent(renderRepository(repository, from), '    ')]),
    '',
    ...renderPlans(stack.plans ?? [], stack.folder),
  ].join('\n');
}

function renderPlans(plans: readonly Plan[], from: string): string[] {
  if (plans.length === 0) return [];
  const flow = (names: readonly string[]): string => `[${names.map((name) => JSON.stringify(name)).join(', ')}]`;
  return [
    '# What is backed up when, to where, and how long it is kept.',
    'plans:',
    ...plans.flatMap(({ name, cron, stores, to, keep, only, tables, frugal, git }) => [
      `  ${scalar(name)}:`,
      ...(cron === undefined ? [] : [`    cron: ${JSON.stringify(cron)}`]),
      `    stores: ${stores === 'all' ? 'all' : flow(stores)}`,
      `    to: ${flow(to)}`,
      ...(only === undefined ? [] : [`    only: ${only}`]),
      ...(tables === undefined ? [] : [`    tables: ${scalar(tables)}`]),
      ...(frugal === undefined ? [] : [`    frugal: ${frugal}`]),
      ...(git === undefined ? [] : [`    git: ${scalar(shortPath(git, from))}`]),
      ...(keep === undefined ? [] : [`    keep: { ${fromPolicy(keep).map(([key, value]) => `${key}: ${typeof value === 'object' ? flow(value) : value}`).join(', ')} }`]),
    ]),
    '',
  ];
}

/** The lines of an entry below `repositories:`, without its name. */
export function renderRepository({ place, password, limit, cache }: RepositoryPlace, from: string): string[] {
  return [
    ...renderPlace(place, from),
    `password: ${scalar(renderReference(password, from))}`,
    ...(limit === undefined ? [] : block('limit', { up: limit.up?.toString(), down: limit.down?.toString(), requests: limit.requests })),
    ...(cache ? [] : ['cache: false']),
  ];
}

function renderPlace(place: StoragePlace<SecretReference>, from: string): string[] {
  const reference = (secret: SecretReference | undefined): string | undefined => (secret === undefined ? undefined : renderReference(secret, from));
  const file = (path: string | undefined): string | undefined => (path === undefined ? undefined : shortPath(path, from));
  switch (place.kind) {
    case 'local':
      return [`path: ${scalar(shortPath(place.path, from))}`];
    case 'sftp':
      return block('sftp', {
        host: place.host, port: place.port, user: place.user, path: place.path, identity: file(place.identityFile), passphrase: reference(place.passphrase),
        password: reference(place.password), 'known-hosts': file(place.knownHostsFile), config: file(place.configFile),
      });
    case 's3': {
      const { bucket, prefix, endpoint, region, addressing, credentials, profile, caFile, storageClass, objectLock } = place;
      const keys = credentials && { 'access-key': reference(credentials.accessKey), 'secret-key': reference(credentials.secretKey), 'session-token': reference(credentials.sessionToken) };
      return [
        ...block('s3', { bucket, prefix: prefix === '' ? undefined : prefix, endpoint, region, addressing, ca: file(caFile), 'storage-class': storageClass }),
        ...indent(keys ? block('credentials', keys) : profile === undefined ? ['credentials: env'] : block('credentials', { profile }), '  '),
        ...(objectLock ? indent(block('object-lock', { days: objectLock.days, mode: objectLock.mode }), '  ') : []),
      ];
    }
  }
}

/** A key with what stands below it; without what is undefined. */
function block(key: string, fields: Readonly<Record<string, string | number | undefined>>): string[] {
  return [`${key}:`, ...Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [`  ${name}: ${typeof value === 'number' ? value : scalar(value)}`]))];
}

function renderStore(store: Store, from: string): string[] {
  const { tier, owner, mode, objective, backup, because } = store;
  const common = [
    `tier: ${tier}`,
    ...(owner === undefined ? [] : [`owner: ${JSON.stringify(owner)}`]),
    ...(mode === undefined ? [] : [`mode: "${mode.toString(8).padStart(4, '0')}"`]),
    ...(objective === undefined ? [] : [`objective: ${renderObjective(objective)}`]),
    ...(backup ? [] : ['backup: false']),
    ...(because === undefined ? [] : [`because: ${scalar(because)}`]),
  ];
  return [`${scalar(store.name)}:`, ...indent([...renderKind(store, from), ...common], '  ')];
}

function renderKind(store: Store, from: string): string[] {
  if (store.kind === 'directory') {
    return [`directory: ${scalar(shortPath(store.path, from))}`, ...list('exclude', store.exclude)];
  }
  return [
    'postgres:',
    `  url: ${scalar(store.url)}`,
    ...(store.password === undefined ? [] : [`  password: ${scalar(renderReference(store.password, from))}`]),
    ...(store.kind === 'cluster' ? renderPhysical(store, from) : renderLogical(store)),
  ];
}

function renderLogical(store: PostgresStore): string[] {
  const groups = Object.entries(store.tables ?? {}).map(([name, patterns]) => `    ${scalar(name)}: [${patterns.map(scalar).join(', ')}]`);
  return [
    ...indent(list('databases', store.databases ?? []), '  '),
    ...(groups.length === 0 ? [] : ['  tables:', ...groups]),
    `  globals: ${store.globals}${store.globals ? ' # roles, and what else belongs to the whole server' : ''}`,
  ];
}

function renderPhysical({ directory, programs, checkpoint, compression, maxRate, wal }: ClusterStore, from: string): string[] {
  const settings = [
    ...(directory === undefined ? [] : [`directory: ${scalar(shortPath(directory, from))}`]),
    ...(programs === undefined ? [] : [`programs: ${scalar(shortPath(programs, from))}`]),
    `checkpoint: ${checkpoint}`,
    ...(compression === 'auto' ? [] : [`compression: ${compression}`]),
    ...(maxRate === undefined ? [] : [`max-rate: ${formatSize(maxRate)}`]),
  ];
  return [`  physical: { ${settings.join(', ')} }`, `  wal: { slot: ${wal.slot}, flush: ${formatDuration(wal.flushMs)}, limit: ${formatSize(wal.limitBytes)} }`];
}

function renderObjective({ rpoMs, rtoMs }: NonNullable<Store['objective']>): string {
  const rpo = rpoMs === undefined ? [] : [`rpo: ${formatDuration(rpoMs)}`];
  const rto = rtoMs === undefined ? [] : [`rto: ${formatDuration(rtoMs)}`];
  return `{ ${[...rpo, ...rto].join(', ')} }`;
}

function renderReference(reference: SecretReference, from: string): string {
  return reference.from === 'file' ? `file:${shortPath(reference.path, from)}` : formatSecretReference(reference);
}

function list(key: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`${key}:`, ...items.map((item) => `  - ${scalar(item)}`)];
}

/** What lies below the configuration is named from there, so that the folder can move as a whole. */
function shortPath(path: string, from: string): string {
  const short = relative(from, path);
  if (short === '') return '.';
  return short.startsWith('..') ? path : `./${short}`;
}

/** One line of YAML that reads as this text and nothing else: bare where nothing can be misread, else in quotes. */
function scalar(text: string): string {
  if (/^[\p{L}\p{N}_./~][\p{L}\p{N}_./:@%?&=+,~-]*$/u.test(text) && stringify(text, { lineWidth: 0 }) === `${text}\n`) return text;
  return JSON.stringify(text).replaceAll(/[\u007f-\u00a0\u2028\u2029\ufeff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function indent(lines: readonly string[], by: string): string[] {
  return lines.map((line) => by + line);
}
