import { randomBytes } from 'node:crypto';
import { chmod, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectClearError, expectCalm } from '../fixture/clear-error.ts';
import { directoryStack, type TestStack } from '../fixture/holdfast.ts';
import { exactListing } from '../fixture/odd-tree.ts';
import { run, type RunResult } from '../fixture/run.ts';
import type { Scratch } from '../fixture/scratch.ts';

interface Stored {
  readonly path: string;
  readonly id: string;
  readonly size: number;
}

async function stored(stack: Scratch, folder: string): Promise<readonly Stored[]> {
  const top = stack.path('repository', folder);
  const names = (await readdir(top, { recursive: true })).filter((name) => /(^|\/)[0-9a-f]{64}$/.test(name));
  return await Promise.all(names.map(async (name) => ({ path: join(top, name), id: name.slice(-64), size: (await stat(join(top, name))).size })));
}

/** A stack with two snapshots: of `first` alone, then of `second` too, whose data lies in a pack of its own. */
async function twoSnapshots(): Promise<{ stack: TestStack; second: Stored; older: string }> {
  const stack = await directoryStack();
  await writeFile(stack.path('files/first'), randomBytes(3_000_000));
  await stack.holdfast('backup');
  const before = new Set((await stored(stack, 'data')).map(({ id }) => id));
  const [older] = await stored(stack, 'snapshots');
  await writeFile(stack.path('files/second'), randomBytes(4_000_000));
  await stack.holdfast('backup');
  const added = (await stored(stack, 'data')).filter(({ id }) => !before.has(id)).toSorted((a, b) => b.size - a.size);
  const [second] = added;
  if (!second || !older) throw new Error('the second backup stored no pack');
  expect(second.size).toBeGreaterThan(3_900_000);
  return { stack, second, older: older.id };
}

async function flipByte({ path, size }: Stored): Promise<void> {
  await chmod(path, 0o600);
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  const middle = Math.floor(size / 2);
  await file.read(byte, 0, 1, middle);
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, middle);
}

/** The account of `check` when it found damage: on stdout, for it is the answer to the question. */
function expectDamage(result: RunResult, ...signs: readonly (string | RegExp)[]): void {
  expect(`exit ${result.code}: ${result.stdout}`).toContain('exit 4: ');
  expectCalm(result);
  for (const sign of signs) expect(result.stdout).toMatch(sign);
}

/** What lost a pack with the data of `second`: the rest is whole, in both programs' eyes and in fact. */
async function expectOnlySecondLost(stack: TestStack, older: string): Promise<void> {
  const before = exactListing(stack.path('files'));
  const around = await readdir(stack.folder);
  expectClearError(await stack.attempt(['restore', '--yes']), { exit: 4, says: /damaged|missing|ends after|cut short/ });
  expectClearError(await stack.attempt(['restore', '--yes', '--json']), { exit: 4, code: 'repository-damaged', says: /pack|blob/ });
  expectClearError(await stack.attempt(['restore', 'files', '--path', 'second', '--yes']), { exit: 4, says: /pack|blob/ });
  // Nothing was put in place, and nothing half-built lies about under a name that looks whole.
  // But for the time of the folder itself, in which a part was built and given up.
  expect(exactListing(stack.path('files')).slice(1)).toEqual(before.slice(1));
  expect((await readdir(stack.folder)).filter((name) => !around.includes(name) && !name.includes('.holdfast-new-'))).toEqual([]);
  const into = await stack.attempt(['restore', 'files', '--into', 'whole']);
  expectClearError(into, { exit: 4, says: /pack|blob/ });
  expect(await readdir(stack.path('whole')).catch(() => [])).toEqual([]);
  // Without the manifest, which may lie in the damaged pack.
  await stack.holdfast('restore', '--snapshot', 'latest', '--path', stack.path('files/first'), '--into', 'one');
  await run('cmp', [stack.path('files/first'), stack.path('one')]);
  await stack.holdfast('restore', '--snapshot', older, '--path', stack.path('files'), '--into', 'old');
  expect((await readdir(stack.path('old'))).toSorted()).toEqual(['deep', 'first', 'one.txt']);
}

