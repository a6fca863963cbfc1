import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isHoldfastError } from '../../src/base/errors.ts';
import { Connection } from '../../src/client/postgres/connection.ts';
import { parseTarget } from '../../src/client/postgres/target.ts';
import { contentOf, databaseStack, psql } from '../fixture/database-stack.ts';
import { serverAccess, type ServerAccess } from '../fixture/postgres-access.ts';
import { postgresOf, type TestServer } from '../fixture/postgres-server.ts';
import { scratch } from '../fixture/scratch.ts';
import { SMALL_ZOO } from '../fixture/small-zoo.ts';

const RULES = [
  'local all all trust', 'hostssl all only_tls all trust', 'hostnossl all only_plain all trust', 'hostssl all keyholder all cert', 'host all secretive all scram-sha-256',
  'host all postgres all trust', 'hostssl replication only_tls all trust',
];
const PASSWORD = 'a:b\\c';

let lifetime: AsyncDisposableStack;
let access: ServerAccess;
let server: TestServer;

beforeAll(async () => {
  lifetime = new AsyncDisposableStack();
  access = lifetime.use(await serverAccess(RULES));
  server = lifetime.use(await postgresOf(18, access.settings));
  await psql(server.url, `create role only_tls login replication; create role only_plain login; create role keyholder login; create role secretive login superuser password '${PASSWORD}'; create database zoo;`);
  await psql(server.database('zoo'), SMALL_ZOO);
});

afterAll(async () => await lifetime.disposeAsync());

/** `TLSv1.3`, `plain`, or the sentence and the hint of the error. */
async function reach(user: string, parameters: string, environment: NodeJS.ProcessEnv = {}, host = '127.0.0.1'): Promise<string> {
  const { port } = new URL(server.url);
  try {
    const target = parseTarget(`postgres://${user}@${host}:${port}/postgres${parameters}`, undefined, { HOME: access.path('nowhere'), ...environment });
    return await Connection.with(target, async (connection) => {
      const [row] = await connection.query<{ version: string | null }>('SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()', 'asking');
      return row?.version ?? 'plain';
    });
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    return `${error.code}: ${error.message} [${error.hint ?? ''}]`;
  }
}

