/**
 * The catalogue of the backup as it must look on the target: the plan maps roles and versions, and what it left out is not expected.
 * Both sides go through the same reading, so that what is compared differs only where the plan says so. Lines: facts.ts. Pure.
 */
import type { Lost } from './adapt.ts';
import type { TargetPlan } from './target-plan.ts';

const ROLE = `(?:"(?:[^"]|"")*"|[^\\s"=:,/]+)`;
const OWNER = new RegExp(`^((?:schema|relation|function|type) .*? owner )(${ROLE})`);
const PRIVILEGES = /^(.*?[ :]privileges )(none|(?:(?:"(?:[^"]|"")*"|[^\s"=])+=\S+ ?)+)(.*)$/;
const OF = /^(privileges of (.*?): )(.*)$/;
const POLICY = /^(policy .*? to )(.*?)( using .*)$/s;
const EXTENSION = /^extension ("(?:[^"]|"")+"|\S+) version (\S+) /;
const DEFAULTS = new RegExp(`^default privileges of (${ROLE}) in `);

/** Who stands for a role: as the owner of an object, or as anybody else. */
interface Stand {
  owner(role: string): string;
  grantee(role: string): string | undefined;
  defaults(role: string): string | undefined;
}

const SAME: Stand = { owner: (role) => role, grantee: (role) => role, defaults: (role) => role };

function standOf(plan: TargetPlan): Stand {
  const defaults = (role: string): string | undefined => {
    const other = plan.owner(role);
    return other === plan.target.me && role !== other && plan.choices.mapRoles?.[role] === undefined ? undefined : other;
  };
  return { owner: (role) => plan.owner(role), grantee: (role) => plan.grantee(role), defaults };
}

/** The lines of the backup and those of the target, comparable. */
export function comparable(before: readonly string[], after: readonly string[], plan: TargetPlan): { readonly before: string[]; readonly after: string[] } {
  const version = (name: string): string | undefined => plan.target.extensions.get(name)?.version;
  const skipped = new Set(plan.choices.skipExtensions);
  const expected = before.flatMap((line) => {
    const [head, name] = EXTENSION.exec(line) ?? [];
    if (head === undefined || name === undefined) return [line];
    const plain = unquoted(name);
    return skipped.has(plain) ? [] : [line.replace(head, `extension ${name} version ${version(plain) ?? ''} `)];
  });
  const placed = (line: string): boolean => isPlaced(line, plan);
  return { before: expected.filter(placed).flatMap(reader(before, standOf(plan), plan)), after: after.filter(placed).flatMap(reader(after, SAME, plan)) };
}

/** A script puts things into a tablespace only where the target has it and lets us; whether it does is not asked of others than superusers. */
function isPlaced(line: string, { target }: TargetPlan): boolean {
  if (!line.startsWith('tablespace of ')) return true;
  return target.superuser && target.tablespaces.some((name) => line.endsWith(`: ${name}`) || line.endsWith(`: "${name.replaceAll('"', '""')}"`));
}

function reader(lines: readonly string[], stand: Stand, plan: TargetPlan): (line: string) => string[] {
  const owners = new Map<string, string>();
  for (const line of lines) {
    const [, name, owner] = new RegExp(`^relation (.*?) kind . owner (${ROLE})`, 's').exec(line) ?? [];
    if (name !== undefined && owner !== undefined) owners.set(name, unquoted(owner));
  }
  return (line) => {
    const defaults = DEFAULTS.exec(line)?.[1];
    if (defaults !== undefined) return plan.choices.privileges === false ? [] : defaultsLine(line, unquoted(defaults), stand);
    const [, beforeRoles, roles, rest] = POLICY.exec(line) ?? [];
    if (roles !== undefined) return [`${beforeRoles ?? ''}${rolesOf(roles, stand)}${rest ?? ''}`];
    const [, head, relation = '', list] = OF.exec(line) ?? [];
    if (head !== undefined && list !== undefined) return plan.choices.privileges === false ? [] : [head + privileges(list, owners.get(relation), stand)];
    const owned = OWNER.exec(line);
    const owner = owned === null ? owners.get(/^column (.*?)\.(?:"(?:[^"]|"")+"|[^\s".]+) number /s.exec(line)?.[1] ?? '') : unquoted(owned[2] ?? '');
    const told = owned === null || owner === undefined ? line : line.replace(owned[0], () => `${owned[1]}${plain(plan.choices.owners === false ? 'any' : stand.owner(owner))}`);
    const found = PRIVILEGES.exec(told);
    if (found === null || !/^(?:schema|function|type|column) /.test(line)) return [told];
    const [, until = '', granted = '', after = ''] = found;
    return [until + (plan.choices.privileges === false ? '' : privileges(granted.trim(), owner, stand)) + (after === '' || granted.endsWith(' ') ? ` ${after}` : after)];
  };
}

