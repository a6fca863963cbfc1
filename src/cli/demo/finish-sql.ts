/** What a database gets after its data: keys, indexes, code, rules and rights. Two lists that may run side by side. */

export const jumpKeysSql = `
alter table logbook.jumps add primary key (id);
alter table logbook.jumps add foreign key (user_id) references logbook.users on delete cascade;
alter table logbook.jumps add foreign key (device_id) references logbook.devices;
alter table logbook.jumps add foreign key (dropzone_id) references logbook.dropzones;
alter table logbook.jumps add constraint "opens below exit" check (opening_altitude_m < exit_altitude_m);
create index jumps_by_user on logbook.jumps (user_id, jumped_at desc);
create index jumps_tags on logbook.jumps using gin (tags);
create index "jumps at night" on logbook.jumps (jumped_at) where 'night' = any (tags);
create index users_lower_name on logbook.users (lower(display_name) text_pattern_ops);
`;

export const pointKeysSql = `alter table logbook.jump_points add primary key (jump_id, recorded_at);`;

const code = `
alter table logbook.jump_points add constraint jump_points_jump foreign key (jump_id) references logbook.jumps on delete cascade;
alter table logbook.users add favourite_jump_id bigint references logbook.jumps;

create function logbook.current_user_id() returns bigint stable language sql
  as $$ select nullif(current_setting('tempo.user_id', true), '')::bigint $$;
create function logbook.fall_seconds(jump logbook.jumps) returns real immutable language sql
  as $$ select (jump.freefall_m / nullif(jump.top_speed_ms, 0))::real $$;
create function audit.note_change() returns trigger security definer set search_path = audit, pg_temp language plpgsql as $$
begin
  insert into audit.changes (table_name, row_id, before, after) values (tg_table_schema || '.' || tg_table_name, old.id::text, to_jsonb(old), to_jsonb(new));
  new.updated_at := now();
  return new;
end $$;
create trigger note_change before update on logbook.users for each row when (old.* is distinct from new.*) execute function audit.note_change();

create view logbook.recent_jumps with (security_barrier) as
  select j.id, u.display_name, d.name as dropzone, j.jumped_at, j.discipline, logbook.fall_seconds(j) as fall_seconds
  from logbook.jumps j join logbook.users u on u.id = j.user_id join logbook.dropzones d on d.id = j.dropzone_id
  where j.jumped_at > '2026-09-01';
create materialized view logbook.season_totals as
  select user_id, extract(year from jumped_at at time zone 'UTC')::int as season, count(*) as jumps, max(top_speed_ms) as top_speed_ms, sum(freefall_m) as freefall_m
  from logbook.jumps group by 1, 2;
create unique index season_totals_key on logbook.season_totals (user_id, season);
create statistics logbook.jumps_where (dependencies) on user_id, dropzone_id from logbook.jumps;
`;

const rights = `
alter table logbook.users enable row level security;
alter table logbook.jumps enable row level security;
alter table logbook.jumps force row level security;
create policy own_row on logbook.users for all to tempo_api using (id = logbook.current_user_id());
create policy own_jumps on logbook.jumps for all to tempo_api using (user_id = logbook.current_user_id()) with check (user_id = logbook.current_user_id());
create policy "published jumps" on logbook.jumps for select to tempo_readonly using (not 'private' = any (coalesce(tags, '{}')));
create policy no_future on logbook.jumps as restrictive for insert to tempo_api with check (jumped_at <= now());
create policy everything on logbook.jumps to tempo_owner using (true);

grant usage on schema logbook, audit to tempo_api, tempo_readonly;
grant usage on schema "Ausrüstung" to "Analyse & Bericht";
grant select, insert, update on logbook.jumps, logbook.jump_points to tempo_api;
grant select on all tables in schema "Ausrüstung" to "Analyse & Bericht" with grant option;
grant select (id, display_name, licence, home_dropzone_id), update (display_name, preferences) on logbook.users to tempo_api;
grant select on logbook.season_totals, logbook.recent_jumps, logbook.dropzones to tempo_readonly;
grant usage on sequence logbook.ticket_number to tempo_api;
revoke execute on function logbook.current_user_id() from public;
grant execute on function logbook.current_user_id() to tempo_api, tempo_readonly;
alter default privileges for role tempo_owner in schema logbook grant select on tables to tempo_readonly;
do $$
declare one record;
begin
  for one in select format('alter table %s owner to tempo_owner', oid::regclass) as command from pg_class
    where relnamespace = 'logbook'::regnamespace and relkind in ('r', 'p') and relname not like '%sessions' loop
    execute one.command;
  end loop;
end $$;
`;

export const finishSql: readonly string[] = [code, rights, 'analyze;'];

/** One per cent of the rows, as a day at the dropzones changes them. */
export const changeSql = `
update logbook.jumps set notes = coalesce(notes || ' — ', '') || 'debriefed' where id > (select max(id) from logbook.jumps) - 400;
update logbook.users set licence = 'D', preferences = preferences || '{"weekly_mail": false}' where id % 150 = 0;
delete from logbook.sessions where user_id <= 50;
select nextval('logbook.ticket_number') from generate_series(1, 12);
refresh materialized view logbook.season_totals;
`;