describe('the modes of TLS', () => {
  it('disable and allow begin in the clear, prefer begins with TLS, and each takes the other way only where it may', async () => {
    expect(await reach('postgres', '?sslmode=disable')).toBe('plain');
    expect(await reach('only_tls', '?sslmode=disable')).toContain('no pg_hba.conf entry');
    expect(await reach('postgres', '?sslmode=allow')).toBe('plain');
    expect(await reach('only_tls', '?sslmode=allow')).toBe('TLSv1.3');
    expect(await reach('postgres', '?sslmode=prefer')).toBe('TLSv1.3');
    expect(await reach('only_plain', '?sslmode=prefer')).toBe('plain');
    expect(await reach('nobody', '?sslmode=prefer')).toMatch(/no pg_hba.conf entry.*no encryption \(with TLS: no pg_hba.conf entry.*SSL encryption\)/);
    expect(await reach('only_plain', '?sslmode=require')).toContain('no pg_hba.conf entry');
    expect(await reach('postgres', '?sslmode=require&sslnegotiation=direct')).toBe('TLSv1.3');
  });

  it('a server without TLS is refused by require and taken by prefer', async () => {
    await using bare = await postgresOf(15);
    const target = (mode: string) => parseTarget(`${bare.url}?sslmode=${mode}`, undefined, {});
    await Connection.with(target('prefer'), async (connection) => void (await connection.query('SELECT 1', 'asking')));
    await expect(Connection.connect(target('require'))).rejects.toThrow('does not support SSL');
  });

  it('require with a root certificate, and verify-ca, check who signed; verify-full checks the name too', async () => {
    const [own, other] = [`&sslrootcert=${access.path('ca.pem')}`, `&sslrootcert=${access.path('other.pem')}`];
    expect(await reach('postgres', `?sslmode=require${own}`)).toBe('TLSv1.3');
    for (const mode of ['require', 'verify-ca', 'verify-full']) expect(await reach('postgres', `?sslmode=${mode}${other}`, {}, 'localhost')).toMatch(/(unable to|self-signed certificate).*\[Name the certificate of its authority/);
    expect(await reach('postgres', `?sslmode=verify-ca${own}`)).toBe('TLSv1.3');
    expect(await reach('postgres', `?sslmode=verify-full${own}`)).toContain('connect by a name that it carries');
    expect(await reach('postgres', `?sslmode=verify-full${own}`, {}, 'localhost')).toBe('TLSv1.3');
    expect(await reach('postgres', `?sslmode=verify-full&hostaddr=127.0.0.1${own}`, {}, 'localhost')).toBe('TLSv1.3');
    expect(await reach('postgres', `?sslmode=verify-ca${own}&sslcrl=${access.path('revoked.pem')}`)).toContain('has taken back the certificate');
  });

  it('without a root certificate a check is refused before anything is sent; the one of ~/.postgresql is found', async () => {
    expect(await reach('postgres', '?sslmode=verify-full')).toMatch(/^config: sslmode=verify-full needs the certificate.*sslrootcert=system/);
    expect(await reach('postgres', '?sslmode=require&sslrootcert=system')).toContain('too weak for sslrootcert=system');
    await mkdir(access.path('home/.postgresql'), { recursive: true });
    await copyFile(access.path('ca.pem'), access.path('home/.postgresql/root.crt'));
    expect(await reach('postgres', '?sslmode=verify-full', { HOME: access.path('home') }, 'localhost')).toBe('TLSv1.3');
    await copyFile(access.path('other.pem'), access.path('home/.postgresql/root.crt'));
    expect(await reach('postgres', '?sslmode=require', { HOME: access.path('home') }, 'localhost')).toContain('Name the certificate of its authority');
    expect(await reach('postgres', '?sslmode=prefer', { HOME: access.path('home') }, 'localhost')).toBe('plain');
  });

  it('a client certificate lets in, unless others may read its key', async () => {
    const files = `?sslmode=require&sslcert=${access.path('client.pem')}&sslkey=${access.path('client.key')}`;
    expect(await reach('keyholder', '?sslmode=require')).toContain('certificate');
    expect(await reach('keyholder', files)).toBe('TLSv1.3');
    await chmod(access.path('client.key'), 0o644);
    expect(await reach('keyholder', files)).toContain(`secret-exposed: The key ${access.path('client.key')} (sslkey) can be read by others: its mode is 0644. [Run: chmod 600`);
  });

  it('channel binding is used where it can be, and demanded when that is asked', async () => {
    const environment = { PGPASSWORD: PASSWORD };
    expect(await reach('secretive', '?sslmode=require', environment)).toBe('TLSv1.3');
    expect(await reach('secretive', '?sslmode=require&channel_binding=require', environment)).toBe('TLSv1.3');
    expect(await reach('secretive', '?sslmode=disable&channel_binding=require', environment)).toContain('does not bind the login to TLS');
    expect(await reach('only_tls', '?sslmode=require&channel_binding=require', environment)).toContain('does not bind the login to TLS');
  });
});

describe('passwords', () => {
  it('come from the password file, which is not used when others may read it; a missing or wrong one is told with where it could come from', async () => {
    await using place = await scratch('pgpass');
    const file = place.path('pgpass');
    const environment = { PGPASSFILE: file };
    expect(await reach('secretive', '', environment)).toMatch(/the server wants a password, and none is given: not in the configuration, not in PGPASSWORD, and there is no .*pgpass\. \[Add `password: env:NAME`/);
    await writeFile(file, `127.0.0.1:*:postgres:secretive:${String.raw`a\:b\\c`}\n`, { mode: 0o644 });
    expect(await reach('secretive', '', environment)).toContain(`${file} is not used, because others may read it (mode 0644). [Run: chmod 600 ${file}]`);
    await chmod(file, 0o600);
    expect(await reach('secretive', '', environment)).toBe('plain');
    expect(await reach('secretive', '', environment, 'localhost')).toContain(`${file} has no line for localhost:`);
    await writeFile(file, '# mine\n*:*:*:*:wrong\n');
    const refused = await reach('secretive', '', environment);
    expect(refused).toContain(`password authentication failed for user "secretive" [Check the password; it comes from ${file}:2.]`);
    expect(refused).not.toContain('wrong');
  });
});

describe('several hosts', () => {
  it('are tried in turn until one answers that is of the wanted kind', async () => {
    const { port } = new URL(server.url);
    const target = (kind: string) => parseTarget(`postgres://postgres@127.0.0.1:1,127.0.0.1:${port}/postgres?target_session_attrs=${kind}`, undefined, {});
    for (const kind of ['any', 'read-write', 'primary', 'prefer-standby']) {
      await using connection = await Connection.connect(target(kind));
      expect(connection.target).toMatchObject({ port: Number(port), others: undefined });
    }
    await expect(Connection.connect(target('standby'))).rejects.toThrow(/on any host\. 127\.0\.0\.1:1: .*ECONNREFUSED.*; 127\.0\.0\.1:\d+: the server answers, but it is not standby/);
    await using physical = await Connection.connect({ ...target('primary'), user: 'only_tls', tls: 'require' }, 'physical');
    expect(physical.target.port).toBe(Number(port));
  });
});

describe('a backup and a restore', () => {
  it('go over TLS with a full check, a service and a password file; and over a Unix socket', async () => {
    await using place = await scratch('service');
    const { port } = new URL(server.url);
    await writeFile(place.path('services'), `[zoo]\nhost=localhost\nport=${port}\ndbname=zoo\nuser=secretive\nsslmode=verify-full\nsslrootcert=${access.path('ca.pem')}\n`);
    await writeFile(place.path('passwords'), `localhost:${port}:*:secretive:${String.raw`a\:b\\c`}\n`, { mode: 0o600 });
    const content = await contentOf(server.database('zoo'));
    await using byTls = await databaseStack(['url: "postgres:///?service=zoo"'], { PGSERVICEFILE: place.path('services'), PGPASSFILE: place.path('passwords') });
    await byTls.holdfast('backup');
    await byTls.holdfast('restore', '--into', 'zoo_by_tls', 'db');
    expect(await contentOf(server.database('zoo_by_tls'))).toBe(content);

    const bySystem = [`url: "postgres://postgres@localhost:${port}/zoo?sslrootcert=system"`];
    await using trusting = await databaseStack(bySystem, { SSL_CERT_FILE: access.path('ca.pem') });
    await trusting.holdfast('backup');
    const stranger = await trusting.attempt(['backup'], { env: { SSL_CERT_FILE: access.path('other.pem') } });
    expect(stranger.stdout + stranger.stderr).toMatch(/certificate[\s\S]*sslrootcert=system trusts the authorities of this system/);

    const folder = (await psql(server.url, 'show unix_socket_directories')).trim();
    await using bySocket = await databaseStack([`url: "postgres://postgres@${encodeURIComponent(folder)}:${port}/zoo"`]);
    await bySocket.holdfast('backup');
    await bySocket.holdfast('restore', '--into', 'zoo_by_socket', 'db');
    expect(await contentOf(server.database('zoo_by_socket'))).toBe(content);
  });
});
