/**
 * What a schema is, as sorted lines: what stands in the source and not in the restored database (or the other way round)
 * is named by its line. Members of extensions are left to the extension's version.
 */
import type { Connection } from '../../client/postgres/connection.ts';
import { DETAILED, DETAILS, isDetail } from './facts-detail.ts';

/** `objid` and `classid` of everything that belongs to an extension. */
const MEMBERS = `members AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e')`;
const RELATIONS = `rel AS (SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS full_name FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
  AND (c.oid) NOT IN (SELECT objid FROM members WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass))`;

/** Privileges as text, in order; those that every object of the kind has unless told otherwise are spelled out. */
function acl(column: string, kind: string, owner: string): string {
  return `(SELECT coalesce(pg_catalog.string_agg(g, ' ' ORDER BY g), 'none') FROM (SELECT pg_catalog.format('%s=%s%s', CASE x.grantee WHEN 0 THEN 'PUBLIC'
    ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END, x.privilege_type, CASE WHEN x.is_grantable THEN '*' ELSE '' END) AS g
    FROM pg_catalog.aclexplode(coalesce(${column}, pg_catalog.acldefault(${kind}, ${owner}))) x) q)`;
}

function notMember(catalog: string, oid: string): string {
  return `${oid} NOT IN (SELECT objid FROM members WHERE classid = 'pg_catalog.${catalog}'::pg_catalog.regclass)`;
}

const user = (oid: string): string => `pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(${oid}))`;
const own = (namespace: string): string => `${namespace} IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')`;

/** Kinds of which it is enough that the same ones are there; their definitions are compared where pg_dump would show them. */
const NAMED = [
  'pg_operator', 'pg_cast', 'pg_collation', 'pg_opclass', 'pg_opfamily', 'pg_conversion', 'pg_ts_config', 'pg_ts_dict', 'pg_ts_parser', 'pg_ts_template',
  'pg_language', 'pg_event_trigger', 'pg_publication', 'pg_foreign_server', 'pg_foreign_data_wrapper', 'pg_transform', 'pg_am',
];

/** Operators that were only announced: pg_dump leaves them out. */
const EXCEPT: Readonly<Record<string, string>> = { pg_operator: ' AND o.oprcode <> 0' };

