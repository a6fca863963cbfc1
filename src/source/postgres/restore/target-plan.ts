/** What a restore does about everything that the backup needs and the target lacks. Pure: facts and choices in, a plan with reasons out. */
import { HoldfastError } from '../../../base/errors.ts';
import type { Toc } from '../../../client/postgres/archive/toc.ts';
import { rolesIn } from '../../../client/postgres/sql-roles.ts';
import type { RestoreChoices, RestoreStep } from '../../source.ts';
import type { DatabaseProperties } from '../database.ts';
import type { Membership, RoleStatements } from '../global-statements.ts';
import { dependentsOf, shownEntry, tocKey, type SchemaEntry } from './schema-entry.ts';
import { superuserOnly, withoutLeakproof } from './superuser-only.ts';
import type { TargetFacts } from './target-facts.ts';

/** What one database of the backup needs. */
export interface Needs {
  readonly database: string;
  /** Major version of the source. */
  readonly major: number;
  readonly entries: readonly SchemaEntry[];
  /** The same as pg_dump's archive has it, which knows what needs what; undefined in snapshots of an older Holdfast. */
  readonly toc?: Toc | undefined;
  readonly extensions: readonly { readonly name: string; readonly version: string }[];
  readonly properties: DatabaseProperties;
}

export interface Globals {
  /** Makes all roles that are missing; undefined where the backup has none. Holds hashed passwords. */
  readonly script: string | undefined;
  readonly roles: ReadonlyMap<string, RoleStatements>;
  readonly memberships: readonly Membership[];
}

/** The target as it will be, and who stands there for whom. */
export interface TargetPlan {
  readonly target: TargetFacts;
  readonly choices: RestoreChoices;
  readonly steps: readonly RestoreStep[];
  /** Roles to make first. */
  readonly create: readonly string[];
  readonly globals: Globals;
  /** Who owns there what this role owned. */
  owner(role: string): string;
  /** Who is granted there what this role was granted; undefined: nobody. */
  grantee(role: string): string | undefined;
}

/** Length of `_holdfast_new_20261121_014501`; see swap.ts. */
const LEFTOVER_LENGTH = 29;

/** How a new database will be made: `create` needs CREATEDB and a locale, `existing` is there and empty, `in place` changes what is there. */
export type Way = 'create' | 'existing' | 'in place';

/** `names`: the databases of the target that will be touched. Throws `missing-on-target` with everything that cannot be solved. */
export function planTarget(target: TargetFacts, globals: Globals, needs: readonly Needs[], choices: RestoreChoices, way: Way, names: readonly string[]): TargetPlan {
  const steps: RestoreStep[] = [];
  const missing = foreign(target, names, way);
  for (const need of needs) missing.push(...serverProblems(target, need, choices, way));
  const create = planRoles(target, globals, needs, choices, steps, missing);
  const made = new Set(create);
  for (const { extensions } of needs) for (const one of extensions) planExtension(target, one, choices, way, steps, missing);
  for (const need of needs) steps.push(...tablespaceSteps(target, need, choices), ...withoutExtensions(need, choices));
  if (!target.superuser) for (const { entries } of needs) steps.push(...entries.flatMap(superuserStep));
  steps.push(...leftovers(target, needs));
  if (choices.owners === false) steps.push({ subject: 'owners', action: 'skip', detail: `as asked: all is owned by ${target.me}` });
  if (choices.privileges === false) steps.push({ subject: 'privileges', action: 'skip', detail: 'as asked' });
  if (missing.length > 0) throw refusal(missing);
  const mapped = (role: string): string => choices.mapRoles?.[role] ?? role;
  const there = (role: string): boolean => target.roles.has(role) || made.has(role);
  const owner = (role: string): string => {
    const wanted = mapped(role);
    // pg_database_owner and its like: what they own is made with the database.
    if (wanted.startsWith('pg_')) return wanted;
    if (choices.owners === false || !there(wanted)) return target.me;
    return target.superuser || made.has(wanted) || target.roles.get(wanted)?.member === true ? wanted : target.me;
  };
  return { target, choices, steps: distinct(steps), create, globals, owner, grantee: (role) => (there(mapped(role)) ? mapped(role) : undefined) };
}

/** Only its owner renames a database; only somebody whom it lets in fills it. */
function foreign(target: TargetFacts, names: readonly string[], way: Way): string[] {
  if (way !== 'create' || target.superuser) return [];
  return names.flatMap((name) => {
    const there = target.databases.get(name);
    return there === undefined || there.ours ? [] : [`database ${name} belongs to ${there.owner}, so ${target.me} may not put another in its place: restore into another name with --into`];
  });
}

