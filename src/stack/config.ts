/** Reads and checks `holdfast.yaml`. */
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { HoldfastError, messageOf, systemCode } from '../base/errors.ts';
import { describeIssues, placeOf, type ConfigProblem } from './config-problem.ts';
import { parseDuration } from './duration.ts';
import { toPolicy, type PlanEntry } from './plan-schema.ts';
import { toLimit, toPlace } from './repository-schema.ts';
import { configSchema, type ConfigFile } from './schema.ts';
import { parseSize } from './size.ts';
import { checkedReference, resolvePath } from './secret-reference.ts';
import type { ClusterStore, Plan, RepositoryPlace, Stack, Store } from './stack.ts';

export { configJsonSchema } from './schema.ts';

type PostgresEntry = NonNullable<ConfigFile['stores'][string]['postgres']>;

/** Reads the stack that the file declares. Throws `no-config`, `config` or `secret-exposed`; the message names every problem. */
export async function readConfig(file: string): Promise<Stack> {
  const path = resolve(file);
  try {
    const text = await readFile(path, 'utf8');
    return { ...parseConfig(text, path), text };
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    if (systemCode(error) === 'ENOENT') {
      throw new HoldfastError('no-config', `there is no ${path}`, { hint: 'Run `holdfast init` to write one.', cause: error });
    }
    throw new HoldfastError('config', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** The stack that the text of a `holdfast.yaml` declares; `file` is its absolute path. */
export function parseConfig(text: string, file: string): Stack {
  const lines = new LineCounter();
  // Without pretty errors: they quote the line, and a secret may stand on it.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    fail(file, document.errors.map((error) => ({ ...placeOf(lines, error.pos[0]), subject: '', message: sentence(error.message), exposed: false })));
  }
  const result = configSchema.safeParse(document.toJS() ?? {});
  if (!result.success) fail(file, describeIssues(document, lines, result.error.issues));
  return toStack(result.data, dirname(file));
}

function sentence(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function fail(file: string, problems: readonly ConfigProblem[]): never {
  const shown = problems.map(({ line, column, subject, message }) => {
    const place = `${basename(file)}:${line}:${column}`;
    return subject === '' ? `${place} ${message}` : `${place} ${subject}: ${message}`;
  });
  const exposed = problems.some((problem) => problem.exposed);
  throw new HoldfastError(exposed ? 'secret-exposed' : 'config', shown.join('\n'), {
    hint: exposed ? `Take the secret out of ${file}, and change it if others may have seen it.` : `Correct ${file}.`,
  });
}

function toStack(config: ConfigFile, folder: string): Stack {
  return {
    name: config.stack,
    folder,
    stores: Object.entries(config.stores).map(([name, store]) => toStore(name, store, folder)),
    repositories: Object.entries(config.repositories).map(([name, entry]) => toRepository(name, entry, folder)),
    ...(config.plans !== undefined && { plans: Object.entries(config.plans).map(([name, entry]) => toPlan(name, entry, folder)) }),
  };
}

function toPlan(name: string, { cron, stores, to, keep, only, tables, frugal, git }: PlanEntry, folder: string): Plan {
  return { name, ...(cron !== undefined && { cron }), stores: stores ?? 'all', to, only, tables, frugal, ...(git !== undefined && { git: resolvePath(folder, git) }), ...(keep !== undefined && { keep: toPolicy(keep) }) };
}

function toRepository(name: string, entry: ConfigFile['repositories'][string], folder: string): RepositoryPlace {
  return {
    name, place: toPlace(entry, folder), password: checkedReference(entry.password, folder), cache: entry.cache ?? true,
    ...(entry.limit !== undefined && { limit: toLimit(entry.limit) }),
  };
}

function toStore(name: string, store: ConfigFile['stores'][string], folder: string): Store {
  const { postgres, directory, exclude, tier, owner, mode, objective, backup, because } = store;
  const common = {
    name,
    tier: tier ?? 'important',
    backup: backup ?? true,
    ...(because !== undefined && { because }),
    ...(owner !== undefined && { owner }),
    ...(mode !== undefined && { mode: Number.parseInt(mode, 8) }),
    ...(objective !== undefined && { objective: toObjective(objective) }),
  };
  if (postgres === undefined) return { ...common, kind: 'directory', path: resolvePath(folder, directory ?? ''), exclude: exclude ?? [] };
  if (postgres.physical !== undefined) return toCluster(common, postgres, folder);
  const { url, password, databases, globals, tables } = postgres;
  return {
    ...common,
    kind: 'postgres',
    url,
    ...(password !== undefined && { password: checkedReference(password, folder) }),
    ...(databases !== undefined && { databases }),
    globals: globals ?? true,
    ...(tables !== undefined && { tables }),
  };
}

function toCluster(common: Omit<ClusterStore, 'kind' | 'url' | 'checkpoint' | 'compression' | 'wal'>, entry: PostgresEntry, folder: string): ClusterStore {
  const { url, password, physical, wal } = entry;
  const settings = physical === true || physical === undefined ? {} : physical;
  return {
    ...common,
    kind: 'cluster',
    url,
    ...(password !== undefined && { password: checkedReference(password, folder) }),
    ...(settings.directory !== undefined && { directory: resolvePath(folder, settings.directory) }),
    ...(settings.programs !== undefined && { programs: resolvePath(folder, settings.programs) }),
    checkpoint: settings.checkpoint ?? 'fast',
    compression: settings.compression ?? 'auto',
    ...(settings['max-rate'] !== undefined && { maxRate: parseSize(settings['max-rate']) }),
    wal: {
      slot: wal?.slot ?? `holdfast_${common.name.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}`.slice(0, 63),
      flushMs: parseDuration(wal?.flush ?? '10s'),
      limitBytes: parseSize(wal?.limit ?? '4G'),
    },
  };
}

function toObjective({ rpo, rto }: { rpo?: string | undefined; rto?: string | undefined }): NonNullable<Store['objective']> {
  return { ...(rpo !== undefined && { rpoMs: parseDuration(rpo) }), ...(rto !== undefined && { rtoMs: parseDuration(rto) }) };
}
