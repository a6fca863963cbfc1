/**
 * What of a schema is easily lost and seldom looked at, as lines; see facts.ts. They were not always written: a catalogue that has them
 * says so with a line of its own.
 */

/** In a catalogue that has the lines of this file. */
export const DETAILED = 'catalogue with details';

const KINDS = ['detail of ', 'tablespace of ', 'security label of '];

export function isDetail(line: string): boolean {
  return KINDS.some((kind) => line.startsWith(kind));
}

const notMember = (catalog: string, oid: string): string => `${oid} NOT IN (SELECT objid FROM members WHERE classid = 'pg_catalog.${catalog}'::pg_catalog.regclass)`;
const own = (catalog: string, oid: string): string => `${oid} >= 16384 AND ${notMember(catalog, oid)}`;
const options = (column: string): string => `(SELECT pg_catalog.string_agg(x, ', ' ORDER BY x) FROM pg_catalog.unnest(${column}) x)`;
/** A column that younger servers have; older ones did what `otherwise` says. */
const since = (row: string, column: string, otherwise: string): string => `coalesce(pg_catalog.to_jsonb(${row}) ->> '${column}', '${otherwise}')`;
/** As pg_identify_object names it. */
const named = (catalog: string, alias: string): string => `pg_catalog.${catalog} ${alias}, LATERAL pg_catalog.pg_identify_object('pg_catalog.${catalog}'::pg_catalog.regclass, ${alias}.oid, 0) i`;