describe('a pack', () => {
  it('with one flipped byte is found by --read-data, which names it, and not by the quick check', async () => {
    const { stack, second, older } = await twoSnapshots();
    await using _stack = stack;
    await flipByte(second);
    expect((await stack.attempt(['check'])).code).toBe(0);
    expectDamage(await stack.attempt(['check', '--read-data']), second.id, /is damaged/);
    const report: unknown = JSON.parse((await stack.attempt(['check', '--read-data', '--json'])).stdout);
    expect(report).toMatchObject({ sound: false, errors: expect.arrayContaining([expect.objectContaining({ subject: `pack ${second.id}` })]) });
    await expectOnlySecondLost(stack, older);
  });

  it('that was cut short is found by the quick check, which names it', async () => {
    const { stack, second, older } = await twoSnapshots();
    await using _stack = stack;
    await chmod(second.path, 0o600);
    await truncate(second.path, second.size - 1000);
    expectDamage(await stack.attempt(['check']), second.id, /cut short/);
    expectDamage(await stack.attempt(['check', '--read-data']), second.id);
    await truncate(second.path, 100);
    expectDamage(await stack.attempt(['check', '--read-data']), second.id, /cut short/);
    await expectOnlySecondLost(stack, older);
  });

  it('that is gone is found by the quick check, which names it', async () => {
    const { stack, second, older } = await twoSnapshots();
    await using _stack = stack;
    await rm(second.path);
    expectDamage(await stack.attempt(['check']), second.id, /is missing/);
    expectDamage(await stack.attempt(['check', '--read-data']), second.id, /is missing/);
    await expectOnlySecondLost(stack, older);
  });
});

describe('an index', () => {
  it('that is gone is found, and the next backup makes it anew from the packs', async () => {
    const { stack } = await twoSnapshots();
    await using _stack = stack;
    for (const { path } of await stored(stack, 'index')) await rm(path);
    expectDamage(await stack.attempt(['check']), /tree/, /named in no index/);
    expectClearError(await stack.attempt(['restore', '--yes']), { exit: 4, says: /in no index/ });
    const packs = await stored(stack, 'data');
    await stack.holdfast('backup');
    await stack.holdfast('check', '--read-data');
    await stack.restic('check', '--read-data');
    const added = (await stored(stack, 'data')).filter(({ id }) => packs.every((pack) => pack.id !== id));
    expect(added.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(20_000);
    await stack.holdfast('restore', 'files', '--into', 'out');
    expect(exactListing(stack.path('out'))).toEqual(exactListing(stack.path('files')));
  });

  it('that is damaged is named, and nothing is written on the strength of it', async () => {
    const { stack } = await twoSnapshots();
    await using _stack = stack;
    const [index] = await stored(stack, 'index');
    if (!index) throw new Error('no index');
    await flipByte(index);
    expectDamage(await stack.attempt(['check']), index.id.slice(0, 10));
    expectClearError(await stack.attempt(['backup']), { exit: 4, says: index.id.slice(0, 10) });
    expect(await stored(stack, 'snapshots')).toHaveLength(2);
  });
});

describe('other files of the repository', () => {
  it.each([
    { folder: 'snapshots', says: /snapshot/ },
    { folder: 'keys', says: /key/ },
  ])('that are damaged are named: $folder', async ({ folder, says }) => {
    const { stack } = await twoSnapshots();
    await using _stack = stack;
    const [file] = await stored(stack, folder);
    if (!file) throw new Error(`nothing in ${folder}`);
    await flipByte(file);
    const result = await stack.attempt(['check']);
    expectCalm(result);
    expect([4, 12]).toContain(result.code);
    expect(`${result.stdout}${result.stderr}`).toMatch(says);
  });

  it('that are damaged are named: config', async () => {
    const { stack } = await twoSnapshots();
    await using _stack = stack;
    const path = stack.path('repository/config');
    await flipByte({ path, id: '', size: (await stat(path)).size });
    expectClearError(await stack.attempt(['backup']), { exit: 4, says: /config/ });
    await rm(path);
    expectClearError(await stack.attempt(['backup']), { exit: 10, says: /there is no repository at/ });
  });
});