function plain(role: string): string {
  return `"${role.replaceAll('"', '""')}"`;
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

const ITEM = /((?:"(?:[^"]|"")*")|[^\s"=]+)=(\S+)/g;

/** `a=SELECT b=INSERT*` with the roles that stand for these, in one order; nobody twice. */
function privileges(list: string, owner: string | undefined, stand: Stand): string {
  const found = new Set<string>();
  for (const [, role = '', privilege = ''] of list.matchAll(ITEM)) {
    if (role === 'PUBLIC') {
      found.add(`PUBLIC=${privilege}`);
      continue;
    }
    const name = unquoted(role);
    const other = name === owner ? stand.owner(name) : stand.grantee(name);
    if (other !== undefined) found.add(`${plain(other)}=${privilege}`);
  }
  const kept = [...found].filter((one) => one.endsWith('*') || !found.has(`${one}*`));
  return kept.length === 0 ? 'none' : kept.toSorted().join(' ');
}

function rolesOf(list: string, stand: Stand): string {
  const names = list.match(/"(?:[^"]|"")*"|[^\s",]+/g) ?? [];
  return names.map((name) => (name === 'PUBLIC' ? name : plain(stand.grantee(unquoted(name)) ?? name))).toSorted().join(', ');
}

/** `default privileges of boss in app for r: {reader=r/boss}`; gone when nobody stands for the role that gives them. */
function defaultsLine(line: string, role: string, stand: Stand): string[] {
  const other = stand.defaults(role);
  if (other === undefined) return [];
  const at = line.lastIndexOf(': ');
  const head = line.slice(0, at).replace(DEFAULTS, () => `default privileges of ${plain(other)} in `);
  const items = [...line.slice(at + 2).matchAll(/("(?:[^"]|"")*"|[^\s"=]*)=([^/\s]*)\/("(?:[^"]|"")*"|\S+)/g)].flatMap(([, grantee = '', letters = '']) => {
    if (grantee === '') return [`=${letters}`];
    const name = unquoted(grantee);
    const now = name === role ? other : stand.grantee(name);
    return now === undefined ? [] : [`${plain(now)}=${letters}`];
  });
  return [`${head}: ${items.toSorted().join(' ')}`];
}

/** Does this line speak of something that is known not to be as it was? */
export function explains(lost: readonly Lost[]): (line: string) => boolean {
  const marks = lost.filter(({ expected }) => expected !== true).flatMap(({ entry }) => {
    const target = /^(?:ACL|COMMENT|SECURITY LABEL)$/.test(entry.kind) ? entry.name.replace(/^[A-Z]+(?: [A-Z]+)* /, '') : entry.name;
    const base = target.replace(/\(.*$/s, '').replaceAll('"', '');
    const parts = /^(?:CONSTRAINT|FK CONSTRAINT|CHECK CONSTRAINT|TRIGGER|POLICY|RULE|DEFAULT|ROW SECURITY|PUBLICATION TABLE)$/.test(entry.kind) ? base.split(' ') : [base];
    const qualified = (part: string): string => (entry.schema === undefined ? part : `${entry.schema}.${part}`);
    const marked = parts.map((part, index) => (index === 0 ? qualified(part) : part));
    // A key is an index, too, which has a name of its own in the schema.
    return entry.kind === 'CONSTRAINT' && parts[1] !== undefined ? [marked, [qualified(parts[1])]] : [marked];
  });
  return (line) => {
    const text = line.replaceAll('"', '');
    return marks.some((parts) => parts.every((part) => mentions(text, part)));
  };
}

/** As a whole name: `app.t` is not in `app.total`. */
function mentions(text: string, name: string): boolean {
  // What sets up a session has no name, and is found everywhere.
  if (name === '') return false;
  for (let at = text.indexOf(name); at !== -1; at = text.indexOf(name, at + 1)) {
    const [before, after] = [text[at - 1] ?? ' ', text[at + name.length] ?? ' '];
    if (!/[\w.]/.test(before) && !/\w/.test(after)) return true;
  }
  return false;
}
