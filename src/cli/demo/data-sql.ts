/**
 * The content of the demo's database, made by the server itself. Everything follows from the row's number and a hash, so
 * that the same data comes out on every machine.
 */

/** Users with the numbers 1 to USERS; the jump logs belong to some of them. */
export const USERS = 6000;
export const JUMPS = 110_000;
const POINTS_OF_A_JUMP = 9;
const START = "timestamptz '2025-01-01 06:00:00+00'";
/** So many seconds lie between two jumps, that these and five more per cent fit the 22 months of partitions. */
const SECONDS_BETWEEN = 500;

/** For every session that fills tables. `noise` is a number from 0 to 1 that looks random; `pick` chooses by it. */
export const sessionSql = `
set synchronous_commit = off; set work_mem = '64MB'; set maintenance_work_mem = '192MB'; set timezone = 'UTC'; set jit = off;
create function pg_temp.noise(bigint, bigint) returns double precision immutable parallel safe language sql
  as 'select (hashint8extended($1, $2) & 1073741823)::float8 / 1073741824';
create function pg_temp.pick(text[], double precision) returns text immutable parallel safe language sql
  as 'select $1[1 + floor($2 * cardinality($1))::int]';
`;

const WORDS = `array['a soft exit','two-way with Ana','big-way practice','windy on final','landed out by the trees','great light over the Alps','first jump on the new canopy',
 'tracking dive','sit-fly drills','head-down, unstable at the end','opening was slow','line twists, kicked out','video by Jürgen','çok güzel bir gün','coached by Élodie','flaring too late',
 'spotting needs work','clouds at 2,800 m','sunset load','hop and pop','accuracy: 1.2 m','good separation','burbled the base','stable all the way','踏み切り良好','neuer Rekord']`;

export const peopleSql = `
insert into logbook.dropzones (parent_id, name, country, position, elevation_m)
select case when i > 20 and i % 7 = 0 then i % 20 + 1 end,
  pg_temp.pick(array['Skydive','Fallschirmsport','Paraclub','Paracaidismo','Skok','Laskuvarjo'], pg_temp.noise(i, 1)) || ' ' ||
  pg_temp.pick(array['Gap','Empuriabrava','Šternberk','Eloy','Voss','Teuge','Łódź','Saarlouis','Ampuria','Århus','Hibaldstow','Perris'], pg_temp.noise(i, 2)) || ' ' || i,
  pg_temp.pick(array['FR','ES','CZ','US','NO','NL','PL','DE','DK','GB'], pg_temp.noise(i, 3)),
  point(round((36 + 24 * pg_temp.noise(i, 4))::numeric, 5)::float8, round((-8 + 30 * pg_temp.noise(i, 5))::numeric, 5)::float8), round((900 * pg_temp.noise(i, 6))::numeric, 1)
from generate_series(1, 180) i;

insert into logbook.users (id, email, display_name, licence, languages, preferences, home_dropzone_id, born, created_at, updated_at)
select i, lower(first || '.' || i || '@') || pg_temp.pick(array['example.org','example.net','example.com'], pg_temp.noise(i, 12)), first || ' ' || last,
  pg_temp.pick(array['student','A','A','B','B','C','D'], pg_temp.noise(i, 13))::logbook.licence,
  case when i % 3 = 0 then array['de','en'] when i % 7 = 0 then array['fr','en','es'] else array['en'] end,
  jsonb_build_object('units', pg_temp.pick(array['metric','imperial'], pg_temp.noise(i, 14)), 'weekly_mail', i % 2 = 0,
    'theme', pg_temp.pick(array['light','dark','system'], pg_temp.noise(i, 15)), 'share', jsonb_build_object('jumps', i % 4 <> 0, 'friends', (i * 7) % 100)),
  1 + (i * 37) % 180, date '1955-01-01' + (i * 7919) % 18000, created, created + i % 900 * interval '1 hour'
from generate_series(1, ${USERS}) i,
  lateral (select pg_temp.pick(array['Ana','Björn','Chloé','Dmitri','Élodie','Fatma','Giuseppe','Hanna','Ívar','Jürgen','Keiko','Łukasz','María','Niamh','Ömer','Paweł','Quentin','Rosa','Søren','Tereza'], pg_temp.noise(i, 10)) as first,
    pg_temp.pick(array['Almeida','Bergström','Čapek','Dubois','Eriksen','Fernández','Großmann','Horváth','Ivanova','Jensen','Kowalski','Lefèvre','Müller','Nguyen','O''Brien','Petrov','Quist','Rossi','Suzuki','Yılmaz'], pg_temp.noise(i, 11)) as last,
    timestamptz '2019-03-01 09:00:00+00' + i * interval '9 hours 7 minutes' as created) names;
select setval('logbook.users_id_seq', ${USERS} + 17);

insert into logbook.devices (id, user_id, serial, firmware, calibration, settings, last_seen)
select md5('device ' || i)::uuid, 1 + (i - 1) % ${USERS}, 'TI-' || lpad((i % 40)::text, 2, '0') || '-' || upper(lpad(to_hex(i::bigint * 2654435 % 4294967295), 8, '0')),
  pg_temp.pick(array['3.1.4','3.2.0','3.2.1','4.0.0-beta.2'], pg_temp.noise(i, 20)),
  array[round((1013 + 4 * pg_temp.noise(i, 21))::numeric, 4), round(pg_temp.noise(i, 22)::numeric, 4), round((pg_temp.noise(i, 23) - 0.5)::numeric, 4)],
  jsonb_build_object('rate_hz', 4 * (1 + i % 4), 'audible', jsonb_build_array(1500, 1200, 900 + i % 9 * 10), 'name', 'Tempo ' || i),
  ${START} + pg_temp.noise(i, 24) * interval '600 days'
from generate_series(1, 9000) i;

insert into logbook.avatars
select i, 'image/webp', (select string_agg(sha512((i || '/' || k)::bytea), '' order by k) from generate_series(1, 60 + (i % 50)::int) k)
from generate_series(1, ${USERS}, 4) i;

insert into "Ausrüstung"."Fallschirme" ("Besitzer", "Größe (m²)", "Farbe ""außen""", "nächste Prüfung")
select 1 + (i * 13) % ${USERS}, round((8 + 18 * pg_temp.noise(i, 30))::numeric, 2), nullif(pg_temp.pick(array['rot/weiß','blau','schwarz\\grün','gelb	gestreift',''], pg_temp.noise(i, 31)), ''),
  date '2026-01-01' + i % 700 from generate_series(1, 4000) i;

insert into logbook.documents select i, pg_temp.pick(array['Terms of use','Datenschutzerklärung','Safety notice'], i / 3.0 - 0.1),
  lo_from_bytea(4200000 + i, (select string_agg(sha512((i || ' page ' || k)::bytea), '' order by k) from generate_series(1, 4000 * i) k)) from generate_series(1, 3) i;
insert into logbook.sessions select md5('session ' || i), i, jsonb_build_object('ip', '192.0.2.' || i % 250) from generate_series(1, 500) i;
insert into audit.changes (table_name, row_id, changed_at, before, after)
select 'logbook.users', (i % ${USERS})::text, ${START} + i * interval '11 minutes', jsonb_build_object('licence', 'A', 'visits', i), jsonb_build_object('licence', 'B', 'visits', i + 1)
from generate_series(1, 40000) i;
select nextval('logbook.ticket_number') from generate_series(1, 321);
`;

