import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from './config.ts';
import { TIERS, type Stack, type Store } from './stack.ts';
import { planConfig, renderConfig } from './write-config.ts';

const FOLDER = '/srv/tempo';

describe('planConfig', () => {
  it('names stores after databases and folders, each once', () => {
    const stack = planConfig({
      folder: FOLDER,
      postgres: ['postgresql://db/tempo', 'postgresql://other/tempo?sslmode=require', 'postgresql://db', 'postgresql://db/caf%C3%A9%20bar'],
      directories: ['photos', '/data/photos', '../tempo', '.'],
      repository: 'backup',
    });
    expect(stack.stores.map(({ name }) => name)).toEqual(['tempo', 'tempo-2', 'database', 'café-bar', 'photos', 'photos-2', 'tempo-3', 'tempo-4']);
    expect(stack.name).toBe('tempo');
    expect(stack.repositories).toEqual([{ name: 'local', place: { kind: 'local', path: '/srv/tempo/backup' }, password: { from: 'env', name: 'HOLDFAST_PASSWORD' }, cache: true }]);
  });

  it('refuses a URL with a password without repeating it', () => {
    const plan = (url: string) => () => planConfig({ folder: FOLDER, postgres: [url], directories: [], repository: 'r' });
    expect(plan('postgresql://a:hunter2@db/x')).toThrow(expect.objectContaining({ code: 'secret-exposed' }));
    expect(plan('postgresql://a:hunter2@db/x')).not.toThrow('hunter2');
    expect(plan('mysql://db/x')).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

describe('renderConfig', () => {
  it('writes what a person would', () => {
    const stack = planConfig({
      folder: FOLDER,
      stack: 'tempo-insights',
      postgres: ['postgresql://tempo@localhost/tempo'],
      directories: ['jump-logs'],
      repository: '/backup/tempo',
      passwordFile: 'holdfast.password',
    });
    expect(renderConfig(stack)).toMatchInlineSnapshot(`
      "# What Holdfast protects, and where it keeps the copies.
      # Paths are relative to this file. Secrets never stand here, only where to find them:
      # env:NAME, file:PATH, exec:COMMAND, and for databases pgpass (the file ~/.pgpass).

      stack: tempo-insights

      # Everything that holds state. Tiers: critical, important, rebuildable, temporary.
      stores:
        tempo:
          postgres:
            url: postgresql://tempo@localhost/tempo
            globals: true # roles, and what else belongs to the whole server
          tier: critical
        jump-logs:
          directory: ./jump-logs
          tier: important

      # Where snapshots are kept, in the format of restic. Without its password a repository is lost: keep a copy elsewhere.
      repositories:
        local:
          path: /backup/tempo
          password: file:./holdfast.password
      "
    `);
  });

  it('reads back as the same stack, whatever names and paths are in it', () => {
    const name = fc.stringMatching(/^[a-zé0-9][a-z0-9._-]{0,12}$/);
    const path = fc.array(fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' }).filter((part) => !/[/\0]|^\.{1,2}$/.test(part)), { maxLength: 3 });
    const absolute = fc.tuple(fc.constantFrom(FOLDER, '/data'), path).map(([base, parts]) => [base, ...parts].join('/'));
    const duration = fc.nat(1e9);
    const common = {
      tier: fc.constantFrom(...TIERS),
      backup: fc.constant(true),
      owner: fc.constantFrom('1000:1000', 'ada', 'ada:staff', '0'),
      mode: fc.nat(0o7777).map((mode) => mode | 0o100),
      objective: fc.record({ rpoMs: duration, rtoMs: duration }, { requiredKeys: [] }),
    };
    const optional: { requiredKeys: ('tier' | 'backup')[] } = { requiredKeys: ['tier', 'backup'] };
    const password = fc.oneof(
      fc.record({ from: fc.constant('file' as const), path: absolute }),
      fc.record({ from: fc.constant('exec' as const), command: fc.string({ minLength: 1, unit: 'grapheme' }), folder: fc.constant(FOLDER) }),
    );
    const directory = fc.record({ kind: fc.constant('directory' as const), path: absolute, exclude: fc.array(fc.string({ minLength: 1, unit: 'grapheme' }), { maxLength: 2 }) });
    const postgres = fc.record(
      { kind: fc.constant('postgres' as const), url: fc.constant('postgresql://a@b/c#d'), password, databases: fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), globals: fc.boolean() },
      { requiredKeys: ['kind', 'url', 'globals'] },
    );
    const stores = fc.dictionary(name, fc.tuple(fc.record(common, optional), fc.oneof(directory, postgres)), { maxKeys: 4 }).map((byName) =>
      // JavaScript sorts keys that look like numbers to the front, so the order of such names is not kept.
      Object.entries(byName).map(([key, [shared, kind]]): Store => ({ name: key, ...shared, ...kind })),
    );
    const s3 = fc.record(
      {
        kind: fc.constant('s3' as const), bucket: fc.constant('back.ups'), prefix: fc.constantFrom('', 'a/b'), endpoint: fc.constant('https://host:9000'), region: fc.constant('eu-1'),
        addressing: fc.constantFrom('path' as const, 'virtual' as const), credentials: fc.record({ accessKey: password, secretKey: password }), caFile: absolute, storageClass: fc.constant('STANDARD_IA'),
        objectLock: fc.record({ days: fc.integer({ min: 1, max: 999 }), mode: fc.constantFrom('governance' as const, 'compliance' as const) }),
      },
      { requiredKeys: ['kind', 'bucket', 'prefix'] },
    );
    const sftp = fc.record(
      { kind: fc.constant('sftp' as const), host: fc.constantFrom('nas', '::1'), path: absolute, port: fc.integer({ min: 1, max: 65_535 }), user: fc.constant('ada'), identityFile: absolute, passphrase: password, password, knownHostsFile: absolute, configFile: absolute },
      { requiredKeys: ['kind', 'host', 'path'] },
    );
    const place = fc.oneof(fc.record({ kind: fc.constant('local' as const), path: absolute }), s3, sftp);
    const limit = fc.record({ up: fc.integer({ min: 1, max: 1e9 }), down: fc.integer({ min: 1, max: 1e9 }), requests: fc.integer({ min: 1, max: 99 }) }, { requiredKeys: ['up'] });
    const repository = fc.record({ name, place, password, limit, cache: fc.boolean() }, { requiredKeys: ['name', 'place', 'password', 'cache'] });
    const count = fc.oneof(fc.integer({ min: 1, max: 99 }), fc.constant(Number.POSITIVE_INFINITY));
    const span = fc.record({ years: fc.nat(9), months: fc.nat(99), days: fc.nat(999), hours: fc.integer({ min: 1, max: 99 }) });
    const tags = fc.array(fc.array(fc.stringMatching(/^[a-z:" ]{1,5}$/), { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 2 });
    const keep = fc.record({ last: count, daily: count, yearly: count, within: span, withinHourly: span, tags }, { requiredKeys: ['last'] });
    const withPlans = (bare: Stack): fc.Arbitrary<Stack> => {
      const names = bare.stores.map((store) => store.name);
      const chosen = names.length === 0 ? fc.constant('all' as const) : fc.oneof(fc.constant('all' as const), fc.subarray(names, { minLength: 1 }));
      const plan = fc.record({ name: fc.constantFrom('daily', 'week.ly'), cron: fc.constantFrom('0 2 * * *', '@daily'), stores: chosen, to: fc.constant(bare.repositories.map((one) => one.name)), keep }, { requiredKeys: ['name', 'stores', 'to'] });
      return fc.option(fc.uniqueArray(plan, { selector: (one) => one.name, minLength: 1, maxLength: 2 }), { nil: undefined }).map((plans) => (plans ? { ...bare, plans } : bare));
    };
    const stack: fc.Arbitrary<Stack> = fc.record({ name, folder: fc.constant(FOLDER), stores, repositories: repository.map((one) => [one]) }).chain(withPlans);
    fc.assert(
      fc.property(stack, (value) => {
        expect(parseConfig(renderConfig(value), `${FOLDER}/holdfast.yaml`)).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });
});