const QUERIES: readonly string[] = [
  `SELECT pg_catalog.format('schema %I owner %s privileges %s', nspname, ${user('nspowner')}, ${acl('nspacl', `'n'`, 'nspowner')})
   FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND ${notMember('pg_namespace', 'oid')}`,
  `SELECT pg_catalog.format('relation %s kind %s owner %s persistence %s options %s replica identity %s', full_name, relkind, ${user('relowner')}, relpersistence,
     (SELECT pg_catalog.string_agg(o, ' ' ORDER BY o) FROM pg_catalog.unnest(reloptions) o), relreplident) FROM rel WHERE relkind <> 't'`,
  `SELECT pg_catalog.format('privileges of %s: %s', full_name, ${acl('relacl', `CASE WHEN relkind = 'S' THEN 's' ELSE 'r' END::"char"`, 'relowner')}) FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')`,
  `SELECT pg_catalog.format('row security of %s: %s forced %s', full_name, relrowsecurity, relforcerowsecurity) FROM rel WHERE relkind IN ('r', 'p')`,
  `SELECT pg_catalog.format('partition %s of %s %s', r.full_name, p.full_name, pg_catalog.pg_get_expr(r.relpartbound, r.oid)) FROM rel r
   JOIN pg_catalog.pg_inherits i ON i.inhrelid = r.oid JOIN rel p ON p.oid = i.inhparent`,
  `SELECT pg_catalog.format('partitioned %s by %s', full_name, pg_catalog.pg_get_partkeydef(oid)) FROM rel WHERE relkind = 'p'`,
  // Of a table that inherits, a restore puts the columns of the parents first; pg_dump itself does.
  `SELECT pg_catalog.format('column %s.%I number %s type %s not null %s default %s generated %s identity %s collation %s storage %s privileges %s options %s statistics %s', r.full_name, a.attname,
     CASE WHEN NOT r.relispartition AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = r.oid) THEN 'inherited'
       ELSE (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute b WHERE b.attrelid = a.attrelid AND b.attnum > 0 AND b.attnum <= a.attnum AND NOT b.attisdropped)::text END,
     pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity,
     (SELECT pg_catalog.quote_ident(co.collname) FROM pg_catalog.pg_collation co WHERE co.oid = a.attcollation), a.attstorage, CASE WHEN a.attacl IS NULL THEN 'none' ELSE ${acl('a.attacl', `'c'`, 'r.relowner')} END,
     (SELECT pg_catalog.string_agg(o, ' ' ORDER BY o) FROM pg_catalog.unnest(a.attoptions) o WHERE o !~ '^pg_attver='), nullif(a.attstattarget, -1))
   FROM rel r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped`,
  // A foreign key that comes from a partitioned table is named by the server that makes it.
  `SELECT pg_catalog.format('constraint %s on %s: %s, validated %s', CASE WHEN k.contype = 'f' AND k.conparentid <> 0 THEN 'inherited' ELSE pg_catalog.quote_ident(k.conname) END, coalesce(r.full_name, k.contypid::pg_catalog.regtype::text), pg_catalog.pg_get_constraintdef(k.oid), k.convalidated)
   FROM pg_catalog.pg_constraint k LEFT JOIN rel r ON r.oid = k.conrelid WHERE (r.oid IS NOT NULL OR k.contypid <> 0) AND ${own('k.connamespace')}
   AND k.contype <> 't' AND (k.contypid = 0 OR ${notMember('pg_type', 'k.contypid')})`,
  `SELECT pg_catalog.format('index %s, valid %s, clustered %s', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered)
   FROM pg_catalog.pg_index i JOIN rel r ON r.oid = i.indrelid WHERE r.relkind IN ('r', 'p', 'm')`,
  `SELECT pg_catalog.format('trigger on %s: %s, enabled %s', r.full_name, pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled) FROM pg_catalog.pg_trigger t JOIN rel r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal`,
  `SELECT pg_catalog.format('rule on %s: %s, enabled %s', r.full_name, pg_catalog.pg_get_ruledef(w.oid), w.ev_enabled) FROM pg_catalog.pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'`,
  `SELECT pg_catalog.format('policy %I on %s: %s %s to %s using %s check %s', p.polname, r.full_name, p.polpermissive, p.polcmd,
     (SELECT pg_catalog.string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE ${user('o')} END, ', ' ORDER BY o = 0, ${user('o')}) FROM pg_catalog.unnest(p.polroles) o),
     pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_catalog.pg_policy p JOIN rel r ON r.oid = p.polrelid`,
  `SELECT pg_catalog.format('view %s: md5 %s, populated %s', full_name, pg_catalog.md5(pg_catalog.pg_get_viewdef(oid)), relispopulated) FROM rel WHERE relkind IN ('v', 'm')`,
  `SELECT pg_catalog.format('function %s owner %s: md5 %s, privileges %s', p.oid::pg_catalog.regprocedure, ${user('p.proowner')},
     pg_catalog.md5(CASE WHEN p.prokind = 'a' THEN 'aggregate ' || pg_catalog.pg_get_function_result(p.oid) ELSE pg_catalog.pg_get_functiondef(p.oid) END), ${acl('p.proacl', `'f'`, 'p.proowner')})
   FROM pg_catalog.pg_proc p WHERE ${own('p.pronamespace')} AND ${notMember('pg_proc', 'p.oid')}`,
  `SELECT pg_catalog.format('type %s kind %s owner %s, labels %s, base %s not null %s default %s, privileges %s', t.oid::pg_catalog.regtype, t.typtype, ${user('t.typowner')},
     (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
     CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault, ${acl('t.typacl', `'T'`, 't.typowner')})
   FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid WHERE ${own('t.typnamespace')} AND ${notMember('pg_type', 't.oid')}
   AND t.typtype <> 'p' AND (t.typtype <> 'c' OR c.relkind = 'c') AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)`,
  `SELECT pg_catalog.format('sequence %s type %s start %s by %s from %s to %s cache %s cycle %s owned by %s', r.full_name, s.seqtypid::pg_catalog.regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
     (SELECT pg_catalog.format('%s.%I', o.full_name, a.attname) FROM pg_catalog.pg_depend d JOIN rel o ON o.oid = d.refobjid JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE d.objid = s.seqrelid AND d.deptype IN ('a', 'i') AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass LIMIT 1))
   FROM pg_catalog.pg_sequence s JOIN rel r ON r.oid = s.seqrelid`,
  `SELECT pg_catalog.format('extension %I version %s schema %I', extname, extversion, n.nspname) FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace`,
  `SELECT pg_catalog.format('default privileges of %s in %s for %s: %s', ${user('defaclrole')}, coalesce(n.nspname, 'all schemas'), defaclobjtype,
     (SELECT pg_catalog.string_agg(x::text, ' ' ORDER BY x::text) FROM pg_catalog.unnest(defaclacl) x)) FROM pg_catalog.pg_default_acl LEFT JOIN pg_catalog.pg_namespace n ON n.oid = defaclnamespace`,
  `SELECT pg_catalog.format('statistics %s', pg_catalog.pg_get_statisticsobjdef(s.oid)) FROM pg_catalog.pg_statistic_ext s WHERE ${own('s.stxnamespace')}`,
  `SELECT pg_catalog.format('comment on %s %s: md5 %s', i.type, i.identity, pg_catalog.md5(d.description)) FROM pg_catalog.pg_description d,
     LATERAL pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) i WHERE d.objoid >= 16384
     AND (d.classoid, d.objoid) NOT IN (SELECT classid, objid FROM members) AND d.classoid <> 'pg_catalog.pg_extension'::pg_catalog.regclass
     AND d.classoid <> 'pg_catalog.pg_largeobject'::pg_catalog.regclass AND i.identity !~ '^pg_toast'`,
  ...NAMED.map((name) => `SELECT pg_catalog.format('%s %s', i.type, i.identity) FROM pg_catalog.${name} o,
     LATERAL pg_catalog.pg_identify_object('pg_catalog.${name}'::pg_catalog.regclass, o.oid, 0) i WHERE o.oid >= 16384 AND ${notMember(name, 'o.oid')}${EXCEPT[name] ?? ''}`),
  ...DETAILS,
];

