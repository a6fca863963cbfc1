/** What only a superuser may make, so that a restore by somebody else knows it before it begins. Source: the CREATE commands of PostgreSQL's manual. */
import type { SchemaEntry } from './schema-entry.ts';

const KINDS: Readonly<Record<string, string>> = {
  'EVENT TRIGGER': 'event triggers', 'OPERATOR CLASS': 'operator classes', 'OPERATOR FAMILY': 'operator families', 'ACCESS METHOD': 'access methods',
  'FOREIGN DATA WRAPPER': 'foreign data wrappers', 'PROCEDURAL LANGUAGE': 'languages', 'TEXT SEARCH PARSER': 'parsers of the text search',
  'TEXT SEARCH TEMPLATE': 'templates of the text search', 'SHELL TYPE': 'base types', SUBSCRIPTION: 'subscriptions', 'SECURITY LABEL': 'security labels',
};

const UNTRUSTED = /^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) [\s\S]*?\n\s+LANGUAGE (?:c|internal|"?[a-z0-9]+u"?)\b/;

/** Why this entry cannot be made without a superuser; undefined when it can. */
export function superuserOnly(entry: SchemaEntry): string | undefined {
  const kind = KINDS[entry.kind];
  if (kind !== undefined) return `only superusers make ${kind}`;
  const [first = ''] = entry.statements;
  if (entry.kind === 'TYPE' && /^CREATE TYPE \S+ \(\s*(?:INTERNALLENGTH|INPUT)/.test(first)) return 'only superusers make base types';
  if ((entry.kind === 'FUNCTION' || entry.kind === 'PROCEDURE') && UNTRUSTED.test(first)) return 'only superusers make functions in this language';
  if (entry.kind === 'CAST' && /WITHOUT FUNCTION/.test(first)) return 'only superusers make casts without a function';
  if (entry.kind === 'PUBLICATION' && /FOR ALL TABLES/.test(first)) return 'only superusers publish all tables';
  if (entry.kind === 'PUBLICATION TABLES IN SCHEMA') return 'only superusers publish whole schemas';
  return undefined;
}

const LEAKPROOF = /(\n\s+LANGUAGE [^\n]*?) LEAKPROOF\b/;

/** A function without the promise that only a superuser may give for it; undefined where it does not give it. */
export function withoutLeakproof(entry: SchemaEntry): SchemaEntry | undefined {
  const [first = '', ...others] = entry.statements;
  // Attributes stand on the line of the language, before the body.
  const body = first.search(/\n\s+AS |\nBEGIN ATOMIC/);
  const head = body === -1 ? first : first.slice(0, body);
  if (entry.kind !== 'FUNCTION' || !LEAKPROOF.test(head)) return undefined;
  return { ...entry, statements: [head.replace(LEAKPROOF, '$1') + first.slice(head.length), ...others] };
}
