/** Foreign keys out of the way while rows are replaced, and back again, which checks every row. All within one transaction. */
import type { Connection } from '../../../client/postgres/connection.ts';
import { identifier, literal } from '../../../client/postgres/sql-quote.ts';

interface Key {
  readonly relation: string;
  readonly name: string;
  readonly definition: string;
  readonly comment: string | null;
}

export interface Released {
  /** Throws when a row refers to nothing. */
  restore(): Promise<void>;
}

/** Those that begin or end at these tables (as SQL), or at a table that they are partitions of. Dropped, because a table that others refer to cannot be emptied. */
export async function releaseForeignKeys(connection: Connection, tables: readonly string[]): Promise<Released> {
  const doing = 'looking at the foreign keys';
  const list = tables.map((table) => `${literal(table)}::pg_catalog.regclass`).join(', ');
  const keys = await connection.query<Key>(
    `WITH RECURSIVE above(oid) AS (SELECT pg_catalog.unnest(ARRAY[${list}])::pg_catalog.oid UNION SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
       JOIN pg_catalog.pg_class p ON p.oid = i.inhparent WHERE p.relkind = 'p')
     SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation, k.conname AS name, pg_catalog.pg_get_constraintdef(k.oid) AS definition, pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
     FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid IN (SELECT oid FROM above) OR k.confrelid IN (SELECT oid FROM above)) ORDER BY 1, 2`, doing);
  const only = (relation: string): string => `ALTER TABLE ${relation}`;
  if (keys.length > 0) await connection.query(keys.map(({ relation, name }) => `${only(relation)} DROP CONSTRAINT ${identifier(name)}`).join('; '), 'taking foreign keys away');
  return {
    restore: async () => {
      for (const { relation, name, definition, comment } of keys) {
        await connection.query(`${only(relation)} ADD CONSTRAINT ${identifier(name)} ${definition}`, `checking the foreign key ${name} of ${relation}`);
        if (comment !== null) await connection.query(`COMMENT ON CONSTRAINT ${identifier(name)} ON ${relation} IS ${literal(comment)}`, 'giving foreign keys back');
      }
    },
  };
}