function refusal(missing: readonly string[]): HoldfastError {
  const all = [...new Set(missing)];
  const listed = all.length === 1 ? ` ${all[0]}` : all.map((one) => `\n  - ${one}`).join('');
  return new HoldfastError('missing-on-target', `The target lacks ${all.length === 1 ? 'one thing' : `${all.length} things`} that the backup needs, and nothing was changed:${listed}`, {
    hint: 'Bring what is missing there, or choose with the options that are named; `holdfast restore --dry-run` shows the plan.',
  });
}

function distinct(steps: readonly RestoreStep[]): RestoreStep[] {
  return [...new Map(steps.map((step) => [`${step.subject} ${step.action}`, step])).values()];
}

function serverProblems(target: TargetFacts, { database, major, properties }: Needs, choices: RestoreChoices, way: Way): string[] {
  const found: string[] = [];
  if (target.readOnly) found.push('the server takes no changes: it is a standby, or default_transaction_read_only is on');
  if (target.major < major) found.push(`${database} comes from PostgreSQL ${major} and the server is ${target.version}: schemas go to the same or a newer major version only (rows go to any, with --data-only)`);
  if (way !== 'create') return found;
  if (!target.createdb) found.push(`${target.me} may not create databases: ALTER ROLE ${target.me} CREATEDB, or have an empty database made and name it with --into-database`);
  if (choices.locale !== undefined) return found;
  const { provider, collate, ctype } = properties;
  for (const locale of new Set([collate, ctype])) if (!target.locales.has(locale)) found.push(`locale ${locale} of ${database} is not installed on the server: install it, or name another with --locale (C is always there; sort orders change)`);
  if (provider === 'i' && !target.icu) found.push(`${database} sorts by ICU, which the server was built without: choose a locale with --locale`);
  if ((provider === 'i' && target.major < 15) || (provider === 'b' && target.major < 17)) found.push(`${database} has a locale provider that PostgreSQL ${target.major} does not know: choose a locale with --locale`);
  return found;
}

interface Used {
  readonly owns: boolean;
  readonly named: boolean;
}

/** Roles that the backup refers to: as owners, and in privileges, policies and the like. */
function usedRoles(needs: readonly Needs[], choices: RestoreChoices): Map<string, Used> {
  const found = new Map<string, Used>();
  const add = (name: string, owns: boolean): void => {
    const known = found.get(name);
    found.set(name, { owns: owns || known?.owns === true, named: !owns || known?.named === true });
  };
  for (const { entries, properties } of needs) {
    for (const { kind, statements } of entries) {
      if (choices.privileges === false && (kind === 'ACL' || kind === 'DEFAULT ACL')) continue;
      for (const { name, use } of statements.flatMap(rolesIn)) if (use !== 'owner' || choices.owners !== false) add(name, use === 'owner');
    }
    if (choices.owners !== false) add(properties.owner, true);
    if (choices.privileges !== false) for (const { grantee } of properties.grants ?? []) if (grantee !== null) add(grantee, false);
  }
  return found;
}

function planRoles(target: TargetFacts, globals: Globals, needs: readonly Needs[], choices: RestoreChoices, steps: RestoreStep[], missing: string[]): string[] {
  const used = usedRoles(needs, choices);
  const create: string[] = [];
  for (const [from, to] of Object.entries(choices.mapRoles ?? {})) {
    if (!target.roles.has(to)) missing.push(`role ${to}, which ${from} is mapped to, does not exist`);
    else steps.push({ subject: `role ${from}`, action: 'map', detail: `to ${to}, as asked` });
  }
  // A superuser gets back the roles of the whole server, as a server that is rebuilt needs them.
  const wanted = target.superuser ? new Set([...used.keys(), ...globals.roles.keys()]) : new Set(used.keys());
  for (const name of [...wanted].toSorted()) {
    if (choices.mapRoles?.[name] !== undefined || name.startsWith('pg_')) continue;
    const there = target.roles.get(name);
    const { owns, named } = used.get(name) ?? { owns: false, named: false };
    if (there !== undefined) {
      if (owns && !target.superuser && !there.member) steps.push({ subject: `owner ${name}`, action: 'map', detail: `to ${target.me}, because ${target.me} may not act as ${name}` });
    } else if (choices.roles === 'skip') {
      if (owns || named) steps.push({ subject: `role ${name}`, action: 'skip', detail: `as asked: what it owns is owned by ${target.me}, what it was granted is left out` });
    } else if (target.createrole) {
      create.push(name);
      steps.push({ subject: `role ${name}`, action: 'create', detail: roleDetail(target, globals, name) });
    } else {
      missing.push(`role ${name} does not exist, and ${target.me} may not create roles: create it, map it with --map-role ${shellWord(`${name}=${target.me}`)}, or go without with --no-roles`);
    }
  }
  return create;
}

