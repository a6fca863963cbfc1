/** The demo's own witness: what stands there before the disaster and after, by other means than the backup's own proof. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import pg from 'pg';

/** A line for each thing, so that two accounts can be compared line by line. */
export type Account = readonly string[];

/** SHA-256, mode and owner of every file below a folder. */
export async function witnessFiles(folder: string): Promise<Account> {
  const names = await fs.readdir(folder, { recursive: true, withFileTypes: true });
  const lines: string[] = [];
  for (const entry of names) {
    const file = path.join(entry.parentPath, entry.name);
    const { mode, uid, gid, mtimeMs } = await fs.stat(file);
    const hash = entry.isFile() ? createHash('sha256').update(await fs.readFile(file)).digest('hex') : 'folder';
    lines.push(`${path.relative(folder, file)} ${hash} ${mode.toString(8)} ${uid}:${gid} ${Math.round(mtimeMs)}`);
  }
  return lines.toSorted();
}

const CATALOG = `
  select format('table %s owner %s rls %s acl %s', oid::regclass, relowner::regrole, relrowsecurity, relacl) as line from pg_class
    where relkind in ('r', 'p', 'v', 'm', 'S') and relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  union all select format('policy %s on %s: %s %s', polname, polrelid::regclass, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) from pg_policy
  union all select format('sequence %s.%s at %s', schemaname, sequencename, last_value) from pg_sequences
  union all select format('column %s.%s acl %s', attrelid::regclass, attname, attacl) from pg_attribute where attacl is not null and attrelid >= 16384
  union all select format('trigger %s', pg_get_triggerdef(oid)) from pg_trigger where not tgisinternal
  union all select format('large object %s: %s', oid, md5(lo_get(oid))) from pg_largeobject_metadata
  order by 1`;

/** Rows and a hash over all rows of every table, computed by the server, and owners, grants, policies, sequences, triggers, large objects. */
export async function witnessDatabase(url: string): Promise<Account> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const tables = await client.query<{ name: string }>(
      "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace::regnamespace::text !~ '^(pg_|information_schema)' order by 1",
    );
    const lines: string[] = [];
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ line: string }>(`select format('%s rows, hash %s', count(*), sum(hashtextextended(witness_row::text, 0)::numeric)) as line from ${name} witness_row`);
      lines.push(`${name}: ${rows[0]?.line ?? ''}`);
    }
    const catalog = await client.query<{ line: string }>(CATALOG);
    return [...lines, ...catalog.rows.map(({ line }) => line)];
  } finally {
    await client.end();
  }
}

/** Lines of one account that the other lacks. */
export function missing(before: Account, after: Account): Account {
  const have = new Set(after);
  return before.filter((line) => !have.has(line));
}
