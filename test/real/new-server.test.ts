import { readFile, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { debianPostgres } from '../fixture/postgres-server.ts';
import { HOLDFAST, PASSWORD } from '../fixture/holdfast.ts';
import { run, type RunResult } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

async function sql(url: string, text: string): Promise<string> {
  return (await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', url], { input: text })).stdout.trim();
}

const SHOP = `create table customer (id serial primary key, name text not null);
  create table "Order" (id bigint generated always as identity primary key, customer int not null references customer, total numeric check (total >= 0));
  insert into customer (name) select 'customer ' || i from generate_series(1, 1000) i;
  insert into "Order" (customer, total) select 1 + i % 1000, i / 7.0 from generate_series(1, 50000) i;
  alter table customer owner to shop_owner; alter table "Order" owner to shop_owner; grant select on customer to "shop reader";
  alter table customer enable row level security; create policy own on customer to "shop reader" using (name = current_user);`;

async function dump(url: string): Promise<string> {
  return (await run('pg_dump', [url])).stdout.split('\n').filter((line) => !/^\\(un)?restrict /.test(line)).join('\n');
}

it('the database comes back with its roles on a new, empty server, when nothing but the repository and its password is left', async () => {
  await using place = await scratch('new-server');
  const holdfast = (...args: readonly string[]): Promise<RunResult> => run(HOLDFAST, args, { cwd: place.folder });
  await writeFile(place.path('password'), PASSWORD, { mode: 0o600 });
  let before = '';
  let oldUrl = '';
  {
    await using server = await debianPostgres();
    await sql(server.url, `create role shop_owner login password 'secret of the owner'; create role "shop reader"; grant "shop reader" to shop_owner; create database shop owner shop_owner`);
    oldUrl = server.database('shop');
    await sql(oldUrl, SHOP);
    await holdfast('init', '--stack', 'shop', '--postgres', oldUrl, '--repository', 'repository', '--password-file', 'password');
    await holdfast('backup');
    before = await dump(oldUrl);
  }
  await using server = await debianPostgres();
  const config = (await readFile(place.path('holdfast.yaml'), 'utf8')).replace(oldUrl, server.database('shop'));
  expect(config).toContain(server.database('shop'));
  await writeFile(place.path('holdfast.yaml'), config);
  await holdfast('restore', '--yes');
  expect(await dump(server.database('shop'))).toBe(before);
  expect(await sql(server.url, "select rolcanlogin, rolpassword like 'SCRAM-SHA-256%', pg_has_role('shop_owner', 'shop reader', 'member') from pg_authid where rolname = 'shop_owner'")).toBe('t|t|t');
  expect(await sql(server.url, "select pg_get_userbyid(datdba) from pg_database where datname = 'shop'")).toBe('shop_owner');
});
