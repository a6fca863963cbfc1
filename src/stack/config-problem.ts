/** Says what is wrong in a YAML file, each problem with its place. */
import { isMap, isPair, isScalar, type Document, type LineCounter } from 'yaml';
import type { z } from 'zod';
import { didYouMeanText } from '../base/did-you-mean.ts';
import { keysAt } from './schema.ts';

export interface ConfigProblem {
  readonly line: number;
  readonly column: number;
  /** `stores.photos`; empty for the file as a whole. */
  readonly subject: string;
  readonly message: string;
  /** A secret stands where others can read it. */
  readonly exposed: boolean;
}

/** The problems behind the issues of the schema, in the order of the file. */
export function describeIssues(document: Document, lines: LineCounter, issues: readonly z.core.$ZodIssue[]): ConfigProblem[] {
  return issues
    .flatMap((issue) => describeIssue(document, issue))
    .map(({ offset, ...problem }) => ({ ...problem, ...placeOf(lines, offset) }))
    .toSorted((a, b) => a.line - b.line || a.column - b.column);
}

/** Line and column, both from one. */
export function placeOf(lines: LineCounter, offset: number): { readonly line: number; readonly column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

interface Described {
  readonly offset: number;
  readonly subject: string;
  readonly message: string;
  readonly exposed: boolean;
}

function describeIssue(document: Document, issue: z.core.$ZodIssue): Described[] {
  const subject = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      offset: keyOffset(document, [...issue.path, key]) ?? 0,
      subject,
      message: describeKey(issue.path, key),
      exposed: false,
    }));
  }
  const atKey = issue.code === 'invalid_key';
  const offset = (atKey ? undefined : valueOffset(document, issue.path)) ?? keyOffset(document, issue.path) ?? 0;
  const exposed = issue.code === 'custom' && issue.params?.['exposed'] === true;
  return [{ offset, subject, message: messageOf(document, issue), exposed }];
}

function describeKey(path: readonly PropertyKey[], key: string): string {
  const { now, later } = keysAt(path);
  if (later.includes(key)) return `"${key}" is not supported by this version`;
  const suggestion = didYouMeanText(key, now);
  return `unknown key "${key}"${suggestion === '' ? `; the keys here are: ${now.join(', ')}` : suggestion}`;
}

function messageOf(document: Document, issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type': {
      const present = document.getIn(issue.path) ?? undefined;
      if (present === undefined) return document.hasIn(issue.path) ? 'is empty' : 'is missing';
      return `must be ${TYPES[issue.expected] ?? `of type ${issue.expected}`}`;
    }
    case 'invalid_value': {
      const given = document.getIn(issue.path);
      const values = issue.values.map(String);
      return `must be one of: ${values.join(', ')}${typeof given === 'string' ? didYouMeanText(given, values) : ''}`;
    }
    case 'too_small':
      return 'is empty';
    case 'too_big':
      return 'is too long';
    case 'invalid_key':
      return issue.issues[0]?.message ?? 'is not a name';
    default:
      return issue.message;
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text (a number or true and false as text stand in quotes)',
  boolean: 'true or false',
  array: 'a list, like [one, two]',
  object: 'keys with values below it',
  record: 'names with their keys below each',
};

/** Where the value stands; undefined when there is none. */
function valueOffset(document: Document, path: readonly PropertyKey[]): number | undefined {
  const node: unknown = document.getIn(path, true);
  if (path.length > 0 && isMap(node) && !node.flow) return undefined;
  return rangeOf(node);
}

/** Where the key stands; that of the nearest one above when it is missing. */
function keyOffset(document: Document, path: readonly PropertyKey[]): number | undefined {
  const key = path.at(-1);
  if (key === undefined) return rangeOf(document.contents);
  const parent: unknown = document.getIn(path.slice(0, -1), true);
  const pair = isMap(parent)
    ? parent.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(key))
    : undefined;
  return rangeOf(pair?.key) ?? keyOffset(document, path.slice(0, -1));
}

function rangeOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return undefined;
  const start: unknown = node.range[0];
  return typeof start === 'number' ? start : undefined;
}
