import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { createDemoDatabase } from '../../src/cli/demo/database.ts';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { debianPostgres } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';

const PASSPHRASE = 'pass phrase with "quotes" & ünïcode';

interface Exported {
  readonly files: readonly { readonly database: string; readonly file: string; readonly bytes: number; readonly sha256: string }[];
}

describe('export of the demo database', async () => {
  const server = await debianPostgres();
  const { url } = await createDemoDatabase(server.url);
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
