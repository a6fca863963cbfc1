import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { debianPostgres } from '../fixture/postgres-server.ts';
import { HOLDFAST, PASSWORD } from '../fixture/holdfast.ts';
import { attributesBelow, exactListing } from '../fixture/odd-tree.ts';
import { run, type RunResult } from '../fixture/run.ts';
import { scratch, type Scratch } from '../fixture/scratch.ts';
import { fingerprintOf } from '../fixture/row-fingerprint.ts';

interface TableAccount {
  readonly schema: string;
  readonly name: string;
  readonly file: string;
  readonly rows: number;
  readonly fingerprint: string;
  /** Of a large table: its files. */
  readonly pieces?: readonly { readonly file: string }[];
}

interface Manifest {
  readonly content: { readonly moment: string; readonly consistency: string; readonly detail: { readonly databases: readonly { readonly folder: string; readonly tables: readonly TableAccount[] }[] } };
}

async function sql(url: string, text: string): Promise<string> {
  return (await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', url], { input: text })).stdout.trim();
}

/** The rows of a table as COPY writes them, sorted: equal for equal contents. */
async function sortedRows(copy: string): Promise<string> {
  return (await run('sh', ['-c', `(${copy}) | LC_ALL=C sort | sha256sum`])).stdout;
}

async function schema(url: string): Promise<string> {
  return (await run('pg_dump', ['--schema-only', url])).stdout.split('\n').filter((line) => !/^\\(un)?restrict /.test(line)).join('\n');
}

/** pgbench adds the same amount to an account, a teller, a branch and the history in every transaction. */
async function expectBalanced(url: string): Promise<void> {
  const sums = `select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history)`;
  const balances = (await sql(url, sums)).split('|');
  expect(new Set(balances).size).toBe(1);
  expect(Number(await sql(url, 'select count(*) from pgbench_history'))).toBeGreaterThan(100);
}

/** Every table there is what the manifest says and what the snapshot holds, byte for byte, apart from the order of rows. */
async function expectEqualToSnapshot(place: Scratch, manifest: Manifest, url: string): Promise<void> {
  const [database] = manifest.content.detail.databases;
  expect(database?.tables.map(({ name }) => name).toSorted()).toEqual(['pgbench_accounts', 'pgbench_branches', 'pgbench_history', 'pgbench_tellers']);
  for (const { schema: of, name, file, rows, fingerprint, pieces } of database?.tables ?? []) {
    expect(`${name} ${await sql(url, `select count(*) from ${of}.${name}`)}`).toBe(`${name} ${rows}`);
    const stored = (pieces ?? [{ file }]).map((piece) => `'${HOLDFAST}' -C '${place.folder}' cat file bench '/bench/${database?.folder ?? ''}/data/${piece.file}'`).join(' && ');
    const there = await sortedRows(`psql -XAtq -c 'copy ${of}.${name} to stdout' '${url}'`);
    expect(`${name} ${there}`).toBe(`${name} ${await sortedRows(stored)}`);
    // The fingerprint itself, computed by other code; of the table of millions that would take minutes.
    if (rows < 100_000) expect(`${name} ${fingerprintOf((await run('psql', ['-XAtqc', `copy ${of}.${name} to stdout`, url])).stdout)}`).toBe(`${name} ${fingerprint}`);
  }
}

async function makeFolder(place: Scratch): Promise<void> {
  await run('cp', ['-a', '/usr/share/perl5', place.path('files')]);
  await mkdir(place.path('files/owned'), { mode: 0o2750 });
  await writeFile(place.path('files/owned/key'), 'secret', { mode: 0o600 });
  await chown(place.path('files/owned/key'), 12345, 54321);
}

it('a stack of a busy database and a folder is backed up, destroyed, restored and proven; by hand too', async () => {
  await using server = await debianPostgres();
  await sql(server.url, 'create database bench');
  const url = server.database('bench');
  await run('pgbench', ['-i', '-q', '-s', '20', url]);
  await using place = await scratch('stack');
  const holdfast = (...args: readonly string[]): Promise<RunResult> => run(HOLDFAST, args, { cwd: place.folder });
  await writeFile(place.path('password'), PASSWORD, { mode: 0o600 });
  await makeFolder(place);
  await holdfast('init', '--stack', 'shop', '--postgres', url, '--directory', 'files', '--repository', 'repository', '--password-file', 'password');

  const load = spawn('pgbench', ['-n', '-c', '2', '-T', '600', url], { stdio: 'ignore' });
  const ended = once(load, 'exit');
  try {
    await wait(1500);
    const report: unknown = JSON.parse((await holdfast('backup', '--json')).stdout);
    expect(report).toMatchObject({ state: 'ok', stores: [{ kind: 'postgres', state: 'ok' }, { kind: 'directory', state: 'ok' }] });
  } finally {
    load.kill();
    await ended;
  }
  const schemaBefore = await schema(url);
  const folderBefore = exactListing(place.path('files'));
  const attributesBefore = await attributesBelow(place.path('files'));
  const manifest = JSON.parse((await holdfast('cat', 'file', 'bench', '/manifest.json')).stdout) as Manifest;
  expect(manifest.content.consistency).toBe('transactional');

  await sql(server.url, 'drop database bench with (force)');
  await rm(place.path('files'), { recursive: true });
  const restored = await holdfast('restore', '--yes');
  expect(restored.stdout).toMatch(/restored bench .*\n.*all equal/);
  await expectEqualToSnapshot(place, manifest, url);
  await expectBalanced(url);
  expect(await schema(url)).toBe(schemaBefore);
  expect(exactListing(place.path('files'))).toEqual(folderBefore);
  expect(await attributesBelow(place.path('files'))).toEqual(attributesBefore);

  const restic = ['--repo', place.path('repository'), '--password-file', place.path('password'), '--no-cache'];
  await run('restic', [...restic, 'check']);
  await run('restic', [...restic, 'restore', 'latest', '--tag', 'store:bench', '--target', place.path('by-hand')]);
  await sql(server.url, 'create database by_hand');
  const script = place.path('by-hand/bench', manifest.content.detail.databases[0]?.folder ?? '');
  await run('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', server.database('by_hand'), '-f', 'restore.sql'], { cwd: script });
  await expectEqualToSnapshot(place, manifest, server.database('by_hand'));
  await expectBalanced(server.database('by_hand'));
  expect(await schema(server.database('by_hand'))).toBe(schemaBefore);
});