export const DETAILS: readonly string[] = [
  `SELECT '${DETAILED}'`,
  `SELECT pg_catalog.format('tablespace of %s: %I', full_name, s.spcname) FROM rel JOIN pg_catalog.pg_tablespace s ON s.oid = reltablespace WHERE relkind <> 't'`,
  `SELECT pg_catalog.format('security label of %s %s: %s %s', objtype, objname, provider, label) FROM pg_catalog.pg_seclabels
   WHERE objtype NOT IN ('role', 'database', 'tablespace', 'large object')`,
  `SELECT pg_catalog.format('detail of %s: access method %s, of type %s', full_name, m.amname, nullif(reloftype, 0)::pg_catalog.regtype)
   FROM rel LEFT JOIN pg_catalog.pg_am m ON m.oid = relam WHERE relkind IN ('r', 'm')`,
  `SELECT pg_catalog.format('detail of foreign table %s: server %I options %s', full_name, s.srvname, ${options('f.ftoptions')})
   FROM pg_catalog.pg_foreign_table f JOIN rel ON rel.oid = f.ftrelid JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver`,
  `SELECT pg_catalog.format('detail of column %s.%I: options %s, compression %s', full_name, a.attname, ${options('a.attfdwoptions')}, nullif(${since('a', 'attcompression', '')}, ''))
   FROM pg_catalog.pg_attribute a JOIN rel ON rel.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.attfdwoptions IS NOT NULL OR ${since('a', 'attcompression', '')} <> '')`,
  `SELECT pg_catalog.format('detail of event trigger %I: on %s with %s calls %s, enabled %s', evtname, evtevent, ${options('evttags')}, evtfoid::pg_catalog.regprocedure, evtenabled)
   FROM pg_catalog.pg_event_trigger WHERE ${own('pg_event_trigger', 'oid')}`,
  `SELECT pg_catalog.format('detail of publication %I: all tables %s, insert %s, update %s, delete %s, truncate %s, by the root %s', pubname, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, ${since('p', 'pubviaroot', 'false')})
   FROM pg_catalog.pg_publication p WHERE ${own('pg_publication', 'oid')}`,
  `SELECT pg_catalog.format('detail of publication %I: table %s, %s columns, filtered %s', p.pubname, full_name, pg_catalog.cardinality(pg_catalog.string_to_array(pg_catalog.to_jsonb(x) ->> 'prattrs', ' ')), pg_catalog.to_jsonb(x) ->> 'prqual' IS NOT NULL)
   FROM pg_catalog.pg_publication_rel x JOIN pg_catalog.pg_publication p ON p.oid = x.prpubid JOIN rel ON rel.oid = x.prrelid`,
  `SELECT pg_catalog.format('detail of subscription %I: to %s, slot %s', subname, ${options('subpublications')}, subslotname) FROM pg_catalog.pg_subscription
   WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`,
  `SELECT pg_catalog.format('detail of %s %s: calls %s, commutator %s, negator %s, selectivity %s and %s, merges %s, hashes %s', i.type, i.identity, o.oprcode::pg_catalog.regprocedure,
     CASE WHEN k.oprcode <> 0 THEN o.oprcom::pg_catalog.regoperator END, CASE WHEN n.oprcode <> 0 THEN o.oprnegate::pg_catalog.regoperator END, nullif(o.oprrest, 0)::pg_catalog.regproc, nullif(o.oprjoin, 0)::pg_catalog.regproc, o.oprcanmerge, o.oprcanhash)
   FROM ${named('pg_operator', 'o')} LEFT JOIN pg_catalog.pg_operator k ON k.oid = o.oprcom LEFT JOIN pg_catalog.pg_operator n ON n.oid = o.oprnegate WHERE o.oprcode <> 0 AND ${own('pg_operator', 'o.oid')}`.replace(', LATERAL', ' CROSS JOIN LATERAL'),
  `SELECT pg_catalog.format('detail of %s %s: by %s, context %s, method %s', i.type, i.identity, nullif(c.castfunc, 0)::pg_catalog.regprocedure, c.castcontext, c.castmethod) FROM ${named('pg_cast', 'c')} WHERE ${own('pg_cast', 'c.oid')}`,
  `SELECT pg_catalog.format('detail of %s %s: provider %s, deterministic %s', i.type, i.identity, c.collprovider, c.collisdeterministic) FROM ${named('pg_collation', 'c')} WHERE ${own('pg_collation', 'c.oid')}`,
  `SELECT pg_catalog.format('detail of %s %s: for %s, default %s, stores %s', i.type, i.identity, o.opcintype::pg_catalog.regtype, o.opcdefault, nullif(o.opckeytype, 0)::pg_catalog.regtype) FROM ${named('pg_opclass', 'o')} WHERE ${own('pg_opclass', 'o.oid')}`,
  `SELECT pg_catalog.format('detail of %s: %s', i.identity, a.amopopr::pg_catalog.regoperator) FROM ${named('pg_amop', 'a')} WHERE ${own('pg_opfamily', 'a.amopfamily')}`,
  `SELECT pg_catalog.format('detail of %s: %s', i.identity, a.amproc::pg_catalog.regprocedure) FROM ${named('pg_amproc', 'a')} WHERE ${own('pg_opfamily', 'a.amprocfamily')}`,
  `SELECT pg_catalog.format('detail of %s %s: template %s, options %s', i.type, i.identity, d.dicttemplate, d.dictinitoption) FROM (SELECT d.oid, t.tmplname AS dicttemplate, d.dictinitoption FROM pg_catalog.pg_ts_dict d
     JOIN pg_catalog.pg_ts_template t ON t.oid = d.dicttemplate) d, LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_ts_dict'::pg_catalog.regclass, d.oid, 0) i WHERE ${own('pg_ts_dict', 'd.oid')}`,
  `SELECT pg_catalog.format('detail of %s %s: token %s looked up in %s as number %s', i.type, i.identity, m.maptokentype, m.mapdict::pg_catalog.regdictionary, m.mapseqno) FROM ${named('pg_ts_config', 'c')}
   JOIN pg_catalog.pg_ts_config_map m ON true WHERE m.mapcfg = c.oid AND ${own('pg_ts_config', 'c.oid')}`,
  `SELECT pg_catalog.format('detail of %s %s: trusted %s', i.type, i.identity, l.lanpltrusted) FROM ${named('pg_language', 'l')} WHERE ${own('pg_language', 'l.oid')}`,
  `SELECT pg_catalog.format('detail of %s %s: wrapper %I, type %s, version %s', i.type, i.identity, w.fdwname, s.srvtype, s.srvversion) FROM ${named('pg_foreign_server', 's')}
   JOIN pg_catalog.pg_foreign_data_wrapper w ON true WHERE w.oid = s.srvfdw AND ${own('pg_foreign_server', 's.oid')}`,
  `SELECT pg_catalog.format('detail of user mapping: %s at %I', usename, srvname) FROM pg_catalog.pg_user_mappings`,
  `SELECT pg_catalog.format('detail of aggregate %s: %s, %s, state %s, from %s', a.aggfnoid::pg_catalog.regprocedure, a.aggtransfn::pg_catalog.regproc, nullif(a.aggfinalfn, 0)::pg_catalog.regproc, a.aggtranstype::pg_catalog.regtype, a.agginitval)
   FROM pg_catalog.pg_aggregate a WHERE ${own('pg_proc', 'a.aggfnoid::pg_catalog.oid')}`,
  `SELECT pg_catalog.format('detail of type %s: %s and %s, length %s, alignment %s, storage %s', t.oid::pg_catalog.regtype, t.typinput::pg_catalog.regproc, t.typoutput::pg_catalog.regproc, t.typlen, t.typalign, t.typstorage)
   FROM pg_catalog.pg_type t WHERE t.typtype = 'b' AND t.typelem = 0 AND ${own('pg_type', 't.oid')}`,
  `SELECT pg_catalog.format('detail of range %s: of %s', r.rngtypid::pg_catalog.regtype, r.rngsubtype::pg_catalog.regtype) FROM pg_catalog.pg_range r WHERE ${own('pg_type', 'r.rngtypid')}`,
];
