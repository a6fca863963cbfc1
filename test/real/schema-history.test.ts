import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';

describe('the schema in a Git repository (B6)', () => {
  it('gets a commit when it has changed, and only then; nothing else of the work tree is touched; it is pushed', async () => {
    await using server = await debianPostgres();
    await psql(server.url, 'create database shop');
    const url = server.database('shop');
    await psql(url, "create table orders (id int primary key); insert into orders values (1); create extension postgres_fdw; create server far foreign data wrapper postgres_fdw; create user mapping for postgres server far options (user 'a', password 'hunter2')");
    await using stack = await databaseStack([`url: ${url}`]);
    await run('git', ['init', '--quiet', '--bare', stack.path('remote.git')]);
    await run('git', ['clone', '--quiet', stack.path('remote.git'), stack.path('work')]);
    await writeFile(stack.path('work/staged.txt'), 'of somebody else');
    const git = async (...args: readonly string[]): Promise<string> => (await run('git', ['-C', stack.path('work'), ...args])).stdout;
    await git('add', 'staged.txt');
    await git('config', 'push.autoSetupRemote', 'true');

    await stack.holdfast('backup');
    const first = await stack.holdfast('export', 'db', '--git', 'work', '--push');
    expect(first.stdout).toMatch(/committed [0-9a-f]{10}: shop\.sql/);
    const text = await readFile(stack.path('work/shop.sql'), 'utf8');
    expect(text).toContain('CREATE TABLE public.orders');
    expect(text).not.toContain('hunter2');
    expect(await git('status', '--porcelain')).toBe('A  staged.txt\n');

    await psql(url, 'insert into orders values (2)');
    await stack.holdfast('backup');
    expect((await stack.holdfast('export', 'db', '--git', 'work')).stdout).toContain('has not changed');
    await psql(url, 'alter table orders add note text');
    await stack.holdfast('backup');
    expect((await stack.holdfast('export', 'db', '--git', 'work', '--push')).stdout).toContain('committed');
    expect((await git('show', '--stat', 'HEAD'))).toMatch(/schema of shop as of[\s\S]*shop\.sql \| \d+ /);
    expect((await run('git', ['-C', stack.path('remote.git'), 'log', '--oneline', '--all'])).stdout.trim().split('\n')).toHaveLength(2);

    // What stands there is psql's, too.
    await psql(server.url, 'create database again');
    await psql(server.database('again'), await readFile(stack.path('work/shop.sql'), 'utf8'));
    expect(await psql(server.database('again'), 'select count(*) from orders')).toBe('0\n');
  });

  it('is recorded by a plan that says where, after its backup', async () => {
    await using server = await debianPostgres();
    await psql(server.url, 'create table one (id int)');
    await using stack = await databaseStack([`url: ${server.url}`]);
    await appendFile(stack.path('holdfast.yaml'), 'plans:\n  schema: { only: schema, to: [local], git: ./schema }\n');
    expect((await stack.holdfast('backup', '--plan', 'schema')).stdout).toContain('committed');
    expect((await stack.holdfast('backup', '--plan', 'schema')).stdout).toContain('has not changed');
    expect(await readFile(stack.path('schema/postgres.sql'), 'utf8')).toContain('CREATE TABLE public.one');
    // A folder in the way: the restore point stands, and the exit code says that something is missing.
    await rm(stack.path('schema'), { recursive: true });
    await writeFile(stack.path('schema'), '');
    const failed = await stack.attempt(['backup', '--plan', 'schema', '--json']);
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({ state: 'ok', schemas: [{ store: 'db', error: { code: 'target-failed' } }] });
  });

  it('makes a repository where there is none, and says what git says when it cannot', async () => {
    await using server = await debianPostgres();
    await using stack = await databaseStack([`url: ${server.url}`]);
    await stack.holdfast('backup');
    expect((await stack.holdfast('export', 'db', '--git', 'new/schema')).stdout).toContain('committed');
    const unpushed = await stack.attempt(['export', 'db', '--git', 'new/schema', '--push']);
    expect(unpushed.code).toBe(1);
    expect(unpushed.stderr).toContain('git could not push');
    await mkdir(stack.path('work'));
    await run('git', ['-C', stack.path('work'), 'init', '--quiet']);
    expect((await stack.attempt(['export', 'db', '--git', 'work/.git'])).stderr).toContain("inside of a git repository's own files");
  });
});
