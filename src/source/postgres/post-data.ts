/** Which statements of `post-data.sql` only need the rows of one table, so that they can run as soon as it is loaded. */

export interface TableStatement {
  /** `schema.table` as pg_dump writes it. */
  readonly table: string;
  readonly sql: string;
  /** ALTER TABLE locks out everyone; CREATE INDEX lets others read and build. */
  readonly exclusive: boolean;
}

const NAME = `(?:"(?:[^"]|"")+"|[^\\s".(]+)`;
const INDEX = new RegExp(`^CREATE (?:UNIQUE )?INDEX ${NAME} ON (?:ONLY )?(${NAME}\\.${NAME}) `);
const CONSTRAINT = new RegExp(`^ALTER TABLE (?:ONLY )?(${NAME}\\.${NAME})\\s+ADD CONSTRAINT ${NAME} (?:PRIMARY KEY|UNIQUE|EXCLUDE)`);

/** The settings at its head and everything that has to wait for all tables stay in order in `rest`. */
export function releaseByTable(statements: readonly string[]): { readonly byTable: readonly TableStatement[]; readonly rest: readonly string[] } {
  const byTable: TableStatement[] = [];
  const rest: string[] = [];
  for (const sql of statements) {
    const index = INDEX.exec(sql)?.[1];
    const constraint = CONSTRAINT.exec(sql)?.[1];
    if (index !== undefined) byTable.push({ table: index, sql, exclusive: false });
    else if (constraint !== undefined) byTable.push({ table: constraint, sql, exclusive: true });
    else rest.push(sql);
  }
  return { byTable, rest };
}

/** The same table in one spelling, whether pg_dump quoted it or not. */
export function spelling(qualifiedName: string): string {
  const parts = qualifiedName.match(new RegExp(NAME, 'g')) ?? [];
  return parts.map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part)).join('\u0000');
}
