/**
 * A schema as objects and not as text: pg_dump writes above every object of a script what it is (`-- Name: …; Type: …; Schema: …; Owner: …`,
 * from src/bin/pg_dump/pg_backup_archiver.c, `_printTocEntry`), so the statements below belong to it.
 */
import type { Toc } from '../../../client/postgres/archive/toc.ts';
import { splitStatements } from '../../../client/postgres/sql-statements.ts';

export interface SchemaEntry {
  /** `TABLE`, `FUNCTION`, `ACL`, `COMMENT` …; `SETTING` for what sets up the session. */
  readonly kind: string;
  readonly schema: string | undefined;
  /** As pg_dump shows it: `orders`, `orders orders_pkey`, `f(integer)`, `TABLE orders`. */
  readonly name: string;
  readonly owner: string | undefined;
  /** Where it is stored, when that is not where the database is. */
  readonly tablespace?: string | undefined;
  readonly statements: readonly string[];
}

const HEAD = /^-- Name: (.*); Type: (.*?); Schema: (.*?); Owner: (.*?)(?:; Tablespace: (.*))?$/m;

/** Statements that pg_dump puts in front of an object, above its name; they set up the session and belong to no object. */
const SETTING = /^(?:SET [a-z_]+ = |SELECT pg_catalog\.set_config\()/;

/** The objects of a script, in its order. Nothing of the script is lost but commands of psql and comments. */
export function entriesOf(script: string): SchemaEntry[] {
  const found: (SchemaEntry & { statements: string[] })[] = [];
  for (const { text, code, meta } of splitStatements(script)) {
    const head = HEAD.exec(text.slice(0, text.length - code.length));
    if (head !== null) found.push({ kind: head[2] ?? '', schema: known(head[3]), name: head[1] ?? '', owner: known(head[4]), tablespace: head[5], statements: [] });
    if (meta || code === '') continue;
    if (head === null && SETTING.test(code)) found.push({ kind: 'SETTING', schema: undefined, name: '', owner: undefined, statements: [code] });
    else if (found.at(-1)?.kind === 'SETTING' || found.length === 0) found.push({ kind: 'UNKNOWN', schema: undefined, name: code.slice(0, 80), owner: undefined, statements: [code] });
    else found.at(-1)?.statements.push(code);
  }
  return found;
}

function known(text: string | undefined): string | undefined {
  return text === undefined || text === '-' || text === '' ? undefined : text;
}

/** `table app.orders`, for people. */
export function shownEntry({ kind, schema, name }: Pick<SchemaEntry, 'kind' | 'schema' | 'name'>): string {
  if (kind === 'ACL') return `privileges of ${shownName(name, schema)}`;
  if (kind === 'COMMENT') return `comment on ${shownName(name, schema)}`;
  const qualifier = schema === undefined ? '' : `${schema}.`;
  return `${kind.toLowerCase()} ${qualifier}${name}`;
}

/** `TABLE orders` as `table app.orders`. */
function shownName(tag: string, schema: string | undefined): string {
  const [, kind = '', name = tag] = /^([A-Z]+(?: [A-Z]+)*) (.*)$/.exec(tag) ?? [];
  return `${kind.toLowerCase()} ${schema === undefined ? '' : `${schema}.`}${name}`.trim();
}

/** The entry of an archive that an entry of a script is: both come from one run of pg_dump, or from two under one snapshot. */
export function tocKey({ kind, schema, name }: Pick<SchemaEntry, 'kind' | 'schema' | 'name'>): string {
  return JSON.stringify([kind, schema ?? '', name]);
}

/** Entries that cannot stand without these, as the archive knows it. */
export function dependentsOf(toc: Toc, keys: ReadonlySet<string>): Set<string> {
  const ids = new Set<number>();
  const found = new Set<string>();
  const keyOf = ({ kind, schema, tag }: Toc['entries'][number]): string => tocKey({ kind, schema, name: tag });
  for (let before = -1; before !== ids.size; ) {
    before = ids.size;
    for (const entry of toc.entries) {
      if (ids.has(entry.dumpId)) continue;
      if (!keys.has(keyOf(entry)) && !entry.dependencies.some((id) => ids.has(id))) continue;
      ids.add(entry.dumpId);
      if (!keys.has(keyOf(entry))) found.add(keyOf(entry));
    }
  }
  return found;
}
