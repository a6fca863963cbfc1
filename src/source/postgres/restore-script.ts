/** `restore.sql`: what `psql` runs to rebuild the database without Holdfast. */
import { identifier, qualified } from '../../client/postgres/sql-quote.ts';
import { columnList, type CatalogTable } from './catalog.ts';
import { tableFile } from './file-name.ts';

export function restoreScript(database: string, tables: readonly CatalogTable[], withLargeObjects: boolean): string {
  return [
    `-- Rebuilds the database ${JSON.stringify(database)}. In this folder, with an empty database and the roles of ../globals.sql:`,
    '--   psql -v ON_ERROR_STOP=1 -d NAME -f restore.sql',
    '\\set ON_ERROR_STOP on',
    '\\ir pre-data.sql',
    "SET client_encoding = 'UTF8';",
    'SET row_security = off;',
    ...tables.flatMap(copyLines),
    '\\ir sequences.sql',
    ...(withLargeObjects ? ['\\ir large-objects.sql'] : []),
    '\\ir post-data.sql',
    'ANALYZE;',
    '',
  ].join('\n');
}

/** `\copy` is one line and knows no escapes, so a table whose name has a line break gets another name meanwhile. */
function copyLines(table: CatalogTable): string[] {
  const file = `'data/${tableFile(table.schema, table.name)}'`;
  const columns = table.columns.some(breaks) ? '' : columnList(table.columns);
  if (!breaks(table.name) && !breaks(table.schema)) return [`\\copy ${qualified(table.schema, table.name)}${columns} from ${file}`];
  if (breaks(table.schema)) return [`-- The schema of the next table has a line break in its name, which \\copy cannot take: load ${file} with COPY.`];
  const meanwhile = `holdfast_${table.oid}`;
  return [
    `ALTER TABLE ${qualified(table.schema, table.name)} RENAME TO ${identifier(meanwhile)};`,
    `\\copy ${qualified(table.schema, meanwhile)}${columns} from ${file}`,
    `ALTER TABLE ${qualified(table.schema, meanwhile)} RENAME TO ${identifier(table.name)};`,
  ];
}

function breaks(name: string): boolean {
  return /[\r\n]/.test(name);
}
