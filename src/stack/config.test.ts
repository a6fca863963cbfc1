import { homedir } from 'node:os';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { configJsonSchema, parseConfig, readConfig } from './config.ts';
import { choosePlan, chooseRepository, chooseStores, findConfig } from './stack.ts';

const GOOD = `
stack: tempo
stores:
  logbook:
    postgres: { url: postgresql://tempo@db.internal:5433/tempo, password: env:PGPASSWORD, databases: [tempo, "tempo_*"] }
    tier: critical
    objective: { rpo: 1h, rto: 30m }
  photos: { directory: photos, exclude: ["*.tmp"], owner: "1000:1000", mode: "0750" }
  cache: { directory: /var/cache/tempo, backup: false, because: rebuilt by running }
repositories:
  local: { path: ../backup, password: file:secret }
  offsite:
    s3: { bucket: tempo, prefix: /a/b/, endpoint: "https://s3.example:9000/", credentials: { access-key: env:KEY, secret-key: file:s3 }, object-lock: { days: 30 } }
    password: env:P
    limit: { up: 1.5M, requests: 20 }
  nas: { sftp: { host: nas, path: backup, identity: ~/.ssh/backup }, password: env:P, cache: false }
`;

const parse = (text: string): unknown => parseConfig(text, '/srv/tempo/holdfast.yaml');