const jumpTime = `${START} + (i * ${SECONDS_BETWEEN} + floor(400 * pg_temp.noise(i, 40))) * interval '1 second'`;

/** The jumps with these numbers. */
export function jumpsSql(from: number, to: number): string {
  return `
insert into logbook.jumps (user_id, device_id, dropzone_id, jumped_at, discipline, exit_altitude_m, opening_altitude_m, top_speed_ms, tags, weather, notes)
select 1 + (i * 31) % ${USERS}, md5('device ' || (1 + (i * 31) % ${USERS}))::uuid, 1 + (i * 17) % 180, ${jumpTime},
  pg_temp.pick(array['belly','belly','freefly','freefly','wingsuit','tandem','accuracy','canopy formation'], pg_temp.noise(i, 41))::logbook.discipline,
  floor(38000 + 4000 * pg_temp.noise(i, 42)) / 10, floor(8000 + 5000 * pg_temp.noise(i, 43)) / 10, floor(480 + 260 * pg_temp.noise(i, 44)) / 10,
  case i % 5 when 0 then null when 1 then array['night'] when 2 then array['camera','team ' || i % 90] else array['fun', 'load ' || i % 23, 'season ' || 2025 + i / 63000] end,
  jsonb_build_object('wind_kn', floor(22 * pg_temp.noise(i, 45)), 'from_deg', floor(360 * pg_temp.noise(i, 46)), 'temperature_c', floor(350 * pg_temp.noise(i, 47) - 50) / 10,
    'sky', pg_temp.pick(array['clear','few','scattered','broken'], pg_temp.noise(i, 48)), 'qnh_hpa', floor(9900 + 400 * pg_temp.noise(i, 49)) / 10),
  case when i % 9 <> 0 then pg_temp.pick(${WORDS}, pg_temp.noise(i, 50)) || '; ' || pg_temp.pick(${WORDS}, pg_temp.noise(i, 51)) || case when i % 3 = 0 then '. ' || pg_temp.pick(${WORDS}, pg_temp.noise(i, 52)) || ' (' || i % 977 || ')' else '' end end
from generate_series(${from}, ${to}) i;`;
}

/** What the devices recorded of the jumps with these numbers. */
export function pointsSql(from: number, to: number): string {
  return `
insert into logbook.jump_points
select i, ${jumpTime} + (k * 7 + pg_temp.noise(i, 60 + k)) * interval '1 second',
  floor(40000 - k * 3500 + 900 * pg_temp.noise(i, 70 + k)) / 10, -floor(4200 + 2300 * pg_temp.noise(i, 80 + k)) / 100,
  case when k > 0 then floor(3800 * pg_temp.noise(i, 90 + k)) / 100 end,
  floor(1e6 * (36 + 24 * pg_temp.noise((i * 17) % 180 + 1, 4)) + k * 41 + 300 * pg_temp.noise(i, 100 + k)) / 1e6,
  floor(1e6 * (-8 + 30 * pg_temp.noise((i * 17) % 180 + 1, 5)) - k * 57 + 300 * pg_temp.noise(i, 110 + k)) / 1e6
from generate_series(${from}, ${to}) i, generate_series(0, ${POINTS_OF_A_JUMP - 1}) k;`;
}
