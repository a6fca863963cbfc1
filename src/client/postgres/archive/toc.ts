/**
 * The table of contents of a pg_dump archive: every object of a schema as an entry with its own statements, so that plans for a restore
 * work on objects and never on lines of SQL. Format: src/bin/pg_dump/pg_backup_archiver.c of PostgreSQL (`ReadToc`, `WriteToc`).
 */

export type Section = 'none' | 'pre-data' | 'data' | 'post-data';

export interface TocEntry {
  readonly dumpId: number;
  /** Catalogue the object is in, and its oid there: `0` where there is none. */
  readonly catalogOid: string;
  readonly oid: string;
  /** The name as pg_dump shows it: `orders`, `orders orders_pkey`, `f(integer)`, `TABLE orders`. */
  readonly tag: string;
  /** `TABLE`, `FUNCTION`, `ACL`, `COMMENT`, `FK CONSTRAINT` … */
  readonly kind: string;
  /** `none` of comments, privileges and labels: they belong where their object stands, which is before them. */
  readonly section: Section;
  /** Creates it. Ends with a line break, or is empty. */
  readonly create: string;
  /** Drops it; empty where pg_dump knows no statement. */
  readonly drop: string;
  /** `COPY … FROM stdin;` of an entry of the kind `TABLE DATA`. */
  readonly copy: string;
  readonly schema: string | undefined;
  /** Where it is stored; empty: where the database is. Undefined: it takes no room. */
  readonly tablespace: string | undefined;
  readonly accessMethod: string | undefined;
  /** Of a table of archives since 1.16: `r`, `p` …; else undefined. */
  readonly relkind: string | undefined;
  readonly owner: string;
  /** Dump ids of what must be there first; some may be left out of the archive. */
  readonly dependencies: readonly number[];
  /** Does data of its own belong to it? */
  readonly hadDumper: boolean;
}

export interface Toc {
  /** `1.14` of pg_dump 12 to 15, `1.15` of 16, `1.16` of 17 and 18. */
  readonly format: string;
  readonly database: string;
  readonly serverVersion: string;
  readonly dumpVersion: string;
  /** To the second. The archive holds the time of day without its zone; here it counts as ours. */
  readonly created: Date;
  /** In the order in which a restore runs them. */
  readonly entries: readonly TocEntry[];
}

/** In the order of their numbers in an archive, from 1. */
export const SECTIONS: readonly Section[] = ['none', 'pre-data', 'data', 'post-data'];
