import { expect, it } from 'vitest';
import { formatInstant } from '../../src/policy/recovery-wish.ts';
import { embeddedPostgres } from '../fixture/postgres-server.ts';
import { commitsOf, covered, recoverRows, seeded, writeFor, type Commit } from '../fixture/recovery-stack.ts';
import { restlessServer } from '../fixture/restless-server.ts';
import { walStack } from '../fixture/wal-follower.ts';

/** Seconds that are written for. The table of the issue is one of 180. */
const SECONDS = Number(process.env['HOLDFAST_TABLE_SECONDS'] ?? 40);
const SEED = Number(process.env['HOLDFAST_TABLE_SEED'] ?? Date.now() % 1_000_000);

const SETTINGS = { track_commit_timestamp: 'on' };

/** Within quiet times, at the very time of commits, a microsecond beside, before the first and after the last. */
function targetsOf(commits: readonly Commit[], from: bigint, until: bigint, count: number, random: () => number): readonly bigint[] {
  const any = (): Commit => commits[Math.floor(random() * commits.length)] ?? { n: 0, us: from };
  const pauses = commits.flatMap(({ us }, i) => {
    const next = commits[i + 1]?.us ?? us;
    return next - us > 1_500_000n ? [us + (next - us) / 2n] : [];
  });
  const exact = [any(), any()].flatMap(({ us }) => [us - 1n, us, us + 1n]);
  const [first, last] = [commits[0]?.us ?? from, commits.at(-1)?.us ?? until];
  const special = [...exact, ...pauses.slice(0, 3), (from + first) / 2n, last, (last + until) / 2n];
  const drawn = Array.from({ length: Math.max(0, count - special.length) }, () => first + BigInt(Math.floor(random() * Number(last - first))));
  return [...special, ...drawn].slice(0, count);
}

it.each([
  { version: '15', start: async () => await restlessServer(SETTINGS), seconds: SECONDS, count: 20 },
  { version: '18', start: async () => await embeddedPostgres({ ...SETTINGS, wal_level: 'replica' }), seconds: SECONDS / 3, count: 8 },
])(`the table of seconds on PostgreSQL $version: each restore has exactly the commits up to its target (seed ${SEED})`, async ({ start, seconds, count }) => {
  const random = seeded(SEED);
  await using server = await start();
  await using stack = await walStack(server.url, 'flush: 1s');
  const follower = stack.follow();
  await follower.event(({ kind }) => kind === 'connected');
  const backup = async (): Promise<void> => expect((await stack.holdfast(['backup', 'db'])).code).toBe(0);
  await writeFor(server.url, 0.2, random);
  await backup();
  const from = BigInt(Date.now()) * 1000n;
  await writeFor(server.url, seconds / 2, random);
  await Promise.all([backup(), writeFor(server.url, seconds / 2, random)]);
  await covered(stack, follower, server.url);
  const until = BigInt(Date.now()) * 1000n - 1_000_000n;
  const all = await commitsOf(server.url);
  const commits = all.filter(({ us }) => us > from);
  const snapshots = new Set<string>();
  for (const [i, us] of targetsOf(commits, from, until, count, random).entries()) {
    const what = `target ${formatInstant(us)} (${us})`;
    // Reading all tables and indexes takes as long as the rest; some are enough.
    const { rows, lastUs, proof, snapshot } = await recoverRows(stack, formatInstant(us), ...(i % 7 === 0 ? [] : ['--no-amcheck']));
    const expected = all.filter((commit) => commit.us <= us);
    expect(rows, what).toEqual(expected.map(({ n }) => n));
    // The server's own housekeeping ends transactions, too.
    if (lastUs !== undefined) expect([lastUs >= (expected.at(-1)?.us ?? 0n) || lastUs < from, lastUs <= us], what).toEqual([true, true]);
    if (i % 7 === 0) expect(proof.some(({ subject, equal }) => subject.startsWith('amcheck') && equal), what).toBe(true);
    snapshots.add(snapshot);
  }
  // Both base backups were of use.
  expect(snapshots.size).toBe(2);
  await follower.kill();
});
