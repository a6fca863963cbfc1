/** The objects of a backup as a target takes them: other roles in their places, and without what cannot be there. Pure. */
import { rolesIn, withRoles, type RoleName } from '../../../client/postgres/sql-roles.ts';
import type { ProofLine } from '../../source.ts';
import { shownEntry, type SchemaEntry } from './schema-entry.ts';
import { superuserOnly, withoutLeakproof } from './superuser-only.ts';
import type { TargetPlan } from './target-plan.ts';

/** Something of the backup that is not on the target, or not as it was. */
export interface Lost {
  readonly entry: SchemaEntry;
  readonly because: string;
  /** What is expected of the target's catalogue knows of it already; see expected-facts.ts. */
  readonly expected?: boolean;
}

type Lose = (because: string, expected: boolean) => void;

export interface Adapted {
  readonly entries: readonly SchemaEntry[];
  /** Without what the user chose to leave out. */
  readonly lost: readonly Lost[];
}

export function adaptEntries(entries: readonly SchemaEntry[], plan: TargetPlan): Adapted {
  const lost: Lost[] = [];
  const kept = entries.flatMap((entry) => {
    if (leftOut(entry, plan)) return [];
    const because = plan.target.superuser ? undefined : superuserOnly(entry);
    if (because !== undefined) {
      lost.push({ entry, because });
      return [];
    }
    const may = plan.target.superuser ? undefined : withoutLeakproof(entry);
    if (may !== undefined) lost.push({ entry, because: 'made without LEAKPROOF, which only superusers promise' });
    return [adaptEntry(may ?? entry, plan, (why, expected) => lost.push({ entry, because: why, expected }))];
  });
  return { entries: kept, lost };
}

/** Left out because the user says so. */
function leftOut({ kind, name, statements }: SchemaEntry, { choices }: TargetPlan): boolean {
  if (kind === 'SETTING' && choices.tablespaces === false) return /'default_tablespace'|^SET default_tablespace = [^']/.test(statements[0] ?? '');
  if (kind === 'ACL' || kind === 'DEFAULT ACL') return choices.privileges === false;
  const extension = kind === 'EXTENSION' ? name : kind === 'COMMENT' ? /^EXTENSION "?(.*?)"?$/.exec(name)?.[1] : undefined;
  return extension !== undefined && choices.skipExtensions?.includes(extension) === true;
}

function adaptEntry(entry: SchemaEntry, plan: TargetPlan, lose: Lose): SchemaEntry {
  const statements = entry.statements.flatMap((statement) => adaptStatement(statement, entry.owner, plan, lose) ?? []);
  return { ...entry, statements };
}

/** Undefined: the statement is not to be run. `owner` is whose the object was. */
export function adaptStatement(statement: string, owner: string | undefined, plan: TargetPlan, lose: Lose): string | undefined {
  const roles = rolesIn(statement);
  if (roles.length === 0) return statement;
  const { target, choices } = plan;
  const others = new Map<RoleName, string>();
  for (const role of roles) {
    const other = stand(role, owner, plan);
    if (other === undefined) {
      // What a role is not granted that the user does without is what was asked for.
      if (choices.roles !== 'skip' || target.roles.has(role.name) || role.use === 'policy') lose(`${role.name} is not on the target, or ${target.me} may not act as it`, role.use !== 'policy');
      return undefined;
    }
    others.set(role, other);
  }
  const [first] = roles;
  if (first?.use === 'owner') {
    const now = others.get(first);
    // Ours already; a superuser says it all the same, for what he made may belong to the owner of an extension or a schema.
    if (now === target.me && !target.superuser) {
      if (choices.owners !== false && first.name !== now && choices.mapRoles?.[first.name] === undefined && choices.roles !== 'skip') lose(`owned by ${now} and not by ${first.name}`, true);
      return undefined;
    }
    if (choices.owners === false) return undefined;
  }
  const adapted = withRoles(statement, (role) => [...others].find(([one]) => one.start === role.start)?.[1]);
  return target.superuser ? adapted : adapted.replace(/^SET SESSION AUTHORIZATION /, 'SET ROLE ').replace(/^RESET SESSION AUTHORIZATION$/, 'RESET ROLE');
}

/** Who takes the role's place in a statement on an object of this owner; undefined: nobody can. */
function stand(role: RoleName, owner: string | undefined, plan: TargetPlan): string | undefined {
  switch (role.use) {
    case 'owner':
    case 'session':
      return plan.owner(role.name);
    case 'grantor': {
      const other = plan.owner(role.name);
      return other === plan.target.me && role.name !== other && plan.choices.mapRoles?.[role.name] === undefined ? undefined : other;
    }
    case 'grantee':
      return role.name === owner ? plan.owner(role.name) : plan.grantee(role.name);
    case 'policy':
    case 'user mapping':
      return plan.grantee(role.name);
  }
}

/** As a restore tells it at its end. */
export function lostLine({ entry, because }: Lost, database?: string): ProofLine {
  return { subject: `${database === undefined ? '' : `${database} `}${shownEntry(entry)}`, equal: false, detail: because };
}