/** The lines of a database, sorted. The session must be prepared for reading: names are qualified only while search_path is empty. */
export async function readFacts(connection: Connection): Promise<string[]> {
  const rows = await connection.query<{ line: string }>(
    `WITH ${MEMBERS}, ${RELATIONS} SELECT line FROM (${QUERIES.map((query) => `(${query})`).join('\nUNION ALL\n')}) f(line)`,
    'reading the catalogue',
  );
  return rows.map(({ line }) => line).toSorted();
}

/** Lines that only one of both has. `before` may come from a snapshot of an older version, which knew less and said some things otherwise. */
export function compareFacts(before: readonly string[], after: readonly string[]): { missing: string[]; surplus: string[] } {
  const detailed = before.includes(DETAILED);
  const known = after.filter((line) => detailed || (line !== DETAILED && !isDetail(line)));
  const [then, now] = [new Set(before), new Set(known)];
  const [missing, surplus] = [before.filter((line) => !now.has(line)), known.filter((line) => !then.has(line))];
  const inherited = new Set(surplus.filter((line) => loose(line) === line));
  const same = new Set(missing.map(loose).filter((line) => inherited.has(line)));
  return { missing: missing.filter((line) => !same.has(loose(line)) || loose(line) === line), surplus: surplus.filter((line) => !same.has(line)) };
}

/** As it is said of what is inherited. */
function loose(line: string): string {
  if (line.startsWith('column ')) return line.replace(/ number (?:\d+|inherited) type /, ' number inherited type ');
  return line.replace(/^constraint (?:"(?:[^"]|"")+"|\S+) on (.*?: FOREIGN KEY)/s, 'constraint inherited on $1');
}
