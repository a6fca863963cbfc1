import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createDemoDatabase } from '../../src/cli/demo/database.ts';
import { debianPostgres } from '../fixture/postgres-server.ts';
import { expectCalm } from '../fixture/clear-error.ts';
import { fillHardTree } from '../fixture/hard-tree.ts';
import { directoryStack, HOLDFAST, PASSWORD, type TestStack } from '../fixture/holdfast.ts';
import { run, runAnyway, type RunResult } from '../fixture/run.ts';
import { scratch } from '../fixture/scratch.ts';

interface Verified {
  readonly proven: boolean;
  readonly snapshots: readonly { readonly state: string; readonly recorded?: boolean; readonly problems?: readonly { readonly subject: string; readonly message: string }[]; readonly counts: Readonly<Record<string, number>> }[];
}

const json = ({ stdout }: { readonly stdout: string }): Verified => JSON.parse(stdout) as Verified;

/** Pack files, largest first. */
async function packs(stack: TestStack): Promise<readonly string[]> {
  const names = (await readdir(stack.path('repository/data'), { recursive: true })).filter((name) => /\/[0-9a-f]{64}$/.test(name)).map((name) => stack.path('repository/data', name));
  const sized = await Promise.all(names.map(async (name) => ({ name, size: (await stat(name)).size })));
  return sized.sort((a, b) => b.size - a.size).map(({ name }) => name);
}

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await chmod(file, 0o600);
  await writeFile(file, bytes);
}

describe('verify, of a directory', () => {
  it('proves a hard tree, and records it for snapshots', async () => {
    await using stack = await directoryStack();
    await fillHardTree(stack.path('files'));
    await stack.holdfast('backup');
    expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toMatchObject([{ state: 'ok' }]);
    expect(json(await stack.holdfast('verify', '--json'))).toMatchObject({ proven: true, snapshots: [{ state: 'proven', recorded: true, problems: [] }] });
    expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toMatchObject([{ state: 'ok', verified: expect.stringMatching(/^20/), proof: { state: 'proven' } }]);
    expect((await stack.holdfast('verify', '--all-unverified')).stdout).toContain('all snapshots are proven');
    await stack.restic('check', '--read-data');
  });

  it('names the files that are lost, counts against the snapshot, and is mended by the next proof', async () => {
    await using stack = await directoryStack();
    // So that the largest pack is one of data.
    await writeFile(stack.path('files/large'), randomBytes(50_000));
    await stack.holdfast('backup');
    const [data = ''] = await packs(stack);
    await flip(data, 20_000);
    const failed = await stack.attempt(['verify']);
    expect(failed.code).toBe(4);
    expectCalm(failed);
    expect(failed.stdout).toMatch(/would not restore to the same content; 1 difference:\n {2}\/.*\/files\/large: cannot be read: blob/);
    expect(JSON.parse((await stack.holdfast('snapshots', '--json')).stdout)).toMatchObject([{ state: 'failed', proof: { state: 'failed' } }]);
    // A store whose newest snapshot failed is left alone.
    await stack.holdfast('backup');
    await stack.attempt(['verify']);
    expect((await stack.holdfast('forget', '--keep-last', '1', '--yes')).stdout).toContain('left alone: nothing is dropped, because the newest snapshot');
    await flip(data, 20_000);
    expect((await stack.holdfast('verify', '--all-unverified')).stdout).toContain('2 snapshots proven');
    expect((await stack.holdfast('forget', '--keep-last', '1', '--yes')).stdout).toContain('dropped 1 snapshot and 2 proofs');
  });

  it('finds what hashes cannot know: a file that the manifest counts and the snapshot lacks', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await stack.restic('restore', 'latest', '--target', stack.path('out'));
    await rm(stack.path('out', stack.path('files/one.txt')));
    const top = stack.folder.split('/')[1] ?? '';
    await run('restic', ['--repo', stack.path('repository'), '--password-file', stack.path('password'), '--no-cache', 'backup', top, 'manifest.json', '--tag', 'stack:test', '--tag', 'store:files', '--tag', 'state:ok'], { cwd: stack.path('out') });
    const result = await stack.attempt(['verify', 'files', '--json']);
    expect(result.code).toBe(4);
    expect(json(result).snapshots[0]?.problems).toEqual([{ subject: 'counts', message: expect.stringMatching(/^1 files instead of 2, .* bytes instead of/) }]);
  });

  it('answers, but cannot record, where the repository is read-only', async () => {
    await using stack = await directoryStack();
    await stack.holdfast('backup');
    await run('mount', ['--bind', stack.path('repository'), stack.path('repository')]);
    try {
      await run('mount', ['-o', 'remount,bind,ro', stack.path('repository')]);
      const answer = await stack.attempt(['verify', '--json']);
      expect(answer.code).toBe(0);
      expect(json(answer).snapshots).toMatchObject([{ state: 'proven', recorded: false }]);
      expect((await stack.holdfast('verify')).stdout).toContain('the result could not be recorded');
    } finally {
      await run('umount', [stack.path('repository')]);
    }
  });

  it('finds packs that are missing or cut, and proves what restic wrote', async () => {
    await using stack = await directoryStack();
    await stack.restic('backup', stack.path('files'));
    const [snapshot] = JSON.parse((await stack.restic('snapshots', '--json')).stdout) as { id: string }[];
    expect((await stack.holdfast('verify', snapshot?.id.slice(0, 8) ?? '')).stdout).toContain('it has no manifest');
    const [data = ''] = await packs(stack);
    await chmod(data, 0o600);
    await truncate(data, 50);
    expect((await stack.attempt(['verify', 'latest'])).code).toBe(4);
    await rm(data);
    expect((await stack.attempt(['verify', 'latest'])).code).toBe(4);
  });
});