/** As it can be pasted into a shell. */
function shellWord(text: string): string {
  return /^[\w.=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function roleDetail(target: TargetFacts, globals: Globals, name: string): string {
  const [sql] = globals.roles.get(name)?.statements ?? [];
  if (sql === undefined) return 'without anything, because the backup knows only its name';
  const lost = target.superuser ? [] : [...sql.matchAll(/ (SUPERUSER|REPLICATION|BYPASSRLS)\b/g)].map(([, word]) => word ?? '');
  const login = / LOGIN\b/.test(sql) && !/ PASSWORD /.test(sql) ? ', without a password' : '';
  return `with the settings of the backup${login}${lost.length === 0 ? '' : `, but without ${lost.join(' and ')}, which ${target.me} may not give`}`;
}

function planExtension(target: TargetFacts, { name, version }: Needs['extensions'][number], choices: RestoreChoices, way: Way, steps: RestoreStep[], missing: string[]): void {
  if (name === 'plpgsql') return;
  const there = target.extensions.get(name);
  if (choices.skipExtensions?.includes(name) === true) {
    steps.push({ subject: `extension ${name}`, action: 'skip', detail: 'as asked, and with it what needs it' });
  } else if (there === undefined) {
    missing.push(`extension ${name} ${version} is not available on the server: install its package there, or go without with --skip-extension ${name}`);
  } else if (there.superuser && !target.superuser && way === 'create') {
    missing.push(`extension ${name} can be created by superusers only: have it created in an empty database and name that with --into-database, or go without with --skip-extension ${name}`);
  } else if (there.version !== version) {
    steps.push({ subject: `extension ${name}`, action: 'map', detail: `from version ${version} to ${there.version}, which the server has` });
  }
}

/** A restore that was killed cannot clean up after itself; the next one names what it left. */
function leftovers(target: TargetFacts, needs: readonly Needs[]): RestoreStep[] {
  const unfinished = (name: string): boolean => needs.some(({ database }) => /^_holdfast_new_\d{8}_\d{6}$/.test(name.slice(-LEFTOVER_LENGTH)) && database.startsWith(name.slice(0, -LEFTOVER_LENGTH)));
  return [...target.databases.keys()].filter(unfinished).map((name) => ({ subject: `database ${name}`, action: 'note', detail: 'a restore that did not come to its end has left it; nothing uses it, and you can drop it' }));
}

/** What is in a tablespace that the target lacks goes where the database is; nothing of the content depends on it. */
function tablespaceSteps(target: TargetFacts, { entries }: Needs, choices: RestoreChoices): RestoreStep[] {
  const used = new Set(entries.flatMap(({ tablespace }) => (tablespace === undefined ? [] : [tablespace])));
  if (choices.tablespaces === false) return [...used].map((name) => ({ subject: `tablespace ${name}`, action: 'skip', detail: 'as asked: its tables go where the database is' }));
  return [...used].filter((name) => !target.tablespaces.includes(name)).map((name) => ({ subject: `tablespace ${name}`, action: 'map', detail: 'to the default one, because the server has none of this name' }));
}

/** Everything that cannot be made without the extensions that the user does without. */
function withoutExtensions({ toc, entries }: Needs, { skipExtensions = [] }: RestoreChoices): RestoreStep[] {
  if (toc === undefined || skipExtensions.length === 0) return [];
  const lost = dependentsOf(toc, new Set(skipExtensions.map((name) => tocKey({ kind: 'EXTENSION', schema: undefined, name }))));
  return entries.filter((entry) => entry.kind !== 'COMMENT' && lost.has(tocKey(entry)))
    .map((entry) => ({ subject: shownEntry(entry), action: 'skip', detail: `it needs ${skipExtensions.join(' or ')}${entry.kind === 'TABLE' ? ', and its rows are not restored' : ''}` }));
}

function superuserStep(entry: SchemaEntry): RestoreStep[] {
  const because = superuserOnly(entry);
  if (because !== undefined) return [{ subject: shownEntry(entry), action: 'skip', detail: because }];
  return withoutLeakproof(entry) === undefined ? [] : [{ subject: shownEntry(entry), action: 'map', detail: 'to one that is not LEAKPROOF, because only superusers promise that' }];
}
