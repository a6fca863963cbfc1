/** What may stand in `holdfast.yaml`, and what one day will. */
import { z } from 'zod';
import { didYouMeanText } from '../base/did-you-mean.ts';
import { keep, plan, unknownGroups, unknownNames } from './plan-schema.ts';
import { EXPOSED, limit, repository, s3, secretReference, sftp } from './repository-schema.ts';
import { SECRET_FORMS } from './secret-reference.ts';
import { size } from './size.ts';
import { TIERS } from './stack.ts';

const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u;

const name = z
  .string()
  .max(100)
  .regex(NAME, { error: 'must be a name: letters, digits, ".", "_" and "-", beginning with a letter or digit' });

const postgresUrl = z.string().superRefine((text, context) => {
  const problem = problemOfPostgresUrl(text);
  if (problem !== undefined) context.addIssue({ code: 'custom', ...problem });
});

/** libpq takes several hosts, which URLs otherwise do not have. */
const MANY_HOSTS = /^\w+:\/\/([^@/:]*@)?([\w.%-]+|\[[\da-f:.]+\])(:\d+)?(,([\w.%-]+|\[[\da-f:.]+\])(:\d+)?)*([/?]|$)/i;

/** What is wrong with the URL of a database; never repeats the URL, for it may hold a password. */
export function problemOfPostgresUrl(text: string): { readonly message: string; readonly params?: typeof EXPOSED } | undefined {
  const message = 'holds a password; take it out and add `password: env:NAME` (or file:PATH, exec:COMMAND), or put it into ~/.pgpass';
  if (/^[a-z]+:\/\/[^@?#]*:[^?#]+@/i.test(text) || /[?&](password|sslpassword)=/i.test(text)) return { message, params: EXPOSED };
  const valid = /^postgres(ql)?:\/\//.test(text) && (URL.canParse(text) || MANY_HOSTS.test(text));
  if (!valid) return { message: 'must be the URL of a database, like postgresql://user@host:5432/database' };
  return URL.canParse(text) && new URL(text).password !== '' ? { message, params: EXPOSED } : undefined;
}

const duration = z.string().regex(/^\d+(\.\d+)?(s|m|h|d)$/, { error: 'must be a duration like 30s, 15m, 1h or 7d' });

const objective = z.strictObject({
  rpo: duration.optional().describe('How much may be lost at most, as a duration'),
  rto: duration.optional().describe('How long it may take at most to come back'),
});

const physical = z.strictObject({
  directory: z.string().min(1).optional().describe('The data directory, where the server runs on this host: a restore puts a new one in its place'),
  programs: z.string().min(1).optional().describe('The folder with the programs of the server (postgres, pg_ctl) of the same major version; found by itself where packages put it'),
  checkpoint: z.enum(['fast', 'spread']).optional().describe('fast begins at once, spread goes easy on the disks of the server; fast unless said otherwise'),
  compression: z.enum(['auto', 'server', 'none']).optional().describe('server has the server compress what it sends (15 and newer), to spare the network; none does not; auto, the default, does it when the server is not on this host'),
  'max-rate': size.optional().describe('Bytes per second that the server may read for it at most, like 50M'),
});

const wal = z.strictObject({
  slot: z.string().regex(/^[a-z0-9_]{1,63}$/, { error: 'must be the name of a replication slot: small letters, digits and _' }).optional().describe('The replication slot; holdfast_ and the name of the store unless said otherwise'),
  flush: duration.optional().describe('How long received log may wait until it is stored and acknowledged: the loss window; 10s unless said otherwise'),
  limit: size.optional().describe('How much log the server may keep for us before the slot is given up rather than fill its disk; 4G unless said otherwise'),
});

const postgres = z.strictObject({
  url: postgresUrl.describe('postgresql://user@host:5432/database, without a password'),
  password: secretReference.optional().describe(`Where the password is to be found: ${SECRET_FORMS}`),
  databases: z.array(z.string().min(1)).nonempty().optional().describe('Names, or patterns with * for any letters, resolved at every backup; a ! before one leaves it out. Without it, the database of the URL'),
  globals: z.boolean().optional().describe('Roles and other things of the whole server; true unless said otherwise'),
  tables: z.record(name, z.array(z.string().min(1)).nonempty()).optional().describe('Groups of tables by name, each a list of schema.table with * for any letters: { critical: [public.users, "billing.*"] }'),
  physical: z.union([z.literal(true), physical], { error: 'must be true, or hold the settings of a physical backup' }).optional().describe('Back up the whole server as it lies on disk, for restores to any second; needs a user with REPLICATION'),
  wal: wal.optional().describe('How `holdfast wal follow` keeps the write-ahead log of a physical store'),
});

const store = z
  .strictObject({
    postgres: postgres.optional().describe('A database of a Postgres server'),
    directory: z.string().min(1).optional().describe('A folder of this host, relative to this file'),
    exclude: z.array(z.string().min(1)).optional().describe('Patterns of what to leave out of a directory'),
    tier: z.enum(TIERS).optional().describe('How much the store matters; important unless said otherwise'),
    owner: z.string().regex(/^[^:\s]+(:[^:\s]+)?$/, { error: 'must be user:group, by name or number, in quotes' }).optional().describe('user:group that the store belongs to'),
    mode: z.string().regex(/^0?[0-7]{3,4}$/, { error: 'must be an octal mode in quotes, like "0700"' }).optional().describe('Permission bits that the store has, in quotes'),
    objective: objective.optional().describe('What the store is promised'),
    backup: z.boolean().optional().describe('false for what is left out on purpose'),
    because: z.string().min(1).optional().describe('Why it is left out'),
  })
  .superRefine((value, context) => {
    const kinds = [value.postgres, value.directory].filter((kind) => kind !== undefined).length;
    if (kinds !== 1) context.addIssue({ code: 'custom', message: 'must say what it is, with exactly one of: postgres, directory' });
    if (value.exclude !== undefined && value.postgres !== undefined) {
      context.addIssue({ code: 'custom', path: ['exclude'], message: 'is for directories only' });
    }
    const { postgres: database } = value;
    if (database?.wal !== undefined && database.physical === undefined) context.addIssue({ code: 'custom', path: ['postgres', 'wal'], message: 'belongs to a physical store; add `physical: true`' });
    for (const key of ['databases', 'tables', 'globals'] as const) {
      if (database?.physical !== undefined && database[key] !== undefined) context.addIssue({ code: 'custom', path: ['postgres', key], message: 'is for logical backups; a physical one holds the whole server. Declare two stores to have both' });
    }
    if (value.backup === false && value.because === undefined) {
      context.addIssue({ code: 'custom', path: ['backup'], message: 'is false without a reason; add `because: …`' });
    }
  });

/** The whole file. */
export const configSchema = z
  .strictObject({
    stack: name.describe('The name of the stack'),
    stores: z.record(name, store).describe('Everything that holds state, by name'),
    repositories: z.record(name, repository).describe('Where snapshots are kept, by name; the first is used when none is named'),
    plans: z.record(name, plan).optional().describe('What is backed up when, to where, and how long it is kept, by name'),
  })
  .superRefine(({ stores, repositories, plans }, context) => {
    for (const { path, name: given, known } of unknownNames(plans ?? {}, Object.keys(stores), Object.keys(repositories))) {
      const kind = path[2] === 'to' ? 'repository' : 'store';
      const suggestion = didYouMeanText(given, known);
      context.addIssue({ code: 'custom', path: [...path], message: `there is no ${kind} "${given}"${suggestion === '' ? `; there are: ${known.join(', ')}` : suggestion}` });
    }
    const groups = Object.fromEntries(Object.entries(stores).map(([name, { postgres }]) => [name, Object.keys(postgres?.tables ?? {})]));
    for (const { path, name: given, known } of unknownGroups(plans ?? {}, groups)) {
      const others = known.length === 0 ? '; define it under `tables:` of a postgres store' : `; there are: ${known.join(', ')}`;
      context.addIssue({ code: 'custom', path: [...path], message: `no store has a group of tables "${given}"${didYouMeanText(given, known) || others}` });
    }
  });

export type ConfigFile = z.infer<typeof configSchema>;

/** For completion in editors: `# yaml-language-server: $schema=…`. */
export function configJsonSchema(): z.core.JSONSchema.BaseSchema {
  return z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' });
}

interface KnownKeys {
  readonly now: readonly string[];
  /** Part of the design, not built yet: a clearer answer than "unknown key". */
  readonly later: readonly string[];
}

const KEYS = {
  file: { now: Object.keys(configSchema.shape), later: ['drill', 'alert', 'compose', 'include'] },
  store: {
    now: Object.keys(store.shape),
    later: ['redis', 'volume', 's3', 'bucket', 'keys', 'configuration', 'quiesce', 'service'],
  },
  postgres: { now: Object.keys(postgres.shape), later: ['service'] },
  physical: { now: Object.keys(physical.shape), later: [] },
  wal: { now: Object.keys(wal.shape), later: [] },
  objective: { now: Object.keys(objective.shape), later: [] },
  plan: { now: Object.keys(plan.shape), later: ['drill', 'alert'] },
  keep: { now: Object.keys(keep.shape), later: [] },
  repository: { now: Object.keys(repository.shape), later: [] },
  s3: { now: Object.keys(s3.shape), later: [] },
  sftp: { now: Object.keys(sftp.shape), later: [] },
  limit: { now: Object.keys(limit.shape), later: [] },
  credentials: { now: ['profile', 'access-key', 'secret-key', 'session-token'], later: [] },
  'object-lock': { now: ['days', 'mode'], later: [] },
} as const satisfies Record<string, KnownKeys>;

/** The keys that belong at this place of the file. */
export function keysAt(path: readonly PropertyKey[]): KnownKeys {
  if (path.length === 0) return KEYS.file;
  if (path.length === 2) return path[0] === 'repositories' ? KEYS.repository : path[0] === 'plans' ? KEYS.plan : KEYS.store;
  const last = String(path.at(-1));
  return last in KEYS ? KEYS[last as keyof typeof KEYS] : KEYS.postgres;
}
