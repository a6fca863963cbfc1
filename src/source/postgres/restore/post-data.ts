/** Which statements of `post-data.sql` only need the rows of one table, so that they can run as soon as it is loaded. */

export interface TableStatement {
  /** `schema.table` as pg_dump writes it. */
  readonly table: string;
  readonly sql: string;
  /** ALTER TABLE locks out everyone; CREATE INDEX lets others read and build. */
  readonly exclusive: boolean;
  /** The same in two steps: an index that is built while others read, then the constraint on it. Not for a partitioned table. */
  readonly steps?: { readonly index: string; readonly constraint: string };
}

const NAME = `(?:"(?:[^"]|"")+"|[^\\s".(]+)`;
const INDEX = new RegExp(`^CREATE (?:UNIQUE )?INDEX ${NAME} ON (?:ONLY )?(${NAME}\\.${NAME}) `);
const CONSTRAINT = new RegExp(`^ALTER TABLE (?:ONLY )?(${NAME}\\.${NAME})\\s+ADD CONSTRAINT ${NAME} (?:PRIMARY KEY|UNIQUE|EXCLUDE)`);

const COLUMN = `(?:"(?:[^"]|"")+"|[^\\s".(),]+)`;
const LIST = `\\(${COLUMN}(?:, ${COLUMN})*\\)`;
const PLAIN_KEY = new RegExp(`^ALTER TABLE (?:ONLY )?(${NAME}\\.${NAME})\\s+ADD CONSTRAINT (${NAME}) (PRIMARY KEY|UNIQUE) (${LIST})$`);

/** A key without options can be made in two steps, so that the table can be read back while its index is built. */
function keyOf(table: string, sql: string): TableStatement {
  const [, , name, kind, columns] = PLAIN_KEY.exec(sql) ?? [];
  if (name === undefined) return { table, sql, exclusive: true };
  const index = `CREATE UNIQUE INDEX ${name} ON ${table} USING btree ${columns}`;
  return { table, sql, exclusive: true, steps: { index, constraint: `ALTER TABLE ONLY ${table} ADD CONSTRAINT ${name} ${kind} USING INDEX ${name}` } };
}

/**
 * The settings at its head and everything that has to wait for all tables stay in order in `rest`. `placing` says in which tablespace
 * an index goes: it is run before, because another session may build it.
 */
export function releaseByTable(statements: readonly string[], placing?: string): { readonly byTable: readonly TableStatement[]; readonly rest: readonly string[] } {
  const byTable: TableStatement[] = [];
  const rest: string[] = [];
  const placed = (sql: string): string => (placing === undefined ? sql : `${placing}; ${sql}`);
  for (const sql of statements) {
    const index = INDEX.exec(sql)?.[1];
    const constraint = CONSTRAINT.exec(sql)?.[1];
    if (index !== undefined) byTable.push({ table: index, sql: placed(sql), exclusive: false });
    else if (constraint !== undefined) {
      const { steps, ...key } = keyOf(constraint, sql);
      byTable.push({ ...key, sql: placed(sql), ...(steps === undefined ? {} : { steps: { ...steps, index: placed(steps.index) } }) });
    } else rest.push(sql);
  }
  return { byTable, rest };
}

const PLACING = /^(?:SET default_tablespace = |SELECT pg_catalog\.set_config\('default_tablespace', )/;

/** Of every entry the statement that says in which tablespace it goes; undefined where none is used. */
export function placements(entries: readonly { readonly statements: readonly string[] }[]): (string | undefined)[] {
  let now: string | undefined;
  const found = entries.map(({ statements }) => (now = statements.findLast((sql) => PLACING.test(sql)) ?? now));
  return found.every((sql) => sql === undefined || sql === "SET default_tablespace = ''") ? found.map(() => undefined) : found;
}

/** The same table in one spelling, whether pg_dump quoted it or not. */
export function spelling(qualifiedName: string): string {
  const parts = qualifiedName.match(new RegExp(NAME, 'g')) ?? [];
  return parts.map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part)).join('\u0000');
}
