/** The statements of `globals.sql`, role by role: so that a restore can make some of them. The script is our own; see globals.ts. */
import { tokensOf } from '../../client/postgres/sql-statements.ts';
import { statementsOf } from './restore/script.ts';

export interface RoleStatements {
  readonly name: string;
  /** CREATE ROLE first, then its settings and its comment. */
  readonly statements: readonly string[];
}

export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly statement: string;
}

const ROLE = /^(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE) ("(?:[^"]|"")+")/;
const MEMBER = /^GRANT ("(?:[^"]|"")+") TO ("(?:[^"]|"")+")/;

export function roleStatements(script: string): { readonly roles: ReadonlyMap<string, RoleStatements>; readonly memberships: readonly Membership[] } {
  const roles = new Map<string, RoleStatements & { statements: string[] }>();
  const memberships: Membership[] = [];
  for (const statement of statementsOf(script).flatMap(executed)) {
    const [, role, member] = MEMBER.exec(statement) ?? [];
    if (role !== undefined && member !== undefined) memberships.push({ role: unquoted(role), member: unquoted(member), statement });
    const [, own] = ROLE.exec(statement) ?? [];
    if (own === undefined) continue;
    const name = unquoted(own);
    const known = roles.get(name) ?? { name, statements: [] };
    known.statements.push(statement);
    roles.set(name, known);
  }
  return { roles, memberships };
}

/** What a DO block executes, as far as it is given as a literal; any other statement is itself. */
function executed(statement: string): string[] {
  const [, body] = /^DO\s+(?:\$\w*\$)([\s\S]*)\$\w*\$$/.exec(statement) ?? [];
  if (body === undefined) return [statement];
  const found: string[] = [];
  let execute = false;
  for (const { start, end, word } of tokensOf(body)) {
    if (execute) found.push(textOf(body.slice(start, end)));
    execute = word === 'EXECUTE';
  }
  return found;
}

/** The text of `'…'` or `E'…'`, as `literal` of sql-quote.ts writes them. */
function textOf(literal: string): string {
  if (!literal.startsWith('E')) return literal.slice(1, -1).replaceAll("''", "'");
  return literal.slice(2, -1).replaceAll(/''|\\(.)/gs, (_, escaped: string | undefined) => (escaped === undefined ? "'" : escaped === 'n' ? '\n' : escaped === 'r' ? '\r' : escaped));
}

function unquoted(name: string): string {
  return name.slice(1, -1).replaceAll('""', '"');
}
