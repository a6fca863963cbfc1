/** Loads a table that may lack columns of the backup: then through a temporary table of texts, from which those that fit are taken. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { copyIn } from '../../../client/postgres/copy-in.ts';
import { identifier, qualified } from '../../../client/postgres/sql-quote.ts';
import { loadTable, rowsOf, type Rows } from './rebuild.ts';
import type { RowTarget } from './row-target.ts';

/** Within the transaction that is open; the table is empty. */
export async function loadColumns(connection: Connection, { table, columns, types, absent }: RowTarget, rows: Rows): Promise<void> {
  if (absent.length === 0) return await loadTable(connection, table, rows, { begun: true });
  const doing = `loading the table ${table.schema}.${table.name}`;
  const meanwhile = 'pg_temp.holdfast_rows';
  await connection.query(`CREATE TEMPORARY TABLE holdfast_rows (${table.columns.map((column) => `${identifier(column)} text`).join(', ')}) ON COMMIT DROP`, doing);
  await copyIn(connection, `COPY ${meanwhile} FROM STDIN`, doing, rowsOf(table, rows), (bytes) => rows.request.progress(bytes));
  const list = columns.map(identifier).join(', ');
  const taken = columns.map((column, index) => `${identifier(column)}::${types[index] ?? 'text'}`).join(', ');
  await connection.query(`INSERT INTO ${qualified(table.schema, table.name)} (${list}) OVERRIDING SYSTEM VALUE SELECT ${taken} FROM ${meanwhile}; DROP TABLE ${meanwhile}`, doing);
}
