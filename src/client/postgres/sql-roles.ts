/** Which roles a statement of pg_dump names, and where in its text: so that a role can be replaced without touching anything else. Pure. */
import { tokensOf, type Token } from './sql-statements.ts';
import { identifier } from './sql-quote.ts';

/** What the statement does with the role. */
export type RoleUse = 'owner' | 'grantee' | 'grantor' | 'policy' | 'user mapping' | 'session';

export interface RoleName {
  readonly name: string;
  readonly use: RoleUse;
  /** Where it stands in the statement. */
  readonly start: number;
  readonly end: number;
}

interface Word extends Token {
  readonly text: string;
}

/** Names that stand for no role of the server. */
const NO_ROLE = new Set(['PUBLIC', 'CURRENT_USER', 'SESSION_USER', 'CURRENT_ROLE']);

/** Statements that name roles begin with one of these; others, among them long function bodies, are not even looked at. */
const BEGINNING = /^(?:ALTER|GRANT|REVOKE|CREATE (?:POLICY|USER MAPPING|SCHEMA)|SET SESSION AUTHORIZATION)\s/;

/** The roles in one statement without comments before it, in the order of its text. */
export function rolesIn(statement: string): RoleName[] {
  if (!BEGINNING.test(statement)) return [];
  const words = outside(statement);
  const [first, second] = words.map(({ word }) => word);
  if (first === 'GRANT' || first === 'REVOKE') return after(words, first === 'GRANT' ? 'TO' : 'FROM', 'grantee');
  if (first === 'SET') return listAt(words, 3, 'session');
  if (first === 'CREATE') {
    if (second === 'POLICY') return after(words, 'TO', 'policy');
    return second === 'SCHEMA' ? after(words, 'AUTHORIZATION', 'owner') : after(words, 'FOR', 'user mapping');
  }
  if (second === 'DEFAULT') return [...after(words, 'ROLE', 'grantor'), ...after(words, words.some(({ word }) => word === 'GRANT') ? 'TO' : 'FROM', 'grantee')];
  // Of a database: ALTER ROLE … IN DATABASE … SET …
  if (second === 'ROLE') return listAt(words, 2, 'grantee');
  const owner = words.length - 3;
  return words[owner]?.word === 'OWNER' && words[owner + 1]?.word === 'TO' ? listAt(words, owner + 2, 'owner') : [];
}

/** The statement with other roles in the places of these; `undefined` leaves a role as it is. */
export function withRoles(statement: string, rename: (role: RoleName) => string | undefined): string {
  let text = '';
  let at = 0;
  for (const role of rolesIn(statement)) {
    const other = rename(role);
    if (other === undefined || other === role.name) continue;
    text += statement.slice(at, role.start) + identifier(other);
    at = role.end;
  }
  return text + statement.slice(at);
}

/** The tokens that stand in no parentheses. */
function outside(statement: string): Word[] {
  const found: Word[] = [];
  let depth = 0;
  for (const token of tokensOf(statement)) {
    const text = statement.slice(token.start, token.end);
    if (text === ')') depth--;
    if (depth === 0 && text !== ')') found.push({ ...token, text });
    if (text === '(') depth++;
  }
  return found;
}

function after(words: readonly Word[], word: string, use: RoleUse): RoleName[] {
  const at = words.findIndex((one, index) => index > 0 && one.word === word);
  return at === -1 ? [] : listAt(words, at + 1, use);
}

/** Names with commas between them, from here on. */
function listAt(words: readonly Word[], from: number, use: RoleUse): RoleName[] {
  const found: RoleName[] = [];
  for (let at = from; ; at += 2) {
    const word = words[at];
    if (word === undefined) return found;
    if (!NO_ROLE.has(word.word ?? '')) found.push({ name: nameOf(word), use, start: word.start, end: word.end });
    if (words[at + 1]?.text !== ',') return found;
  }
}

function nameOf({ text, word }: Word): string {
  return word === undefined ? text.replace(/^"|"$/g, '').replaceAll('""', '"') : text;
}
