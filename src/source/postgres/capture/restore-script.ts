/** `restore.sql`: what `psql` runs to rebuild the database without Holdfast. */
import { identifier, qualified } from '../../../client/postgres/sql-quote.ts';
import type { Part } from '../../source.ts';
import { columnList } from '../catalog.ts';
import { filesOf, type PlannedTable } from './table-plan.ts';

export interface ScriptContents {
  /** Undefined: all of the database. */
  readonly part: Part | undefined;
  readonly largeObjects: boolean;
}

export function restoreScript(database: string, tables: readonly PlannedTable[], { part, largeObjects }: ScriptContents): string {
  const [schema, rows] = [part?.only !== 'data', part?.only !== 'schema'];
  const name = JSON.stringify(database);
  const about = !schema ? `-- Loads rows of the database ${name}. In this folder, with a database whose tables are there and empty:`
    : `-- Rebuilds ${rows ? '' : 'the schema of '}the database ${name}. In this folder, with an empty database and the roles of ../globals.sql:`;
  return [
    about,
    '--   psql -v ON_ERROR_STOP=1 -d NAME -f restore.sql',
    '\\set ON_ERROR_STOP on',
    ...(schema ? ['\\ir pre-data.sql'] : ['-- Foreign keys and triggers stay out of it, which only a superuser may ask for; without this, tables must come in an order that keys allow.', 'SET session_replication_role = replica;']),
    "SET client_encoding = 'UTF8';",
    'SET row_security = off;',
    ...(rows ? tables.flatMap(copyLines) : []),
    ...(rows ? ['\\ir sequences.sql'] : []),
    ...(largeObjects ? ['\\ir large-objects.sql'] : []),
    ...(schema && rows && part?.tables !== undefined ? ['-- Only some tables have rows: a foreign key to another one cannot be made, and psql says so.', '\\set ON_ERROR_STOP off'] : []),
    ...(schema ? ['\\ir post-data.sql'] : []),
    'ANALYZE;',
    '',
  ].join('\n');
}

/** `\copy` is one line and knows no escapes, so a table whose name has a line break gets another name meanwhile. */
function copyLines(plan: PlannedTable): string[] {
  const { table } = plan;
  const files = filesOf(plan).map((file) => `'data/${file}'`);
  const columns = table.columns.some(breaks) ? '' : columnList(table.columns);
  if (!breaks(table.name) && !breaks(table.schema)) return files.map((file) => `\\copy ${qualified(table.schema, table.name)}${columns} from ${file}`);
  if (breaks(table.schema)) return [`-- The schema of the next table has a line break in its name, which \\copy cannot take: load ${files.join(' and ')} with COPY.`];
  const meanwhile = `holdfast_${table.oid}`;
  return [
    `ALTER TABLE ${qualified(table.schema, table.name)} RENAME TO ${identifier(meanwhile)};`,
    ...files.map((file) => `\\copy ${qualified(table.schema, meanwhile)}${columns} from ${file}`),
    `ALTER TABLE ${qualified(table.schema, meanwhile)} RENAME TO ${identifier(table.name)};`,
  ];
}

function breaks(name: string): boolean {
  return /[\r\n]/.test(name);
}
