import { describe, expect, it } from 'vitest';
import { changeOnePercent, createDemoDatabase } from '../../src/cli/demo/database.ts';
import { debianPostgres, embeddedPostgres, type TestServer } from '../fixture/postgres-server.ts';
import { run } from '../fixture/run.ts';

/** Rows and a fingerprint over all rows of every table, whatever their order. */
async function fingerprints(url: string): Promise<string> {
  const sql = `select format('select %L, count(*), sum(hashtextextended(t::text, 0)::numeric) from %s t', oid::regclass, oid::regclass)
    from pg_class where relkind in ('r', 'm') and relnamespace::regnamespace::text !~ '^(pg_|information_schema)' order by relnamespace::regnamespace::text, relname \\gexec`;
  const { stdout } = await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', url], { input: sql });
  return stdout;
}

const filled = new Map<string, string>();

describe.each([
  { version: '15', start: debianPostgres },
  { version: '18', start: embeddedPostgres },
])('the demo database on PostgreSQL $version', ({ version, start }) => {
  it('is at least 150 MB large, and its change is about one per cent', async () => {
    await using server: TestServer = await start();
    expect(server.version.split('.')[0]).toBe(version);
    const { url, bytes } = await createDemoDatabase(server.url);
    expect(bytes).toBeGreaterThan(150e6);
    const before = await fingerprints(url);
    filled.set(version, before);
    await changeOnePercent(url);
    const changed = (await fingerprints(url)).split('\n').filter((line) => !before.includes(line));
    expect(changed.map((line) => line.split('|')[0] ?? '').toSorted()).toEqual([
      'audit.changes',
      'logbook.jump_points_2026_09',
      'logbook.jump_points_2026_10',
      'logbook.jumps',
      'logbook.season_totals',
      'logbook.sessions',
      'logbook.users',
    ]);
  });
});

describe('the demo database', () => {
  it('holds the same rows on every version', () => {
    expect(filled.get('15')).toBe(filled.get('18'));
    expect(filled.get('15')?.split('\n').length).toBeGreaterThan(30);
  });
});