function problem(text: string): HoldfastError {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

const withStore = (store: string): string => `stack: s\nstores:\n  photos: ${store}\nrepositories:\n  r: { path: p, password: env:P }\n`;

describe('a good holdfast.yaml', () => {
  it('becomes a stack with absolute paths, numbers and references', () => {
    expect(parse(GOOD)).toEqual({
      name: 'tempo',
      folder: '/srv/tempo',
      stores: [
        {
          name: 'logbook',
          kind: 'postgres',
          tier: 'critical',
          backup: true,
          objective: { rpoMs: 3_600_000, rtoMs: 1_800_000 },
          url: 'postgresql://tempo@db.internal:5433/tempo',
          password: { from: 'env', name: 'PGPASSWORD' },
          databases: ['tempo', 'tempo_*'],
          globals: true,
        },
        { name: 'photos', kind: 'directory', tier: 'important', backup: true, owner: '1000:1000', mode: 0o750, path: '/srv/tempo/photos', exclude: ['*.tmp'] },
        { name: 'cache', kind: 'directory', tier: 'important', backup: false, because: 'rebuilt by running', path: '/var/cache/tempo', exclude: [] },
      ],
      repositories: [
        { name: 'local', place: { kind: 'local', path: '/srv/backup' }, password: { from: 'file', path: '/srv/tempo/secret' }, cache: true },
        {
          name: 'offsite', password: { from: 'env', name: 'P' }, cache: true, limit: { up: 1_500_000, requests: 20 },
          place: {
            kind: 's3', bucket: 'tempo', prefix: 'a/b', endpoint: 'https://s3.example:9000', objectLock: { days: 30, mode: 'compliance' },
            credentials: { accessKey: { from: 'env', name: 'KEY' }, secretKey: { from: 'file', path: '/srv/tempo/s3' } },
          },
        },
        { name: 'nas', place: { kind: 'sftp', host: 'nas', path: 'backup', identityFile: `${homedir()}/.ssh/backup` }, password: { from: 'env', name: 'P' }, cache: false },
      ],
    });
  });

  it('gives editors a JSON schema', () => {
    expect(configJsonSchema()).toMatchObject({ type: 'object', required: ['stack', 'stores', 'repositories'], additionalProperties: false });
  });

  it('lets stores and repositories be chosen by name', () => {
    const stack = parseConfig(GOOD, '/srv/tempo/holdfast.yaml');
    expect(chooseStores(stack, []).map(({ name }) => name)).toEqual(['logbook', 'photos']);
    expect(chooseStores(stack, ['cache']).map(({ name }) => name)).toEqual(['cache']);
    expect(() => chooseStores(stack, ['fotos'])).toThrow('no store "fotos"; did you mean "photos"?');
    expect(chooseRepository(stack).name).toBe('local');
    expect(() => chooseRepository(stack, 'lokal')).toThrow('no repository "lokal"; did you mean "local"?');
  });
});

describe('a bad holdfast.yaml', () => {
  it('gets a misspelt key pointed out, with line, column and what was meant', () => {
    const error = problem(withStore('\n    drectory: ./photos'));
    expect(error).toMatchObject({ code: 'config', exitCode: 2 });
    expect(error.message).toContain('holdfast.yaml:4:5 stores.photos: unknown key "drectory"; did you mean "directory"?');
  });

  it('gets all its problems told at once, in the order of the file', () => {
    const { message } = problem('stack: s\nstores:\n  a: { directory: 5 }\n  b: { directory: x, tier: criticle }\nrepository: {}\n');
    expect(message.split('\n')).toEqual([
      'holdfast.yaml:1:1 repositories: is missing',
      'holdfast.yaml:3:19 stores.a.directory: must be text (a number or true and false as text stand in quotes)',
      'holdfast.yaml:4:28 stores.b.tier: must be one of: critical, important, rebuildable, temporary; did you mean "critical"?',
      'holdfast.yaml:5:1 unknown key "repository"; did you mean "repositories"?',
    ]);
  });

  it('hears that a key of the design is not supported yet', () => {
    expect(problem(withStore('{ volume: photos }')).message).toContain('3:13 stores.photos: "volume" is not supported by this version');
    expect(problem(`${withStore('{ directory: x }')}drill: {}\n`).message).toContain('6:1 "drill" is not supported by this version');
  });

  it('must say what a store is, and why one is left out', () => {
    expect(problem(withStore('{ tier: critical }')).message).toContain('stores.photos: must say what it is');
    expect(problem(withStore('{ directory: x, postgres: { url: postgresql:///x } }')).message).toContain('exactly one of');
    expect(problem(withStore('{ directory: x, backup: false }')).message).toContain('add `because: …`');
    expect(problem(withStore('{ postgres: { url: postgresql:///x }, exclude: [a] }')).message).toContain('stores.photos.exclude: is for directories only');
  });

  it('gets the place of an error of YAML, without the line itself', () => {
    const { message, code } = problem('stack: s\npassword: "hunter2\nstores: {}\n');
    expect(code).toBe('config');
    expect(message).toMatch(/^holdfast\.yaml:\d+:\d+ /);
    expect(message).not.toContain('hunter2');
    expect(problem('stack: a\nstack: b\n').message).toContain('holdfast.yaml:2:1 ');
    expect(problem('').message).toContain('holdfast.yaml:1:1 stack: is missing');
    expect(problem('stack: s\nstores:\nrepositories: {}\n').message).toContain('stores: is empty');
    const repository = (entry: string): string => problem(`stack: s\nstores: {}\nrepositories:\n  r: ${entry}\n`).message;
    expect(repository('{ password: env:P }')).toContain('holdfast.yaml:4:6 repositories.r: must say where it is, with exactly one of: path, s3, sftp');
    expect(repository('{ path: "s3:host/bucket", password: env:P }')).toContain('repositories.r.path: is a folder of this host');
    expect(repository('{ s3: { bucket: b2, endpoint: host:9000 }, password: env:P }')).toContain('repositories.r.s3.endpoint: must be like https://host:port');
    expect(repository('{ sftp: { host: nas, path: x, identityfile: y }, password: env:P }')).toContain('unknown key "identityfile"; did you mean "identity"?');
    expect(repository('{ path: p, password: env:P, limit: { up: fast } }')).toContain('must be bytes a second like 500K or 10M');
  });

  it.each([
    'postgresql://ada:hunter2@db/tempo',
    'postgresql://ada:hunter2@one,two/tempo',
    'postgresql://ada@db/tempo?sslmode=require&password=hunter2',
    'postgresql://ada:1/hunter2@db/tempo',
  ])('is refused when a URL holds a password, which is not repeated', (url) => {
    const error = problem(withStore(`{ postgres: { url: "${url}" } }`));
    expect(error.code).toBe('secret-exposed');
    expect(error.message).toContain('3:30 stores.photos.postgres.url: holds a password');
    expect(`${error.message} ${error.hint ?? ''}`).not.toContain('hunter2');
  });

  it('is refused when the secret itself stands in place of a reference', () => {
    const error = problem('stack: s\nstores: {}\nrepositories:\n  r: { path: p, password: hunter2 }\n');
    expect(error.code).toBe('secret-exposed');
    expect(error.message).not.toContain('hunter2');
    expect(problem('stack: s\nstores: {}\nrepositories:\n  r: { path: p, password: pgpass }\n').message).toContain('cannot be pgpass');
    const keys = problem('stack: s\nstores: {}\nrepositories:\n  r:\n    s3: { bucket: tempo, credentials: { access-key: AKIA, secret-key: hunter2 } }\n    password: env:P\n');
    expect(keys.message).toContain('holdfast.yaml:5:');
    expect(keys.message).not.toContain('hunter2');
  });

  it.each([
    'postgresql:///tempo',
    'postgres://postgres@%2Frun%2Fpostgres/tempo',
    'postgres://db:5432/tempo?application_name=a@b',
    'postgresql://u@one:1,two:2/tempo',
    'postgresql:///t?host=/run/postgresql',
  ])(
    'is content with a URL like %s',
    (url) => {
      expect(parse(withStore(`{ postgres: { url: "${url}" } }`))).toBeDefined();
    },
  );
});

describe('plans', () => {
  const withPlan = (plan: string): string => `${withStore('{ directory: x }')}plans:\n  daily: ${plan}\n`;

  it('say what is backed up when, to where, and what is kept', () => {
    const stack = parseConfig(withPlan('{ cron: "0 2 * * 1-5", stores: all, to: [r], keep: { last: 3, daily: 7, yearly: all, within: 1y2m3d4h, within-daily: 30d, tags: [forever, "a,b"] } }'), '/srv/holdfast.yaml');
    const keep = {
      last: 3, daily: 7, yearly: Number.POSITIVE_INFINITY, within: { years: 1, months: 2, days: 3, hours: 4 }, withinDaily: { years: 0, months: 0, days: 30, hours: 0 }, tags: [['forever'], ['a', 'b']],
    };
    expect(stack.plans).toEqual([{ name: 'daily', cron: '0 2 * * 1-5', stores: 'all', to: ['r'], keep }]);
    expect(choosePlan(stack, 'daily').to).toEqual(['r']);
    expect(() => choosePlan(stack, 'dayly')).toThrow('no plan "dayly"; did you mean "daily"?');
    for (const cron of ['@daily', '*/5 * * * *', '0 0 1 jan mon']) expect(parse(withPlan(`{ cron: "${cron}", to: [r] }`))).toBeDefined();
  });

  it.each([
    ['{ stores: [photo], to: [r] }', '7:21 plans.daily.stores.0: there is no store "photo"; did you mean "photos"?'],
    ['{ to: [elsewhere] }', '7:17 plans.daily.to.0: there is no repository "elsewhere"; there are: r'],
    ['{ to: [r], keep: { dayly: 7 } }', '7:29 plans.daily.keep: unknown key "dayly"; did you mean "daily"?'],
    ['{ to: [r], keep: { daily: -1 } }', '7:36 plans.daily.keep.daily: must be a number from 1, or all'],
    ['{ to: [r], keep: { within: 7 days } }', 'plans.daily.keep.within: must be a length of time like 30d, 12h or 1y6m'],
    ['{ to: [r], keep: {} }', 'plans.daily.keep: must say what to keep'],
    ['{ cron: "2 o\'clock", to: [r] }', 'plans.daily.cron: must be five fields'],
    ['{ to: r }', 'plans.daily.to: must be a list'],
    ['{ stores: none, to: [r] }', 'plans.daily.stores: must be all, or a list of stores'],
  ])('like %s are refused where they are wrong', (plan, says) => {
    expect(problem(withPlan(plan)).message).toContain(says);
  });
});

describe('findConfig', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-config-'));
    await mkdir(join(folder, 'a/b'), { recursive: true });
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('finds the file in the folder or above it', async () => {
    await expect(findConfig(join(folder, 'a/b'))).rejects.toMatchObject({ code: 'no-config', exitCode: 2 });
    await writeFile(join(folder, 'holdfast.yaml'), GOOD);
    expect(await findConfig(join(folder, 'a/b'))).toBe(join(folder, 'holdfast.yaml'));
    expect((await readConfig(join(folder, 'holdfast.yaml'))).folder).toBe(folder);
    await expect(readConfig(join(folder, 'a/holdfast.yaml'))).rejects.toMatchObject({ code: 'no-config' });
  });
});
