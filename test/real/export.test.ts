import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';
import { SMALL_ZOO } from '../fixture/small-zoo.ts';

const PASSPHRASE = 'pass phrase with "quotes" & ünïcode';

interface Exported {
  readonly files: readonly { readonly database: string; readonly file: string; readonly bytes: number; readonly sha256: string }[];
}

describe('export of a database', async () => {
  const server = await debianPostgres();
  await psql(server.url, 'create database zoo');
  const url = server.database('zoo');
  await psql(url, SMALL_ZOO);
  // Rows of many lengths, in more pieces than are under way at once.
  await psql(url, "create table app.large as select i, repeat(md5(i::text), 1 + i % 40) as text, i * 1.5 as n from generate_series(1, 60000) i");
  const stack = await databaseStack([`url: ${url}`]);
  const content = await contentOf(url);
  const schema = (await run('pg_dump', ['--schema-only', '--restrict-key=x', url])).stdout;
  beforeAll(async () => {
    await stack.holdfast('backup');
    await writeFile(stack.path('passphrase'), `${PASSPHRASE}\n`, { mode: 0o600 });
    await mkdir(stack.path('out'));
    return async () => {
      await stack[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    };
  });
  let copies = 0;
  /** Pipes `command` into psql of an empty database; it must then be equal to the original. */
  const comesBack = async (command: string): Promise<void> => {
    const name = `copy_${++copies}`;
    await psql(server.url, `create database ${name}`);
    await run('bash', ['-o', 'pipefail', '-c', `${command} | psql -Xq -v ON_ERROR_STOP=1 '${server.database(name)}' >/dev/null`], { cwd: stack.folder });
    expect(await contentOf(server.database(name))).toBe(content);
    expect((await run('pg_dump', ['--schema-only', '--restrict-key=x', server.database(name)])).stdout).toBe(schema);
  };

  it('names the file after the moment of the data, and gunzip and psql bring it back', async () => {
    const { files } = JSON.parse((await stack.holdfast('export', 'db', '--to', 'out', '--json')).stdout) as Exported;
    const [name = ''] = await readdir(stack.path('out'));
    expect(name).toMatch(/^backup-\d{4}-\d\d-\d\d-\d{6}\.sql\.gz$/);
    const bytes = await readFile(stack.path(`out/${name}`));
    expect(files).toMatchObject([{ file: stack.path(`out/${name}`), bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }]);
    expect((await stat(stack.path(`out/${name}`))).mode & 0o777).toBe(0o600);
    await run('gzip', ['--test', stack.path(`out/${name}`)]);
    await comesBack(`gunzip -c out/${name}`);
  });

  it('is encrypted so that gpg opens it, with AES-256, and only with the passphrase', async () => {
    await stack.holdfast('export', 'db', '--to', 'a.sql.gz.gpg', '--passphrase', 'file:passphrase');
    const listed = await run('gpg', ['--homedir', stack.folder, '--batch', '--list-packets', '--pinentry-mode', 'loopback', '--passphrase-file', stack.path('passphrase'), stack.path('a.sql.gz.gpg')]);
    expect(listed.stdout + listed.stderr).toContain('AES256');
    await comesBack('gpg --homedir . --batch --quiet --pinentry-mode loopback --passphrase-file passphrase --decrypt a.sql.gz.gpg | gunzip -c');
    await writeFile(stack.path('wrong'), 'wrong\n');
    await run('gpg', ['--homedir', stack.folder, '--batch', '--pinentry-mode', 'loopback', '--passphrase-file', stack.path('wrong'), '--decrypt', stack.path('a.sql.gz.gpg')], { accept: [2] });
  });

  it('is encrypted so that age opens it with the key of a recipient', async () => {
    await run('age-keygen', ['-o', stack.path('identity')]);
    const recipient = (await run('age-keygen', ['-y', stack.path('identity')])).stdout.trim();
    await stack.holdfast('export', 'db', '--to', 'out/', '--encrypt', 'age', '--recipient', recipient);
    const name = (await readdir(stack.path('out'))).find((one) => one.endsWith('.sql.gz.age'));
    expect(name).toBeDefined();
    await comesBack(`age -d -i identity out/${name} | gunzip -c`);
  });

  it('goes to standard output as plain SQL', async () => {
    await comesBack(`${process.cwd()}/bin/holdfast export db --to -`);
  });

  it('is an archive that pg_restore reads with parallel workers and section by section', async () => {
    await psql(url, "select lo_from_bytea(4712, 'a large object'); grant select on large object 4712 to public; comment on large object 4712 is 'mine; yours'");
    await stack.holdfast('backup');
    const { files } = JSON.parse((await stack.holdfast('export', 'db', '--to', 'a.dump', '--json')).stdout) as Exported;
    expect(files[0]?.sha256).toBe(createHash('sha256').update(await readFile(stack.path('a.dump'))).digest('hex'));
    await psql(server.url, 'create database parallel; create database sections');
    await run('pg_restore', ['--exit-on-error', '-j2', '-d', server.database('parallel'), stack.path('a.dump')]);
    for (const section of ['pre-data', 'data', 'post-data']) await run('pg_restore', ['--exit-on-error', `--section=${section}`, '-d', server.database('sections'), stack.path('a.dump')]);
    const [now, schemaNow] = [await contentOf(url), (await run('pg_dump', ['--schema-only', '--restrict-key=x', url])).stdout];
    for (const name of ['parallel', 'sections']) {
      expect(await contentOf(server.database(name))).toBe(now);
      expect((await run('pg_dump', ['--schema-only', '--restrict-key=x', server.database(name)])).stdout).toBe(schemaNow);
    }
    expect(await psql(server.database('parallel'), "select obj_description(4712, 'pg_largeobject'), lo_get(4712)")).toBe(`mine; yours|\\x${Buffer.from('a large object').toString('hex')}\n`);
    await run('pg_restore', ['--clean', '--if-exists', '--exit-on-error', '-d', server.database('parallel'), stack.path('a.dump')]);
    expect(await contentOf(server.database('parallel'))).toBe(now);
    // Encrypted it cannot be patched, and opens all the same.
    await stack.holdfast('export', 'db', '--to', 'a.dump.gpg', '--passphrase', 'file:passphrase', '--schema-only');
    await run('bash', ['-o', 'pipefail', '-c', 'gpg --homedir . --batch --quiet --pinentry-mode loopback --passphrase-file passphrase --decrypt a.dump.gpg | pg_restore -l >list'], { cwd: stack.folder });
    expect(await readFile(stack.path('list'), 'utf8')).not.toContain('TABLE DATA');
  });

  it('overwrites nothing, and a passphrase is never taken from the command line', async () => {
    await writeFile(stack.path('there.sql'), 'mine');
    const refused = await stack.attempt(['export', 'db', '--to', 'there.sql']);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('there.sql exists already') });
    expect(await readFile(stack.path('there.sql'), 'utf8')).toBe('mine');
    const exposed = await stack.attempt(['export', 'db', '--to', 'b.sql.gpg', '--passphrase', 'hunter2']);
    expect(exposed.code).toBe(2);
    expect(exposed.stderr).not.toContain('hunter2');
    expect((await stack.attempt(['export', 'db', '--to', 'b.sql.age', '--recipient', 'age1nonsense'])).stderr).toContain("'age1nonsense' is no recipient of age");
    expect((await stack.attempt(['export', 'db', '--to', 'b.sql.gpg'])).stderr).toContain('needs a passphrase');
    expect((await stack.attempt(['export', 'db', '--to', 'nowhere/'])).stderr).toContain('there is no folder');
    expect((await readdir(stack.folder)).filter((name) => name.startsWith('b.sql') || name.includes('-tmp-'))).toEqual([]);
  });
});
