/** Cuts an SQL script as `pg_dump` and people write it into statements. Pure; nothing is lost: the pieces joined are the script. */

export interface Statement {
  /** With the white space and comments before it, and its semicolon. */
  readonly text: string;
  /** The statement itself, without what stands before it and without the semicolon. Empty at the end of a script. */
  readonly code: string;
  /** A command of psql: a line that begins with a backslash. */
  readonly meta: boolean;
}

const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;
const NUMBER = /[0-9][A-Za-z0-9_.$]*/y;

/** The end of a quoted stretch whose quote stands at `at`; a doubled quote does not end it, nor a backslashed one if `escapes`. */
function endOfQuote(sql: string, at: number, escapes: boolean): number {
  const quote = sql[at];
  for (let i = at + 1; i < sql.length; i++) {
    if (escapes && sql[i] === '\\') i++;
    else if (sql[i] === quote) {
      if (sql[i + 1] !== quote) return i + 1;
      i++;
    }
  }
  return sql.length;
}

function endOfComment(sql: string, at: number): number {
  let depth = 0;
  for (let i = at; i < sql.length; i++) {
    if (sql.startsWith('/*', i)) {
      depth++;
      i++;
    } else if (sql.startsWith('*/', i)) {
      depth--;
      i++;
      if (depth === 0) return i + 1;
    }
  }
  return sql.length;
}

function endOfLine(sql: string, at: number): number {
  const end = sql.indexOf('\n', at);
  return end === -1 ? sql.length : end + 1;
}

function match(pattern: RegExp, sql: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0];
}

/** The end of the token at `at`: white space and comments count as tokens. `word` is set when it is a bare word. */
function token(sql: string, at: number): { end: number; word?: string; blank?: boolean } {
  const c = sql[at] ?? '';
  if (/\s/.test(c)) return { end: at + 1, blank: true };
  if (sql.startsWith('--', at)) return { end: endOfLine(sql, at), blank: true };
  if (sql.startsWith('/*', at)) return { end: endOfComment(sql, at), blank: true };
  if (c === "'" || c === '"') return { end: endOfQuote(sql, at, false) };
  if (/[eE]/.test(c) && sql[at + 1] === "'") return { end: endOfQuote(sql, at + 1, true) };
  const tag = c === '$' ? match(DOLLAR, sql, at) : undefined;
  if (tag !== undefined) {
    const end = sql.indexOf(tag, at + tag.length);
    return { end: end === -1 ? sql.length : end + tag.length };
  }
  const word = match(WORD, sql, at);
  if (word !== undefined) return { end: at + word.length, word: word.toUpperCase() };
  return { end: at + (match(NUMBER, sql, at)?.length ?? 1) };
}

export interface Token {
  readonly start: number;
  readonly end: number;
  /** A bare word in capitals; undefined for everything else. */
  readonly word: string | undefined;
}

/** The tokens of one statement without white space and comments. */
export function* tokensOf(sql: string): Generator<Token> {
  for (let at = 0; at < sql.length; ) {
    const { end, word, blank } = token(sql, at);
    if (blank !== true) yield { start: at, end, word };
    at = end;
  }
}

/**
 * The statements of a script, in order. Knows quotes, escapes, dollar quotes, nested comments, parentheses (rules hold
 * several statements) and the bodies of SQL functions (`BEGIN ATOMIC … END`). Data of `COPY … FROM stdin` is not expected.
 */
export function splitStatements(sql: string): Statement[] {
  const found: Statement[] = [];
  let begin = 0;
  let code = -1;
  let parentheses = 0;
  let blocks = 0;
  let words: string[] = [];
  const end = (at: number, codeEnd: number, meta: boolean): void => {
    found.push({ text: sql.slice(begin, at), code: code === -1 ? '' : sql.slice(code, codeEnd).trimEnd(), meta });
    begin = at;
    code = -1;
    parentheses = 0;
    blocks = 0;
    words = [];
  };
  for (let at = 0; at < sql.length; ) {
    if (code === -1 && sql[at] === '\\') {
      code = at;
      at = endOfLine(sql, at);
      end(at, at, true);
      continue;
    }
    const { end: next, word, blank } = token(sql, at);
    if (sql[at] === ';' && parentheses <= 0 && blocks <= 0) end(next, at, false);
    else if (blank !== true) {
      if (code === -1) code = at;
      if (sql[at] === '(') parentheses++;
      if (sql[at] === ')') parentheses--;
      if (word !== undefined) {
        if (words.length < 4) words.push(word);
        blocks += blockChange(words, word, blocks);
      }
    }
    at = next;
  }
  if (begin < sql.length) end(sql.length, sql.length, false);
  return found;
}

/** In CREATE FUNCTION and CREATE PROCEDURE a bare BEGIN opens a body; within it CASE opens and END closes. */
function blockChange(words: readonly string[], word: string, blocks: number): number {
  if (words[0] !== 'CREATE' || !words.some((one) => one === 'FUNCTION' || one === 'PROCEDURE')) return 0;
  if (word === 'BEGIN' || (word === 'CASE' && blocks > 0)) return 1;
  return word === 'END' && blocks > 0 ? -1 : 0;
}
