/** What we were asked to protect, as the operations use it: checked, complete, paths absolute, secrets still references. */
import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import type { RetentionPolicy } from '../policy/retention.ts';
import { didYouMeanText } from '../base/did-you-mean.ts';
import type { SecretReference } from './secret-reference.ts';
import type { StorageLimit } from '../storage/open.ts';
import type { StoragePlace } from '../storage/place.ts';

export const CONFIG_FILE = 'holdfast.yaml';

export const TIERS = ['critical', 'important', 'rebuildable', 'temporary'] as const;
export type Tier = (typeof TIERS)[number];

interface CommonStore {
  readonly name: string;
  readonly tier: Tier;
  /** False for what is known and left out on purpose; `because` then says why. */
  readonly backup: boolean;
  readonly because?: string;
  /** `user:group` that the store must belong to. */
  readonly owner?: string;
  readonly mode?: number;
  /** What the store is promised: how much may be lost, how long it may take to come back. */
  readonly objective?: { readonly rpoMs?: number; readonly rtoMs?: number };
}

export interface PostgresStore extends CommonStore {
  readonly kind: 'postgres';
  /** Holds no password. */
  readonly url: string;
  readonly password?: SecretReference;
  /** Names or patterns with `*`; undefined means the one that the URL names. */
  readonly databases?: readonly string[];
  /** Roles and what else belongs to the whole server. */
  readonly globals: boolean;
  /** Groups of tables, as patterns, by name. */
  readonly tables?: Readonly<Record<string, readonly string[]>>;
}

/** A whole Postgres server as it lies on disk, with its write-ahead log. */
export interface ClusterStore extends CommonStore {
  readonly kind: 'cluster';
  /** Holds no password. */
  readonly url: string;
  readonly password?: SecretReference;
  /** The data directory on this host, absolute. */
  readonly directory?: string;
  /** A folder with the server's programs, absolute. */
  readonly programs?: string;
  readonly checkpoint: 'fast' | 'spread';
  /** Bytes per second. */
  readonly maxRate?: number;
  /** Whether the server compresses what it sends; auto: when it is not on this host. */
  readonly compression: 'auto' | 'server' | 'none';
  readonly wal: WalSettings;
}

export interface WalSettings {
  readonly slot: string;
  /** How long received log may wait until it is stored. */
  readonly flushMs: number;
  /** How many bytes of log the server may keep for us. */
  readonly limitBytes: number;
}

export interface DirectoryStore extends CommonStore {
  readonly kind: 'directory';
  /** Absolute. */
  readonly path: string;
  readonly exclude: readonly string[];
}

export type Store = PostgresStore | ClusterStore | DirectoryStore;

/** Where snapshots are kept. */
export interface RepositoryPlace {
  readonly name: string;
  readonly place: StoragePlace<SecretReference>;
  readonly password: SecretReference;
  /** What it may use of the network. */
  readonly limit?: StorageLimit | undefined;
  /** Keep indexes and trees of remote repositories on this host too. */
  readonly cache: boolean;
}

/** What is backed up when, to where, and how long it is kept. */
export interface Plan {
  readonly name: string;
  /** Five fields, or `@daily` and the like. */
  readonly cron?: string | undefined;
  readonly stores: 'all' | readonly string[];
  /** Names of repositories: backed up to the first, copied to the others. */
  readonly to: readonly string[];
  readonly only?: 'schema' | 'data' | undefined;
  /** A group of tables that the stores define. */
  readonly tables?: string | undefined;
  readonly frugal?: boolean | undefined;
  /** A folder of a Git work tree for the schema of databases; absolute. */
  readonly git?: string | undefined;
  /** Undefined: everything. */
  readonly keep?: RetentionPolicy | undefined;
}

export interface Stack {
  readonly name: string;
  /** Where `holdfast.yaml` lies; absolute. */
  readonly folder: string;
  readonly stores: readonly Store[];
  readonly repositories: readonly RepositoryPlace[];
  readonly plans?: readonly Plan[] | undefined;
  /** `holdfast.yaml` as it was read. It holds no secrets, so snapshots carry it and a blank host gets it back. */
  readonly text?: string | undefined;
}

/** The `holdfast.yaml` of this folder or the nearest one above it. Throws `no-config`. */
export async function findConfig(startFolder: string): Promise<string> {
  for (let folder = resolve(startFolder); ; folder = dirname(folder)) {
    const file = join(folder, CONFIG_FILE);
    const found = await access(file).then(
      () => true,
      () => false,
    );
    if (found) return file;
    if (folder === dirname(folder)) break;
  }
  throw new HoldfastError('no-config', `there is no ${CONFIG_FILE} in ${resolve(startFolder)} or above it`, {
    hint: 'Run `holdfast init` to write one, or name its folder with -C.',
  });
}

/** The stores of these names, in the order of the configuration; without names, all that are to be backed up. Throws `usage`. */
export function chooseStores(stack: Stack, names: readonly string[]): readonly Store[] {
  const known = stack.stores.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new HoldfastError('usage', `the stack ${stack.name} has no store "${unknown}"${didYouMeanText(unknown, known)}`, {
      hint: `Its stores are: ${known.join(', ')}.`,
    });
  }
  return stack.stores.filter(({ name, backup }) => (names.length === 0 ? backup : names.includes(name)));
}

/** The repository of this name; without a name the first one. Throws `usage`. */
export function chooseRepository(stack: Stack, wanted?: string): RepositoryPlace {
  const known = stack.repositories.map(({ name }) => name);
  const found = wanted === undefined ? stack.repositories[0] : stack.repositories.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw new HoldfastError('usage', `the stack ${stack.name} has no repository "${wanted ?? ''}"${didYouMeanText(wanted ?? '', known)}`, {
    hint: `Its repositories are: ${known.join(', ')}.`,
  });
}

/** The plan of this name. Throws `usage`. */
export function choosePlan(stack: Stack, wanted: string): Plan {
  const plans = stack.plans ?? [];
  const known = plans.map(({ name }) => name);
  const found = plans.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw new HoldfastError('usage', `the stack ${stack.name} has no plan "${wanted}"${didYouMeanText(wanted, known)}`, {
    hint: known.length === 0 ? 'Add one under `plans:` in holdfast.yaml, as in `daily: { to: [local], keep: { daily: 7 } }`.' : `Its plans are: ${known.join(', ')}.`,
  });
}
