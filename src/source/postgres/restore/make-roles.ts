/** Makes the roles that a plan says. What exists stays as it is. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { sqlState } from '../../../client/postgres/failure.ts';
import { identifier } from '../../../client/postgres/sql-quote.ts';
import { HoldfastError, isHoldfastError } from '../../../base/errors.ts';
import type { ProofLine } from '../../source.ts';
import type { TargetPlan } from './target-plan.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

/** Gives what belongs to a new role and could not be given to it. Throws `target-failed`, and never shows a statement: it may hold a password's hash. */
export async function makeRoles(admin: Connection, plan: TargetPlan): Promise<ProofLine[]> {
  const { create, globals, choices, target } = plan;
  if (create.length === 0) return [];
  const doing = 'creating roles that are missing';
  try {
    const all = target.superuser && choices.roles !== 'skip' && Object.keys(choices.mapRoles ?? {}).length === 0 && create.every((name) => globals.roles.has(name));
    if (all && globals.script !== undefined) {
      await admin.query(globals.script, doing);
      return [];
    }
    return await makeSome(admin, plan, doing);
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    throw new HoldfastError('target-failed', error.message, { cause: error, hint: 'Restore as a superuser, or create the roles of globals.sql first.' });
  }
}

async function makeSome(admin: Connection, { create, globals, target }: TargetPlan, doing: string): Promise<ProofLine[]> {
  const lost: ProofLine[] = [];
  const attempt = async (statement: string, subject: string, what: string): Promise<void> => {
    try {
      await admin.query(statement, doing);
    } catch (error) {
      if (target.superuser || sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
      lost.push({ subject, equal: false, detail: `${what}: ${target.me} may not give it` });
    }
  };
  for (const name of create) {
    const [first = `CREATE ROLE ${identifier(name)}`, ...others] = globals.roles.get(name)?.statements ?? [];
    await admin.query(target.superuser ? first : withoutPowers(first), doing);
    // To give it what it owned, and to load its tables, we must be able to act as it.
    if (!target.superuser) await admin.query(`GRANT ${identifier(name)} TO ${identifier(target.me)}${target.major >= 16 ? ' WITH INHERIT TRUE, SET TRUE' : ''}`, doing);
    for (const statement of others) await attempt(statement, `role ${name}`, 'a setting or its comment');
  }
  const made = new Set(create);
  const there = (name: string): boolean => made.has(name) || target.roles.has(name);
  for (const { role, member, statement } of globals.memberships) {
    if (!(made.has(role) || made.has(member)) || !there(role) || !there(member)) continue;
    await attempt(statement, `role ${member}`, `membership in ${role}`);
  }
  return lost;
}

/** What only superusers give, as it stands in the options between the name and a password. */
function withoutPowers(statement: string): string {
  const at = statement.indexOf(' PASSWORD ');
  const options = at === -1 ? statement : statement.slice(0, at);
  return options.replaceAll(/ (SUPERUSER|REPLICATION|BYPASSRLS)\b/g, ' NO$1') + statement.slice(options.length);
}