describe('verify, of a database', () => {
  it('counts every row again, and finds one that differs', async () => {
    await using server = await debianPostgres();
    const { url } = await createDemoDatabase(server.url);
    await run('psql', ['-XAtq', url], { input: "select lo_from_bytea(0, decode(repeat('abcdef0123', 200000), 'hex'));" });
    await using place = await scratch('verify');
    await writeFile(place.path('password'), PASSWORD, { mode: 0o600 });
    const holdfast = (...args: readonly string[]): Promise<RunResult> => runAnyway(HOLDFAST, args, { cwd: place.folder });
    await holdfast('init', '--stack', 'test', '--postgres', url, '--repository', 'repository', '--password-file', 'password');
    await holdfast('backup');
    const proven = json(await holdfast('verify', '--json'));
    expect(proven.snapshots).toMatchObject([{ state: 'proven', problems: [] }]);
    expect(proven.snapshots[0]?.counts['rows']).toBeGreaterThan(1000);

    // The same snapshot with one digit of one row changed, and one large object, stored by another program with right hashes.
    const restic = (...args: readonly string[]): Promise<RunResult> => run('restic', ['--repo', place.path('repository'), '--password-file', place.path('password'), '--no-cache', ...args], { cwd: place.path('out') });
    await mkdir(place.path('out'));
    await restic('restore', 'latest', '--target', '.');
    const store = (await readdir(place.path('out'))).find((name) => name !== 'manifest.json') ?? '';
    const folder = (await readdir(place.path('out', store), { withFileTypes: true })).find((entry) => entry.isDirectory())?.name ?? '';
    const data = place.path('out', store, folder, 'data');
    const table = (await Promise.all((await readdir(data)).map(async (name) => ({ name, size: (await stat(join(data, name))).size })))).sort((a, b) => b.size - a.size)[0]?.name ?? '';
    const rows = await readFile(join(data, table));
    const digit = rows.findIndex((byte, at) => at > 1000 && byte >= 0x30 && byte < 0x39);
    rows[digit] = (rows[digit] ?? 0) + 1;
    await writeFile(join(data, table), rows);
    const objects = place.path('out', store, folder, 'large-objects.sql');
    await writeFile(objects, (await readFile(objects, 'latin1')).replace('abcdef0123', 'abcdef0124'), 'latin1');
    await restic('backup', store, 'manifest.json', '--tag', 'stack:test', '--tag', `store:${store}`, '--tag', 'state:ok');
    const failed = await holdfast('verify', '--json');
    expect(failed.code).toBe(4);
    const [schema = '', name = ''] = table.split('.');
    expect(json(failed).snapshots[0]?.problems).toEqual(expect.arrayContaining([
      { subject: `${schema}.${name}`, message: expect.stringContaining('but the fingerprint of their content differs') }, { subject: 'large objects', message: expect.stringMatching(/^of other content: \d+$/) },
    ]));
    expect(json(failed).snapshots[0]?.problems).toHaveLength(2);
  });
});
