/**
 * A section of an archive as the script that pg_dump itself would write with `--section`, without its `\restrict`: for people, for psql and for us.
 * Rules: `RestoreArchive`, `_tocEntryRequired`, `_tocEntryRestorePass` and `_printTocEntry` in src/bin/pg_dump/pg_backup_archiver.c of PostgreSQL.
 */
import { literal } from '../sql-quote.ts';
import { asNeeded, qualifiedAsNeeded } from './name.ts';
import type { Section, Toc, TocEntry } from './toc.ts';
import { accessMethodSql } from './write-archive.ts';

export interface RenderOptions {
  /**
   * `never`: everything where the database is, as with `--no-tablespaces`. `always`: as pg_dump, which fails where a tablespace is missing.
   * `where it is`: by name where the server has it and lets us, else where the database is.
   */
  readonly tablespaces: 'never' | 'always' | 'where it is';
}

/** The entries of a section in the order in which they are run: objects; then privileges; then what must come after these. */
export function entriesOfSection(toc: Toc, section: Section): TocEntry[] {
  let current: Section = 'pre-data';
  const wanted = toc.entries.filter((entry) => {
    if (entry.section !== 'none') current = entry.section;
    return current === section && isObject(entry);
  });
  return [0, 1, 2].flatMap((pass) => wanted.filter((entry) => passOf(entry) === pass));
}

/** Not what sets up the session, nor what belongs to the database as a whole, which may have another name now. */
function isObject({ kind, tag, create }: TocEntry): boolean {
  const ofDatabase = kind === 'DATABASE' || kind === 'DATABASE PROPERTIES' || (['ACL', 'COMMENT', 'SECURITY LABEL'].includes(kind) && tag.startsWith('DATABASE '));
  return create !== '' && !ofDatabase && !['ENCODING', 'STDSTRINGS', 'SEARCHPATH'].includes(kind);
}

function passOf({ kind, tag }: TocEntry): number {
  if (kind === 'ACL' || kind === 'DEFAULT ACL') return 1;
  if (kind === 'EVENT TRIGGER' || kind === 'MATERIALIZED VIEW DATA') return 2;
  return (kind === 'COMMENT' || kind === 'SECURITY LABEL') && tag.startsWith('EVENT TRIGGER ') ? 2 : 0;
}

export function renderSection(toc: Toc, section: 'pre-data' | 'post-data', options: RenderOptions): string {
  const out = [
    '--\n-- PostgreSQL database dump\n--\n\n', `-- Dumped from database version ${toc.serverVersion}\n-- Dumped by pg_dump version ${toc.dumpVersion}\n\n`, sessionSettings(toc),
  ];
  const state: StorageState = { tablespace: undefined, accessMethod: undefined };
  for (const entry of entriesOfSection(toc, section)) {
    out.push(selectStorage(state, entry, options), heading(entry, options), statementsOf(entry));
  }
  out.push('--\n-- PostgreSQL database dump complete\n--\n\n');
  return out.join('');
}

/** What creates an object and gives it to its owner; ends with an empty line. */
export function statementsOf(entry: TocEntry): string {
  const owner = entry.owner === '' || entry.drop === '' ? undefined : ownedName(entry);
  return [
    `${entry.create}\n\n`,
    ...(owner === undefined ? [] : [`ALTER ${owner} OWNER TO ${asNeeded(entry.owner)};\n\n`]),
    ...(entry.relkind === 'p' && entry.accessMethod !== undefined ? [`${accessMethodSql(entry)}\n`] : []),
  ].join('');
}

/** In the order of pg_dump; `SET transaction_timeout`, which only 17 and newer understand, is left out. */
function sessionSettings(toc: Toc): string {
  const special = (kind: string): string => toc.entries.find((entry) => entry.kind === kind)?.create ?? '';
  return [
    'SET statement_timeout = 0;\nSET lock_timeout = 0;\nSET idle_in_transaction_session_timeout = 0;\n',
    special('ENCODING'), special('STDSTRINGS').replace(/'(on|off)'/, '$1'), special('SEARCHPATH'),
    'SET check_function_bodies = false;\nSET xmloption = content;\nSET client_min_messages = warning;\n',
    ...(special('STDSTRINGS').includes("'off'") ? ['SET escape_string_warning = off;\n'] : []), 'SET row_security = off;\n\n',
  ].join('');
}

interface StorageState {
  tablespace: string | undefined;
  accessMethod: string | undefined;
}

/** What the session must be told before an entry: tables and indexes do not say themselves where and how they are stored. */
function selectStorage(state: StorageState, { tablespace, accessMethod, relkind }: TocEntry, options: RenderOptions): string {
  let sql = '';
  if (options.tablespaces !== 'never' && tablespace !== undefined && tablespace !== state.tablespace) {
    // pg_dump says `SET default_tablespace = ''` before the first table; where none is used, there is no need for it.
    state.tablespace = tablespace;
    sql += `${tablespaceSql(tablespace, options.tablespaces)}\n\n`;
  }
  if (accessMethod !== undefined && relkind !== 'p' && accessMethod !== state.accessMethod) {
    state.accessMethod = accessMethod;
    sql += `SET default_table_access_method = ${asNeeded(accessMethod)};\n\n`;
  }
  return sql;
}

function tablespaceSql(tablespace: string, mode: 'always' | 'where it is'): string {
  if (tablespace === '') return "SET default_tablespace = '';";
  if (mode === 'always') return `SET default_tablespace = ${asNeeded(tablespace)};`;
  const usable = `SELECT spcname FROM pg_catalog.pg_tablespace WHERE spcname = ${literal(tablespace)} AND pg_catalog.has_tablespace_privilege(oid, 'CREATE')`;
  return `SELECT pg_catalog.set_config('default_tablespace', coalesce((${usable}), ''), false);`;
}

function heading({ tag, kind, schema, owner, tablespace, section }: TocEntry, options: RenderOptions): string {
  const unowned = section === 'none' ? '' : '-';
  const place = tablespace === undefined || tablespace === '' || options.tablespaces === 'never' ? '' : `; Tablespace: ${oneLine(tablespace)}`;
  return `--\n-- Name: ${oneLine(tag)}; Type: ${kind}; Schema: ${oneLine(schema ?? '-')}; Owner: ${oneLine(owner === '' ? unowned : owner)}${place}\n--\n\n`;
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]/g, ' ');
}

const PLAIN = new Set(`COLLATION;CONVERSION;DOMAIN;TABLE;TYPE;FOREIGN TABLE;TEXT SEARCH DICTIONARY;TEXT SEARCH CONFIGURATION;STATISTICS;DATABASE;PROCEDURAL LANGUAGE;SCHEMA;EVENT TRIGGER;\
FOREIGN DATA WRAPPER;SERVER;PUBLICATION;SUBSCRIPTION`.split(';'));
/** Their names have arguments, which stand in what drops them. */
const WITH_ARGUMENTS = new Set(['AGGREGATE', 'FUNCTION', 'OPERATOR', 'OPERATOR CLASS', 'OPERATOR FAMILY', 'PROCEDURE']);

/** What has an owner, as ALTER takes it; undefined: it has none of its own. */
function ownedName({ kind, schema, tag, drop }: TocEntry): string | undefined {
  if (WITH_ARGUMENTS.has(kind)) return drop.replace(/^DROP /, '').replace(/[;\n]+$/, '');
  if (kind === 'BLOB') return `LARGE OBJECT ${tag}`;
  const type = ['VIEW', 'SEQUENCE', 'MATERIALIZED VIEW'].includes(kind) ? 'TABLE' : kind;
  return PLAIN.has(type) ? `${type} ${qualifiedAsNeeded(schema, tag)}` : undefined;
}
